"""Many runs of train.py: a grid, random points or TPE (Optuna), by any number of processes that share a folder.

python -m kzoo.sweep --study=trunks --task=seg --arch=fcn,encdec,unet --encoder_weights=imagenet,none --seed=0,1,2
python -m kzoo.sweep --study=rates --task=pose --lr=log:1e-5:1e-2 --sampler=tpe --trials=40 --pruner=median
python -m kzoo.sweep --study=trunks --show

The same command in another process or on another machine that shares --out works on the same study. After Ctrl-C, a
crash or kill -9 the same command goes on: finished trials stay, unfinished ones are continued.
"""

import sys

from absl import flags

from kzoo import UserError, cli
from kzoo.sweep import parameters, studies, study_table, sweep

FLAGS = flags.FLAGS
PASSED_ON = ("out", "storage", "sampler", "sampler_seed", "trials", "pruner", "metric", "direction")


def define_flags():
    """Flags of this program; all others are train.py's."""
    flags.DEFINE_string("study", None, "name of the study, and of its folder in --out")
    cli.DEFINE_path("out", studies.STUDIES, "folder of all studies; on a disk that all machines of a study share")
    cli.DEFINE_path(
        "storage", None, "journal file or database URL, such as sqlite:///sweeps.db (default: <out>/journal.log)"
    )
    flags.DEFINE_enum(
        "sampler", None, studies.SAMPLERS, "who chooses the points (default: grid, which takes no ranges)"
    )
    flags.DEFINE_integer("sampler_seed", 0, "of --sampler=random and tpe", lower_bound=0, upper_bound=cli.LARGEST_SEED)
    flags.DEFINE_integer(
        "trials",
        None,
        "points of --sampler=random and tpe, of all processes together; may be raised",
        lower_bound=1,
        upper_bound=cli.LARGEST_COUNT,
    )
    flags.DEFINE_enum("pruner", "none", studies.PRUNERS, "stops trials that are behind the others after as many epochs")
    flags.DEFINE_string("metric", None, "a score of report.json (default: the task's score, of the best epoch)")
    flags.DEFINE_enum("direction", None, ["min", "max"], "which --metric is better (default: the task's)")
    flags.DEFINE_boolean("show", False, "write and print the table of a study, run nothing")


def main(arguments: list[str]):
    if not FLAGS.study:
        raise UserError("--study=<name> is needed")
    if FLAGS.show:
        result = sweep.show(FLAGS.study, out=FLAGS.out, storage=FLAGS.storage)
    else:
        result = sweep.sweep(FLAGS.study, arguments, **{name: FLAGS[name].value for name in PASSED_ON})
    print(study_table.markdown(result))
    folder = studies.Place.of(FLAGS.study, FLAGS.out, FLAGS.storage).folder
    print(f"wrote sweep.md, .json and .csv to {folder}")
    print("next:", cli.command("report", str(folder), *([f"--storage={FLAGS.storage}"] if FLAGS.storage else [])))


def start():
    """Flags of this program first, then those of train.py behind a --, where absl leaves them alone."""
    before = set(FLAGS)
    define_flags()
    own, others = parameters.separate(sys.argv[1:], set(FLAGS) - before)
    sys.argv[1:] = [*own, "--", *others]
    cli.run(main, positional=True)


if __name__ == "__main__":
    start()
