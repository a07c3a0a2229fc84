"""Why a network answers as it does: maps of what counts, the first filters, and what single channels respond to.

Exit code 1 where a method that was asked for by its name does not apply, or one failed; the others are written. After
Ctrl-C, SIGTERM or SIGHUP (130, 143, 129) the methods that had ended are written, to --out/stopped where a whole
explanation is there.

python -m kzoo.explain --run=runs/<name> --image=me.jpg --output=coords:left_wrist
python -m kzoo.explain --run=runs/<name> --image=me.jpg --method=all
python -m kzoo.explain --run=runs/<name> --example=12 --method=grad_cam_pp,occlusion --layer=stage3
"""

import pathlib
import sys

from absl import flags

from kzoo import UserError, cli, files
from kzoo.cli import frameworks
from kzoo.explain.methods import EXCITED, METHODS, QUICK, asked_methods, check_output
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
    slow = [name for name in METHODS if name not in QUICK]
    flags.DEFINE_list(
        "method",
        ["quick"],
        f"some of {', '.join(METHODS)}; quick: those without {', '.join(slow)}; all: also these, seconds to minutes "
        "each on a CPU; what does not apply to the network is left out and named",
    )
    flags.DEFINE_integer(
        "steps",
        None,
        "gradients of integrated_gradients (default: from 32 on as many as are needed to add up to 5 %, 288 at most)",
        lower_bound=1,
    )
    flags.DEFINE_integer(
        "batch_size",
        None,
        "pictures that go through the network together, of integrated_gradients and occlusion (default: half a "
        "million pixels, 64 at most)",
        lower_bound=1,
    )
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
    cli.DEFINE_max_pixels("max_pixels")


def main():
    if not FLAGS.run:
        raise UserError("--run=<run folder> is needed")
    if not FLAGS.image and not FLAGS.example:
        raise UserError(
            "give a picture, --image=<file>, or an example of the run's data set, --example=<number>; both may be "
            "repeated"
        )
    run = Run.open(FLAGS.run)
    asked_methods(FLAGS.method)
    if FLAGS.output:
        check_output(FLAGS.output, run.config.dataset.metadata, run.names)
    for path in FLAGS.image:
        if not pathlib.Path(path).exists():
            raise UserError(f"no picture at --image={path}")
    checks.split(FLAGS.split, "split")
    checks.parent(FLAGS.data_dir, "data_dir")
    if FLAGS.out:
        files.check_writable(FLAGS.out)
    frameworks.start()
    from kzoo.datasets import pictures
    from kzoo.explain.explanation import explain  # starts the framework, which mistakes and --helpshort do without

    pictures.limit_pixels(FLAGS.max_pixels)
    result = explain(
        run,
        images=FLAGS.image,
        examples=FLAGS.example,
        split=FLAGS.split,
        output=FLAGS.output,
        methods=FLAGS.method,
        layers=FLAGS.layer,
        channels=FLAGS.channel,
        searched=FLAGS.examples,
        steps=FLAGS.steps,
        batch_size=FLAGS.batch_size,
        data_dir=FLAGS.data_dir,
        out=FLAGS.out,
    )
    for method, reason in result["skipped"].items():
        print(f"explain: no {method}: {reason}", file=sys.stderr)
    if result["failed"] or set(result["skipped"]) & {name.strip() for name in FLAGS.method}:
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
