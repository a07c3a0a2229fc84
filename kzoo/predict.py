"""Answers of a trained network for your own pictures and videos: overlays, and a table in their own pixels.

python -m kzoo.predict --run=runs/<name> --images=photos --out=answers
python -m kzoo.predict --run=runs/<pose> --images='photos/*.jpg' --boxes=boxes.json --tta=flip --out=answers
python -m kzoo.predict --run=runs/<name> --video=walk.mp4 --out=answers

In --out: overlays/<file>.png (at most 1600 pixels wide and high), or of a video annotated.mp4; and
    pose     keypoints.json   COCO's results: image_id, file_name, category_id, keypoints [x, y, score] x J in pixels, score
    seg      masks/<file>.png of class ids in the picture's size, classes.json, masks.csv
    loc      poses.csv        the camera's place in metres, its quaternion, camera to world
    pose3d   joints.csv       metres from joint 0 in camera coordinates; clips of consecutive frames
    cluster  clusters.csv     cluster and its share of the soft assignment
Pixels count from the outer corner of the picture as it is shown, turned as its EXIF says. Networks of pose see one person: the picture
as a whole, or the square around each of --boxes x 1.25. Exit code 0; 1 where something was left out; 2 for a mistake.
"""

import contextlib
import functools
import itertools
import signal
import sys
import threading

from absl import flags

from kzoo import UserError, cli

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    flags.DEFINE_string("run", None, "run folder that train.py wrote")
    flags.DEFINE_multi_string("images", [], "file, folder, or glob in quotes; may be repeated. Clips and windows are made within a folder")
    flags.DEFINE_string("video", None, "file, in place of --images")
    flags.DEFINE_string(
        "boxes",
        None,
        'persons (pose): JSON list of {"file_name" or "image_id", "bbox": [x, y, w, h] in pixels, optionally "score"}; image_id is the '
        "number that a file is named after, or that of a video's frame, from 0",
    )
    flags.DEFINE_string("out", None, "folder to write to")
    flags.DEFINE_bool("overwrite", False, "replace results that are there")
    flags.DEFINE_integer("batch_size", 16, "pictures a step", lower_bound=1)
    flags.DEFINE_string("decoder", None, "from heat maps to joints, as eval.py's")
    flags.DEFINE_enum("tta", "none", ["none", "flip", "flip_shift"], "test-time augmentation, as eval.py's")
    flags.DEFINE_integer(
        "skip", None, "frames from one of a window to the next (networks of windows; default: the data set's)", lower_bound=1
    )


