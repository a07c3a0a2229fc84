"""Score a trained run: exact scores, pictures, export. Exit code 1 where an export could not be made.

python eval.py --run=runs/<name> --split=val --tta=flip --pictures=16
python eval.py --run=runs/<name> --export=saved_model,onnx,litert
python eval.py --run=runs/<name> --decoder=all
python eval.py --run=runs/<name> --tta=all --size=384x512
"""

import pathlib
import sys

from absl import flags

from kzoo import UserError, cli

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "run folder that train.py wrote")
flags.DEFINE_string("split", None, "TFDS split; slices like val[:100] are allowed (default: the run's --val_split)")
flags.DEFINE_string(
    "size", None, "of the pictures in pixels: side of a square or <height>x<width> (default: the run's)"
)
flags.DEFINE_string(
    "tile", None, "put the answer together from overlapping tiles of this size, for pictures too large for memory (seg)"
)
flags.DEFINE_integer("overlap", None, "of the tiles in pixels (default: half of a tile)", lower_bound=0)
flags.DEFINE_enum(
    "tta",
    "none",
    ["none", "flip", "flip_shift", "scales", "color_pca", "crops", "all"],
    "test-time augmentation, averaged in probability. flip: the mirrored picture; flip_shift (pose): its heat maps moved by a cell first, "
    "which makes up for corner-aligned pipelines and which ours does not need. seg: scales (0.75, 1.25), color_pca (4 colours), crops "
    "(corners and centre), all: everything, with a table of what each brings per forward pass",
)
flags.DEFINE_string(
    "decoder",
    None,
    "from heat maps to joints: argmax, quarter, dark, udp, softargmax, debiased_softargmax; coords: the network's own; all: a "
    "table of them (default: coords where the network emits them, else dark)",
)
flags.DEFINE_integer("pictures", 0, "examples to draw: best, median and worst", lower_bound=0)
flags.DEFINE_list(
    "export",
    [],
    "some of saved_model, onnx, litert: written to the run folder with pre- and post-processing inside, checked in their own runtimes",
)
flags.DEFINE_bool(
    "export_raw", False, "exports also give the network's outputs as they are, logits and heat maps, as raw_<name>"
)
flags.DEFINE_integer(
    "export_examples", 64, "examples of the split that each export is compared with predict on", lower_bound=1
)
flags.DEFINE_integer("batch_size", 32, "examples a step", lower_bound=1)
flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: the run's)")
flags.DEFINE_string("out", None, "folder of report and pictures (default: the run folder)")


def main():
    if not FLAGS.run:
        raise UserError("--run=<run folder> is needed")
    from kzoo.evaluation import scoring  # slow: only once the flags are known to parse

    result = scoring.evaluate(
        FLAGS.run,
        split=FLAGS.split,
        size=FLAGS.size,
        tta=FLAGS.tta,
        tile=FLAGS.tile,
        overlap=FLAGS.overlap,
        decoder=FLAGS.decoder,
        pictures=FLAGS.pictures,
        export=tuple(form.strip() for form in FLAGS.export),
        export_raw=FLAGS.export_raw,
        export_examples=FLAGS.export_examples,
        batch_size=FLAGS.batch_size,
        data_dir=FLAGS.data_dir,
        out=FLAGS.out,
    )
    out = pathlib.Path(FLAGS.out or FLAGS.run)
    print((out / "report.md").read_text())
    for form, row in result.get("export", {}).items():
        print(f"exported {form} to {FLAGS.run}/{row['file']}")
    failed = result.get("export_failed", {})
    for form, reason in failed.items():
        print(f"eval.py: no {form}: {' '.join(reason.split())}", file=sys.stderr)
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
