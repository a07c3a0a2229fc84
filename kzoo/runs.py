"""Reading run folders."""

import contextlib
import pathlib
import shutil

import keras

from kzoo import UserError, cli, files
from kzoo.data import statistics
from kzoo.tasks import TASKS, Task
from kzoo.training.networks import build, network_options


def describe(folder) -> dict:
    """`run.json` of a run folder."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise UserError(f"no run folder at {folder}")
    return files.read_json(folder / "run.json")


def task_of(run: dict) -> Task:
    return cli.pick(TASKS, run["flags"]["task"], "task")


PARTS = (
    "pose_run",
    "features",
)  # hyperparameters that name a run within the network, and where its copy lies in the run folder


def keep_parts(folder, hyperparameters: dict):
    """Copy the runs that a network contains into the network's own run folder: it can then be rebuilt whatever becomes
    of the others."""
    for part in PARTS:
        source, kept = hyperparameters.get(part), pathlib.Path(folder) / part
        if not source or not isinstance(source, str) or pathlib.Path(source) == kept:
            continue
        with files.replacing(kept) as temporary:
            temporary.mkdir()
            for name in ("run.json", "model.keras", *PARTS):
                if (pathlib.Path(source) / name).is_dir():
                    shutil.copytree(pathlib.Path(source) / name, temporary / name)
                elif (pathlib.Path(source) / name).exists():
                    shutil.copy(pathlib.Path(source) / name, temporary / name)


def parts_of(folder) -> dict:
    """Hyperparameters that point to the copies which `keep_parts` made."""
    return {part: str(pathlib.Path(folder) / part) for part in PARTS if (pathlib.Path(folder) / part).exists()}


@contextlib.contextmanager
def float32():
    """While it lasts, networks are built in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def load_model(folder, shape: tuple[int, int] | None = None, **hyperparameters) -> keras.Model:
    """The best network of a run, rebuilt in float32 whatever precision it was trained in, not compiled.

    Args:
        shape: (height, width) of its input; None: as it was trained. Networks without convolutions alone are tied to
        their size.
        hyperparameters: in place of the run's, such that leave the weights what they are.
    Raises:
        UserError: no such run, its model is missing or unreadable, or it cannot take pictures of `shape`.
    """
    folder, run = pathlib.Path(folder), describe(folder)
    flags = run["flags"]
    path = folder / "model.keras"
    if not path.exists():
        raise UserError(f"{folder} holds no model.keras: the run stopped before its first epoch ended")
    fresh = flags if flags["encoder"] is None else {**flags, "encoder_weights": "none"}
    colours = statistics.ColourStatistics(**run["colours"]) if run.get("colours") else None
    options = {**network_options(fresh, colours, run.get("fitted")), **parts_of(folder), **hyperparameters}
    size = (*run.get("frames", ()), *(shape or cli.shape_of(flags["size"])))
    with float32():
        model = build(task_of(run), flags["arch"], size, len(run["names"]), **options)
        try:
            weights = keras.saving.load_model(path, compile=False).get_weights()
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"cannot load {path}: {str(error).splitlines()[0]}") from error
    try:
        model.set_weights(weights)
    except ValueError as error:
        reason = (
            f"{flags['arch']} is tied to the size it was trained at, {flags['size']}"
            if shape
            else str(error).splitlines()[0]
        )
        raise UserError(f"the weights of {path} do not fit: {reason}") from error
    return model
