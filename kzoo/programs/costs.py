"""What a trained network costs: parameters, FLOPs, milliseconds a picture, memory. In a process of its own, so that
nothing else counts.

python -m kzoo.costs runs/<name> [--batch_size=1,8]

Prints one JSON object; what each number is, and how it is measured, stands in kzoo/evaluation/costs.py.
"""

import json

from absl import flags

from kzoo import UserError, cli
from kzoo.evaluation import costs
from kzoo.runs import Run

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    flags.DEFINE_list("batch_size", ["1", "8"], "examples a pass; several are timed one after another")


def main(arguments: list[str]):
    if len(arguments) != 1:
        raise UserError(f"name one run folder: python -m kzoo.costs RUN; got {len(arguments)}")
    if not all(size.isdigit() and int(size) > 0 for size in FLAGS.batch_size):
        raise UserError(f"--batch_size={','.join(FLAGS.batch_size)} must be whole numbers above 0")
    batch_sizes = [int(size) for size in FLAGS.batch_size]
    print(json.dumps(costs.measure(Run.open(arguments[0]), batch_sizes)))


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
