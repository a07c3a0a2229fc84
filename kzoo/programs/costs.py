"""What a trained network costs: parameters, FLOPs, milliseconds a picture, memory. In a process of its own, so that
nothing else counts.

python -m kzoo.costs runs/<name> [--batch_size=1,8]

Prints one JSON object; what each number is, and how it is measured, stands in kzoo/evaluation/costs.py.
"""

import json

from absl import flags

from kzoo import UserError, cli
from kzoo.cli import frameworks
from kzoo.runs import Run

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    flags.DEFINE_list("batch_size", ["1", "8"], "examples a pass; several are timed one after another")


def main(arguments: list[str]):
    if len(arguments) != 1:
        raise UserError(f"name one run folder: python -m kzoo.costs RUN; got {len(arguments)}")
    batch_sizes = list(map(cli.whole, FLAGS.batch_size))
    if not batch_sizes or not all(batch_sizes) or max(batch_sizes) > cli.LARGEST_BATCH:
        raise UserError(
            f"--batch_size={','.join(FLAGS.batch_size)} must be whole numbers above 0, at most {cli.LARGEST_BATCH}"
        )
    run = Run.open(arguments[0])
    frameworks.start()
    from kzoo.evaluation import costs

    print(json.dumps(costs.measure(run, batch_sizes)))


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
