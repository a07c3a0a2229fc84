"""The lab course's report: trains what its five items need and writes two pages of answers.

python -m kzoo.lab --data_source=<COCO folder or the lab's coco_subset.zip> --out=report.pdf --budget=quick
python -m kzoo.lab --data_source=… --encoder=mobilenetv2 --encoder_weights=<file> --out=report.pdf

After Ctrl-C, a crash or kill -9 the same command goes on: finished runs stay, the one that was cut is continued.
"""

import dataclasses
import pathlib
import sys

from absl import flags

from kzoo import cli
from kzoo.lab import plan
from kzoo.lab.course import lab
from kzoo.training import interruption

FLAGS = flags.FLAGS
SETTINGS = [field.name for field in dataclasses.fields(plan.Settings)]


def define_flags():
    """Not on import: other programs have flags of these names."""
    cli.DEFINE_path("data_source", None, "a COCO folder with annotations/ and images/, or the lab's coco_subset.zip")
    cli.DEFINE_path("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
    cli.DEFINE_path("out", "report.pdf", "the report; its numbers go to <the same name>.json")
    flags.DEFINE_enum(
        "budget", "quick", list(plan.BUDGETS), "quick: small pictures, part of the data; full: the course's setting"
    )
    flags.DEFINE_string(
        "encoder", "resnet50", "see kzoo/nn/encoders.py; one with ImageNet weights, or any with a file of its own"
    )
    cli.DEFINE_path("encoder_weights", "imagenet", "imagenet or a weights file")
    cli.DEFINE_path("work", None, "folder of the runs (default: <name of the report>-runs beside it)")
    flags.DEFINE_integer(
        "seed", 0, "of the runs; --budget=full takes the next ones too", lower_bound=0, upper_bound=cli.LARGEST_SEED - 2
    )


def main():
    settings = plan.Settings(**{name: FLAGS[name].value for name in SETTINGS})
    with interruption.told(lambda: "stopped; finished runs are kept, the same command goes on"):
        result = lab(settings, FLAGS.out, FLAGS.work)
    for lines in result["findings"].values():
        print(" ".join(lines))
    out = pathlib.Path(FLAGS.out)
    print(f"wrote {out} ({result['pages']} pages, {out.stat().st_size / 1e6:.1f} MB) and {out.with_suffix('.json')}")
    if result["failed"]:
        print(f"{', '.join(result['failed'])} failed; the same command tries again", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
