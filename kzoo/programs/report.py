"""The report of many runs: answers with their uncertainty, tables, curves, one page to open.

python -m kzoo.report STUDY [--nocosts]                     # of kzoo.sweep: its folder, or its name in runs/sweeps
python -m kzoo.report RUN RUN … [--out=FOLDER] [--nocosts]  # what differs between their flags is what is compared
python -m kzoo.report RUN RUN … --condition=val-flip        # by what eval.py --tta=flip scored
"""

from absl import flags

from kzoo import cli, files
from kzoo.runs import Run
from kzoo.training import interruption

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    cli.DEFINE_path("out", None, "folder to write to (default: the study's, or runs/comparison)")
    flags.DEFINE_string(
        "condition",
        None,
        "whose reports are ranked, of those that eval.py left in the runs: val-flip for instance (default: the "
        "training's own, or if these differ what all runs share)",
    )
    cli.DEFINE_path("storage", None, "of the study, as of kzoo.sweep (default: journal.log beside its folder)")
    flags.DEFINE_boolean(
        "costs", True, "measure each network's FLOPs, time and memory once, and keep them in costs.json"
    )


def main(arguments: list[str]):
    from kzoo.sweep import studies

    if not any(studies.find(name) for name in arguments):
        for folder in arguments:
            Run.open(folder)  # mistakes are told before what is slow
    if FLAGS.out:
        files.check_writable(FLAGS.out)
    from kzoo.sweep import comparison

    with interruption.told(lambda: "stopped; files that were not written anew are as they were"):
        written = comparison.write_report(
            arguments, FLAGS.out, storage=FLAGS.storage, with_costs=FLAGS.costs, condition=FLAGS.condition
        )
    print(written.text)
    print("wrote " + ", ".join(f"{written.folder}/{names}" for names in written.names))


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
