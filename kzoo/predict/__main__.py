"""Answers of a trained network for your own pictures and videos: overlays, and a table in their own pixels.

python -m kzoo.predict --run=runs/<name> --images=photos --out=answers
python -m kzoo.predict --run=runs/<pose> --images='photos/*.jpg' --boxes=boxes.json --tta=flip --out=answers
python -m kzoo.predict --run=runs/<name> --video=walk.mp4 --out=answers

In --out: overlays/<file>.png (at most 1600 pixels wide and high), or of a video annotated.mp4; and
    pose     keypoints.json   COCO's results: image_id, file_name, category_id, keypoints [x, y, score] x J in pixels,
    score seg      masks/<file>.png of class ids in the picture's size, classes.json, masks.csv
    loc      poses.csv        the camera's place in metres, its quaternion, camera to world
    pose3d   joints.csv       metres from joint 0 in camera coordinates; clips of consecutive frames
    cluster  clusters.csv     cluster and its share of the soft assignment
The score of a joint is the probability that it is right, where the run holds a calibration (eval.py makes one).
Pixels count from the outer corner of the picture as it is shown, turned as its EXIF says. Networks of pose see one
person: the picture as a whole, or the square around each of --boxes x 1.25.

Names of files are told as they were given; bytes that are not UTF-8 become %FC, as in a URL, and in a CSV a name that a
spreadsheet would take for a formula (= + - @) gets ./ before it.

Exit code 0; 1 where something was left out: a picture that cannot be read, a frame that is missing, a box that is of no
picture; 2 for a mistake or a full disk; 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP. However it ends, what was
finished is in --out; a second signal does not wait for the step. --overwrite replaces what is there in the end, all of
it; where it was stopped the earlier results stay, and what was finished is in --out/stopped.
"""

import os
import sys

from absl import flags

from kzoo import UserError, cli
from kzoo.cli import frameworks
from kzoo.predict import listing
from kzoo.runs import Run
from kzoo.training import catalogue

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    cli.DEFINE_path("run", None, "run folder that train.py wrote")
    cli.DEFINE_multi_path(
        "images",
        [],
        "file, folder, or glob in quotes; may be repeated. Clips and windows are made within a folder; those in it are "
        "looked into by 'photos/**/*.jpg' alone",
    )
    cli.DEFINE_path("video", None, "file, in place of --images")
    cli.DEFINE_path(
        "boxes",
        None,
        'persons (pose): JSON list of {"file_name" or "image_id", "bbox": [x, y, w, h] in pixels, optionally "score"}, '
        "or COCO's annotations; image_id is the number that a file is named after, or that of a video's frame, from 0",
    )
    cli.DEFINE_max_pixels("max_pixels")
    cli.DEFINE_path("out", None, "folder to write to")
    flags.DEFINE_bool("overwrite", False, "replace results that are there, in the end and all of them")
    flags.DEFINE_integer("batch_size", 16, "pictures a step", lower_bound=1, upper_bound=cli.LARGEST_BATCH)
    flags.DEFINE_string("decoder", None, "from heat maps to joints, as eval.py's")
    flags.DEFINE_enum("tta", "none", ["none", "flip", "flip_shift"], "test-time augmentation, as eval.py's")
    flags.DEFINE_float(
        "min_score",
        None,
        "joints with a lower score are not drawn (pose); keypoints.json keeps all, with their scores",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_integer(
        "skip",
        None,
        "frames from one of a window to the next (networks of windows; default: the data set's)",
        lower_bound=1,
        upper_bound=cli.LARGEST_COUNT,
    )


def main():
    if not FLAGS.run:
        raise UserError("--run=<run folder> is needed")
    if not FLAGS.out:
        raise UserError("--out=<folder to write to> is needed")
    if bool(FLAGS.images) == bool(FLAGS.video):
        raise UserError("give pictures, --images=<file, folder or glob>, or one video, --video=<file>")
    Run.open(FLAGS.run)
    if FLAGS.decoder:
        cli.check_name(catalogue.decoders(), FLAGS.decoder, "decoder")
    for name in ("video", "boxes"):
        if FLAGS[name].value and not os.path.exists(FLAGS[name].value):
            raise UserError(f"no file at --{name}={FLAGS[name].value}")
    if os.path.lexists(FLAGS.out) and not os.path.isdir(FLAGS.out):
        raise UserError(f"--out={FLAGS.out} is a file; give a folder")
    listing.find_pictures(FLAGS.images or ())
    frameworks.start()
    from kzoo.datasets import pictures
    from kzoo.predict import answering  # starts the framework, which --helpshort does without

    pictures.limit_pixels(FLAGS.max_pixels)
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files in any locale
    try:
        _, left_out = answering.predict(
            FLAGS.run,
            images=FLAGS.images,
            video=FLAGS.video,
            out=FLAGS.out,
            boxes=FLAGS.boxes,
            overwrite=FLAGS.overwrite,
            batch_size=FLAGS.batch_size,
            decoder=FLAGS.decoder,
            tta=FLAGS.tta,
            skip=FLAGS.skip,
            min_score=FLAGS.min_score,
        )
    except answering.Interrupted as stop:
        print(f"predict: {stop}", file=sys.stderr)
        sys.exit(128 + stop.number)
    if left_out:
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
