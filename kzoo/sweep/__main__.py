"""Many runs of train.py: a grid, random points or TPE (Optuna), by any number of processes that share a folder.

python -m kzoo.sweep --study=trunks --task=seg --arch=fcn,encdec,unet --encoder_weights=imagenet,none --seed=0,1,2
python -m kzoo.sweep --study=rates --task=pose --lr=log:1e-5:1e-2 --dropout=uniform:0:0.5 --sampler=tpe --trials=40 --pruner=median
python -m kzoo.sweep --study=trunks --show

The same command in another process or on another machine that shares --out works on the same study. After Ctrl-C, a
crash or kill -9 the same command goes on: finished trials stay, unfinished ones are continued.
"""

import sys

from absl import flags

from kzoo import UserError, cli
from kzoo.sweep import studies, study_table
from kzoo.sweep.parameters import PLACES, aim, parse, points, separate, train_flags

FLAGS = flags.FLAGS


def define_flags():
    """Flags of this program; all others are train.py's."""
    flags.DEFINE_string("study", None, "name of the study, and of its folder in --out")
    flags.DEFINE_string("out", "runs/sweeps", "folder of all studies; on a disk that all machines of a study share")
    flags.DEFINE_string(
        "storage", None, "journal file or database URL, such as sqlite:///sweeps.db (default: <out>/journal.log)"
    )
    flags.DEFINE_enum(
        "sampler", None, studies.SAMPLERS, "who chooses the points (default: grid, which takes no ranges)"
    )
    flags.DEFINE_integer("sampler_seed", 0, "of --sampler=random and tpe", lower_bound=0)
    flags.DEFINE_integer(
        "trials", None, "points of --sampler=random and tpe, of all processes together; may be raised", lower_bound=1
    )
    flags.DEFINE_enum("pruner", "none", studies.PRUNERS, "stops trials that are behind the others after as many epochs")
    flags.DEFINE_string("metric", None, "a score of report.json (default: the task's score, of the best epoch)")
    flags.DEFINE_enum("direction", None, ["min", "max"], "which --metric is better (default: the task's)")
    flags.DEFINE_boolean("show", False, "write and print the table of a study, run nothing")


def sweep(
    study: str,
    arguments: list[str],
    *,
    out="runs/sweeps",
    storage=None,
    sampler=None,
    sampler_seed=0,
    trials=None,
    pruner="none",
    metric=None,
    direction=None,
) -> dict:
    """Run what is left of a study, and wait for what others run of it.

    Args:
        study: its name; arguments: train.py's, with lists and ranges; the others: as the flags of this program.
    Returns:
        content of `sweep.json`, see `study_table.table`.
    Raises:
        UserError: before anything is run, for flags that do not fit each other, train.py or what the study was made
        with.
    """
    values = train_flags()
    varied, fixed = parse(arguments, values)
    sampler, keys = points(varied, sampler, trials)
    kept = sorted(argument for argument in arguments if argument[2:].partition("=")[0] not in PLACES)
    if pruner != "none" and metric:
        raise UserError(f"--pruner={pruner} needs the task's own score, which each epoch has; got --metric={metric}")
    settings = {"arguments": kept, "sampler": sampler, "metric": metric}
    place = studies.Place.of(study, out, storage)
    opened = studies.prepare(place, settings, keys, lambda: aim(values, varied, fixed, metric, direction), pruner)
    return studies.work(
        place, opened, lambda trial: [*fixed, *(p.argument(p.suggest(trial)) for p in varied)], sampler, sampler_seed
    )


def main(arguments: list[str]):
    if not FLAGS.study:
        raise UserError("--study=<name> is needed")
    if FLAGS.show:
        place = studies.Place.of(FLAGS.study, FLAGS.out, FLAGS.storage)
        result = study_table.write(place, studies.load(place))
    else:
        cli.hear_signals()
        names = ("out", "storage", "sampler", "sampler_seed", "trials", "pruner", "metric", "direction")
        result = sweep(FLAGS.study, arguments, **{name: FLAGS[name].value for name in names})
    print(study_table.markdown(result))
    print(f"wrote sweep.md, .json and .csv to {studies.Place.of(FLAGS.study, FLAGS.out, FLAGS.storage).folder}")


def start():
    """Flags of this program first, then those of train.py behind a --, where absl leaves them alone."""
    before = set(FLAGS)
    define_flags()
    own, others = separate(sys.argv[1:], set(FLAGS) - before)
    sys.argv[1:] = [*own, "--", *others]
    cli.run(main, positional=True)


if __name__ == "__main__":
    start()
