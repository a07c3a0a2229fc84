"""A sweep: run what is left of a study, wherever it was left."""

from kzoo import UserError
from kzoo.sweep import parameters, studies, study_table
from kzoo.training import interruption


def sweep(
    study: str,
    arguments: list[str],
    *,
    out=studies.STUDIES,
    storage: str | None = None,
    sampler: str | None = None,
    sampler_seed: int = 0,
    trials: int | None = None,
    pruner: str = "none",
    metric: str | None = None,
    direction: str | None = None,
) -> dict:
    """Run what is left of a study, and wait for what others run of it.

    Args:
        study: its name; arguments: train.py's, with lists and ranges: ["--arch=fcn,unet", "--lr=log:1e-5:1e-2"]; the
        others: as the flags of `python -m kzoo.sweep`.
    Returns:
        content of `sweep.json`, see `study_table.table`.
    Raises:
        UserError: before anything is run, for flags that do not fit each other, train.py or what the study was made
        with.
    """
    # What varies, and what does not
    values = parameters.train_flags()
    varied, fixed = parameters.parse(arguments, values)
    sampler, keys = parameters.points(varied, sampler, trials)
    if pruner != "none" and metric:
        raise UserError(f"--pruner={pruner} needs the task's own score, which each epoch has; got --metric={metric}")

    # The study, made or opened
    kept = sorted(argument for argument in arguments if argument[2:].partition("=")[0] not in parameters.PLACES)
    settings = {"arguments": kept, "sampler": sampler, "metric": metric}
    place = studies.Place.of(study, out, storage)
    opened = studies.prepare(
        place, settings, keys, lambda: parameters.aim(values, varied, fixed, metric, direction), pruner
    )

    # Its trials
    def arguments_of(trial) -> list[str]:
        return [*fixed, *(parameter.argument(parameter.suggest(trial)) for parameter in varied)]

    with interruption.told(lambda: f"stopped; finished trials are kept in {place.folder}, the same command goes on"):
        return studies.work(place, opened, arguments_of, sampler, sampler_seed)


def show(study: str, *, out=studies.STUDIES, storage: str | None = None) -> dict:
    """How a study stands, written anew to its folder; nothing is run. Returns the same as `sweep`."""
    place = studies.Place.of(study, out, storage)
    return study_table.write(place, studies.load(place))