def predict(
    folder,
    *,
    images=(),
    video=None,
    out,
    boxes=None,
    overwrite: bool = False,
    batch_size: int = 16,
    decoder: str | None = None,
    tta: str = "none",
    skip: int | None = None,
) -> tuple[int, int]:
    """Answer for pictures or for the frames of a video by the best network of a run; see the top of this file for what is written.

    Args:
        folder: run folder; images: files, folders and globs; video: file, in place of them; out: folder to write to; boxes: JSON file of
        persons; overwrite: replace results in `out`; batch_size: pictures a step; decoder: see `prediction.decoders_of`, not "all"; tta:
        "none", "flip" or "flip_shift"; skip: frames from one of a window to the next (default: the data set's).
    Returns:
        how many pictures were written, and how many files and boxes were left out.
    Raises:
        UserError: a mistake in the arguments, before anything is written.
        KeyboardInterrupt: after Ctrl-C, when what was finished has its final name.
    """
    if bool(images) == bool(video):
        raise UserError("give pictures, --images=<file, folder or glob>, or one video, --video=<file>")
    if decoder == "all":
        raise UserError("--decoder=all is for scores, see eval.py; give one decoder")

    from tqdm.auto import tqdm

    from kzoo import runs
    from kzoo.predicting import prediction_results, prediction_sources

    prediction_results.check_free(out, overwrite=overwrite)
    run = runs.describe(folder)
    task = run["flags"]["task"]
    cli.pick(prediction_results.RESULTS, task, "task")
    found = prediction_sources.read_boxes(boxes) if boxes else None
    if boxes and task != "pose":
        raise UserError(f"--boxes are of persons, for pose, and this is a run of {task}")
    source = prediction_sources.open_video(video) if video else prediction_sources.named(prediction_sources.find_pictures(images))
    total = (source.length or None) if video else len(source)
    answer, group, step = _network(folder, run, decoder, tta, skip)
    problems = []

    def problem(text):
        problems.append(text)
        tqdm.write(f"predict: {text}", file=sys.stderr)

    if boxes:
        group = functools.partial(prediction_sources.crops, boxes=found, problem=problem)
    sequences = [source.frames()] if video else _by_folder(source, problem)
    shape = cli.shape_of(run["flags"]["size"])
    items = itertools.chain.from_iterable(group(sequence, shape) for sequence in sequences)
    with (
        _stopping() as stopped,
        prediction_results.Writer(out, task, run["names"], source.fps if video else None) as writer,
        tqdm(total=total, unit="img", desc="predict", dynamic_ncols=True) as bar,
    ):
        for batch in _batches(items, max(1, batch_size // step)):
            for picture in _answered(batch, answer):
                writer.write(picture)
                bar.update(1)
            if stopped.is_set():
                break
    whole = f" of {total}" if total else ""
    if stopped.is_set():
        print(f"predict: stopped: {writer.written}{whole} {'frames' if video else 'pictures'} are in {out}", file=sys.stderr)
        raise KeyboardInterrupt
    if boxes and not writer.entries:
        print("no box is of one of these pictures: boxes are found by file name, or by image_id where files are named after numbers")
    print(f"{writer.written}{whole} {'frames' if video else 'pictures'} are in {out}; {len(problems)} left out")
    return writer.written, len(problems)


def _by_folder(named, problem):
    """Sequences of pictures: those of each folder."""
    from kzoo.predicting import prediction_sources

    for _, group in itertools.groupby(named, key=lambda entry: entry[0].parent):
        yield prediction_sources.read_pictures(group, problem)


def _network(folder, run: dict, decoder, tta: str, skip: int | None) -> tuple:
    """What answers a batch, how pictures are grouped for it, and how many pictures it reads at once.

    Returns:
        function (B, …) uint8 -> {name: (B, …)}; function (sequence, shape) -> items, see `prediction_sources`; frames.
    """
    from kzoo import data, prediction, runs, training
    from kzoo.predicting import prediction_sources

    task, flag = runs.task_of(run), run["flags"]
    if decoder not in (None, "coords"):
        cli.pick(prediction.decoding.DECODERS, decoder, "decoder")
    model = runs.load_model(folder)
    reads = training.reads(model)
    if reads not in (("image",), ("frames",)):
        raise UserError(
            f"{flag['arch']} of {folder} reads {' and '.join(reads)}; allowed: networks that read pictures or their frames alone, lifters "
            "for instance with --set=pose_run=<run of pose>"
        )
    metadata = {**run["dataset"].get("metadata", {}), task.names: run["names"]}
    (decoder,) = prediction.decoders_of(model, decoder)
    if reads == ("image",) or flag["task"] != "loc":
        if skip:
            raise UserError(f"--skip is for networks of windows, mapnet for instance, and not for this run of {flag['arch']}")
        frames = model.inputs[0].shape[1]
        group = prediction_sources.singles if reads == ("image",) else functools.partial(prediction_sources.clips, length=frames)
    else:
        name, _, config = flag["dataset"].partition("/")
        configs = {c.name: c for c in data.DATASETS[name].BUILDER_CONFIGS} if name in data.DATASETS else {}
        skip = skip or getattr(configs.get(config), "skip", 1)
        group = functools.partial(prediction_sources.windows, length=model.inputs[0].shape[1], skip=skip)
    step = 1 if reads == ("image",) else model.inputs[0].shape[1]
    if task.dense:
        own = tuple(model.input_shape[1:3])
        network_at = prediction.sized(task, lambda at: model if at == own else runs.load_model(folder, at))
        dense = prediction.Dense(task, network_at, {f"flip_{task.names}": (), **metadata}, cli.shape_of(flag["size"]), mode=tta)
        return lambda inputs: dense.answers(inputs)[tta], group, step
    mirrored = prediction.Mirrored(task, model, metadata, tta=tta, decoders=(decoder,))

    def answer(inputs):
        outputs = mirrored(inputs, mirrored.scored)
        decoded = task.decode(outputs, **({"decoder": decoder} if decoder else {}))
        return {**decoded, **({"scores": _joint_scores(outputs, decoded["coords"])} if "coords" in decoded else {})}

    return answer, group, step


def _joint_scores(outputs: dict, coords):
    """(B, J) in 0..1: the peak of each joint's map, 1 where there is none; its mean is the "confidence" of `decoding.decode_pose`."""
    import numpy as np

    from kzoo import decoding

    maps = next((outputs[name] for name in decoding.MAPS if name in outputs), None)
    return np.ones(coords.shape[:2]) if maps is None else np.clip(maps.max(axis=(1, 2)), 0, 1)


def _batches(items, size: int):
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def _answered(batch, answer):
    """Hands the answers for a batch of items to their pictures; the pictures that have all of theirs."""
    import numpy as np

    inputs = [array for array, _ in batch if array is not None]
    answers = answer(np.stack(inputs)) if inputs else {}
    index = 0
    for array, targets in batch:
        for picture, part in targets:
            if array is not None:
                picture.answers.append(
                    {name: value[index][part] for name, value in answers.items() if np.ndim(value[index]) or part is ...}
                )
            if len(picture.answers) == len(picture.places):
                yield picture
        index += array is not None


@contextlib.contextmanager
def _stopping():
    """An event that the first Ctrl-C sets; the second one is as usual."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there signals are heard
        yield stopped
        return

    def stop(*_):
        stopped.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def main():
    if not FLAGS.run:
        raise UserError("--run=<run folder> is needed")
    if not FLAGS.out:
        raise UserError("--out=<folder to write to> is needed")
    _, left_out = predict(
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
    )
    if left_out:
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
