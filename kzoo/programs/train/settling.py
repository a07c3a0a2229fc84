"""From what the user says to the flags of a run, before a framework starts: by recipes, or by the run that goes on."""

from kzoo import UserError, cli, runs
from kzoo.runs import Run
from kzoo.training import checks, resolving

KEPT = ("out", "data_dir", "data_source", "epochs", "rounds", "cache")  # flags that --resume may change


def settled(given: dict, said: set[str] | None = None) -> dict:
    """Flags of the run, resolved by the task's recipes; of one that goes on those that are stored there. No framework
    is started: mistakes are told at once.

    Args:
        given: every flag by name; said: those that the user gave; None where that is not known.
    """
    given = runs.absolute_paths(given)
    if given["resume"]:
        given = resumed(given, said)
    if not given["resume"] and (path := runs.path_in(given["set"], "features")):
        trained = Run.open(path).flags  # its data and size are the ones to cluster
        given = {**given, **{name: trained[name] for name in ("dataset", "size", "data_dir") if given[name] is None}}
    flag = resolving.resolve(given)
    if not flag["resume"]:
        checks.weights(flag)
        checks.source(flag)
        if flag["out"] and Run.exists(flag["out"]):
            raise UserError(f"{flag['out']} already holds a run; give another --out, or --resume to continue it")
    return flag


def resumed(given: dict, said: set[str] | None) -> dict:
    """Flags of a run that goes on: those that are stored there, and what --resume may change.

    Raises:
        UserError: there is no such run, a flag that would make another run of it, or fewer epochs than it has.
    """
    if not given["out"] or not Run.exists(given["out"]):
        raise UserError(f"--resume needs --out=<folder of an earlier run>; got {given['out']!r}")
    if given["refresh"]:
        raise UserError("--resume goes on with the data that the run saw: it takes no --refresh")
    run = Run.open(given["out"])
    changed = [name for name in sorted(said or ()) if name not in (*KEPT, "resume", "refresh")]
    for name in changed:
        if name in run.flags and _differs(name, given[name], run.flags[name]):
            raise UserError(
                f"--{name} cannot change with --resume: {run.folder} has {run.flags[name]!r}, got {given[name]!r}; "
                f"it may be given --{', --'.join(KEPT[1:])}. For other flags begin a new run, without --resume"
            )
    said = {name for name in KEPT if given[name] not in (None, False)} if said is None else said & set(KEPT)
    kept = {name: given[name] for name in said & set(KEPT)}
    located = {
        "data_dir": kept.get("data_dir") or run.flags.get("data_dir"),
        "encoder_weights": run.located(run.flags.get("encoder_weights")),
        "data_source": kept.get("data_source"),  # what it was prepared from is not asked for again
        "out": given["out"],
    }
    merged = {**given, **run.flags, **located, **kept, "resume": True}  # older runs lack newer flags
    made = run.epochs_made()
    if merged["rounds"] is None and merged["epochs"] and merged["epochs"] < made:
        raise UserError(
            f"nothing to do: {run.folder} has {made} epochs already, got --epochs={merged['epochs']}; --epochs=<more> "
            "trains on, and without it the best epoch is scored again"
        )
    return merged


def _differs(name: str, given, stored) -> bool:
    """Whether a flag says something else than what a run has; what the recipe added does not count."""
    if name in ("set", "loss_set", "loss_weights"):
        kept = cli.assignments(stored, name)
        return any(key not in kept or kept[key] != value for key, value in cli.assignments(given, name).items())
    if name in ("milestones", "border"):
        return list(map(str, given or ())) != list(map(str, stored or ()))
    if name == "size":
        return cli.shape_of(given) != cli.shape_of(stored)
    if name == "dataset":
        return given != stored and not f"{stored}/".startswith(f"{given}/")
    return given != stored
