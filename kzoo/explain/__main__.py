"""Why a network answers as it does: maps of what counts, the first filters, and what single channels respond to.

python -m kzoo.explain --run=runs/<name> --image=me.jpg --output=coords:left_wrist --method=all
python -m kzoo.explain --run=runs/<name> --example=12 --method=grad_cam_pp,occlusion --layer=stage3
"""

import os

from absl import flags

from kzoo import UserError, cli
from kzoo.cli import frameworks
from kzoo.explain.methods import EXCITED, METHODS
from kzoo.runs import Run
from kzoo.training import checks

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    cli.DEFINE_path("run", None, "run folder that train.py wrote")
    cli.DEFINE_multi_path(
        "image", [], "picture of any size; may be repeated; networks of pose expect one person that fills it"
    )
    flags.DEFINE_multi_integer("example", [], "number of an example of --split; may be repeated", lower_bound=0)
    flags.DEFINE_string("split", None, "TFDS split that --example counts in (default: the run's --val_split)")
    flags.DEFINE_string(
        "output",
        None,
        "what is explained, <output>[:<unit>[:<component>]]: coords:left_wrist, coords:left_wrist:x, heatmaps:nose, "
        "logits:head, joints:left_wrist:z, position, rotation:w, assignment:3 (default: the main output's plainest "
        "unit)",
    )
    flags.DEFINE_list("method", ["all"], f"all, or some of {', '.join(METHODS)}")
    flags.DEFINE_multi_string(
        "layer",
        [],
        "of Grad-CAM and patches; may be repeated (default: the last maps at strides 4, 8, 16 and 32, for patches "
        "those of the encoder)",
    )
    flags.DEFINE_multi_integer(
        "channel",
        [],
        f"whose patches are shown, of every layer (default: the {EXCITED} that the pictures excite most)",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "examples",
        200,
        "pictures of the training split that are searched for patches",
        lower_bound=1,
        upper_bound=cli.LARGEST_COUNT,
    )
    cli.DEFINE_path("data_dir", None, "where prepared data sets lie (default: the run's)")
    cli.DEFINE_path("out", None, "folder to write to (default: explanations/<output> in the run folder)")
    flags.DEFINE_integer(
        "max_pixels", None, "larger pictures are refused by their header (default: 180 million)", lower_bound=1
    )


def main():
    if not FLAGS.run:
        raise UserError("--run=<run folder> is needed")
    if not FLAGS.image and not FLAGS.example:
        raise UserError(
            "give a picture, --image=<file>, or an example of the run's data set, --example=<number>; both may be "
            "repeated"
        )
    Run.open(FLAGS.run)
    for image in FLAGS.image:
        if not os.path.exists(image):
            raise UserError(f"no picture at --image={image}")
    for name in FLAGS.method:
        cli.check_name(("all", *METHODS), name.strip(), "method")
    checks.split(FLAGS.split, "split")
    checks.parent(FLAGS.data_dir, "data_dir")
    frameworks.start()
    from kzoo.datasets import pictures
    from kzoo.explain.explanation import explain  # starts the framework, which --helpshort does without

    pictures.limit_pixels(FLAGS.max_pixels)
    explain(
        FLAGS.run,
        images=FLAGS.image,
        examples=FLAGS.example,
        split=FLAGS.split,
        output=FLAGS.output,
        methods=FLAGS.method,
        layers=FLAGS.layer,
        channels=FLAGS.channel,
        searched=FLAGS.examples,
        data_dir=FLAGS.data_dir,
        out=FLAGS.out,
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main)
