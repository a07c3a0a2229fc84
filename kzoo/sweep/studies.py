"""Studies of `kzoo.sweep`: their queue in Optuna's storage, who runs which trial.

All points of a study are in its queue from the start, each a waiting trial. Trials are taken under the study's lock, so
that each is run by one sweep. A trial stays in state RUNNING until a sweep has seen its process end; one whose sweep is
gone is taken over and continued with --resume, under its own number and in its own folder: train.py knows what is left
of it.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import time
import uuid
from collections.abc import Callable

from tqdm.auto import tqdm

from kzoo import UserError, files
from kzoo.sweep import journal, study_table, study_trials

SAMPLERS, PRUNERS = ("grid", "random", "tpe"), ("none", "median", "hyperband")
SETTINGS = "sweep"  # of a study: its attribute of this name, and its lock
IDENTITY = "study.json"  # in the folder of a study: by it the storage knows the folder again
STUDIES = "runs/sweeps"  # folder of all studies, by default
LOCKED = 120  # seconds after which the lock of a killed process is broken


def optuna():
    try:
        import optuna
    except ImportError as error:
        raise UserError("sweeps need Optuna: pip install optuna") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def key_of(point: dict) -> str:
    return json.dumps(point, sort_keys=True)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a study is: its name, its folder, the journal or database that holds it."""

    name: str
    folder: pathlib.Path
    storage: str

    @classmethod
    def of(cls, name: str, out, storage: str | None):
        if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
            raise UserError(f"--study={name!r} must consist of letters, digits and _ . + -")
        return cls(name, pathlib.Path(out) / name, storage or str(pathlib.Path(out) / "journal.log"))

    @contextlib.contextmanager
    def lock(self):
        """One process at a time, on all machines that share the folder."""
        lock = optuna().storages.journal.JournalFileOpenLock(str(self.folder / SETTINGS), grace_period=LOCKED)
        lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def of_trial(self, trial) -> pathlib.Path:
        return self.folder / trial.user_attrs.get("folder", "not yet")

    def open(self):
        """Optuna's storage."""
        storages = optuna().storages
        try:
            if "://" in self.storage:
                return storages.RDBStorage(self.storage)
            pathlib.Path(self.storage).parent.mkdir(parents=True, exist_ok=True)
            return storages.JournalStorage(journal.backend(self.storage))
        except Exception as error:  # databases have their own, each
            what = " ".join(str(error).split())[:200] or type(error).__name__
            if isinstance(error, OSError):
                what = files.reason(error)
            elif os.path.isfile(self.storage):
                what = journal.damage(self.storage) or f"its steps do not follow each other ({what})"
                what = f"it is damaged: {what}; the runs in {self.folder} are whole: kzoo.report RUN RUN … reads them"
            raise UserError(f"cannot open --storage={files.printable(self.storage)}: {what}") from error


def find(name: str) -> pathlib.Path | None:
    """The folder of a study: `name` is its path, or its name in STUDIES; None where there is no study."""
    places = [pathlib.Path(name), pathlib.Path(STUDIES) / name]
    return next((place for place in places if (place / IDENTITY).exists()), None)


def load(place: Place):
    """A study that is there."""
    missing = UserError(f"no study {place.name!r} in {place.storage}")
    if "://" not in place.storage and not pathlib.Path(place.storage).exists():
        raise missing
    try:
        study = optuna().load_study(study_name=place.name, storage=place.open())
    except KeyError as error:
        raise missing from error
    if SETTINGS not in study.user_attrs:
        raise UserError(f"study {place.name!r} in {place.storage} was not made by kzoo.sweep")
    check_attributes(place, study)
    return study


def check_attributes(place: Place, study):
    """Raises UserError where the storage holds something else than this program keeps in it."""
    settings = study.user_attrs[SETTINGS]
    sound = isinstance(settings, dict) and isinstance(settings.get("arguments"), list)
    sound = sound and {"folder", "sampler", "metric"} <= set(settings) and isinstance(study.user_attrs["score"], str)
    for trial in study.get_trials(deepcopy=False) if sound else ():
        folder = trial.user_attrs.get("folder", "-")
        sound = sound and isinstance(folder, str) and folder == os.path.basename(folder) and folder.strip(".") != ""
        sound = sound and isinstance(trial.user_attrs.get("error", ""), str)
        study_trials.check_owner(trial.user_attrs.get("owner"), f"trial {trial.number} in {place.storage}")
    if not sound:
        raise UserError(f"what {place.storage} holds of study {place.name!r} is damaged; give another --study")


def identity_of(folder: pathlib.Path) -> dict:
    """Content of the study's IDENTITY."""
    path = folder / IDENTITY
    identity = files.read_json(path)
    if not isinstance(identity, dict) or not isinstance(identity.get("folder"), str):
        raise UserError(f'{path} must be {{"folder": "<name>"}}, the name that the study\'s storage knows')
    return {"folder": identity["folder"]}


def pruner_of(name: str):
    pruners = optuna().pruners
    return {"none": pruners.NopPruner, "median": pruners.MedianPruner, "hyperband": pruners.HyperbandPruner}[name]()


def sampler_of(name: str, seed: int):
    """Points of a grid come from the queue, whatever the sampler."""
    samplers = optuna().samplers
    return samplers.TPESampler(seed=seed, constant_liar=True) if name == "tpe" else samplers.RandomSampler(seed=seed)


def prepare(place: Place, settings: dict, points: dict[str, dict], aim: Callable, pruner: str):
    """Make the study, or open it, and put those of its points in the queue that are not there yet.

    Args:
        settings: all that may not change from start to start; points: parameters by key, those that are given from the
        start.
        aim: gives the score's name, and "min" or "max"; called once in the study's life.
    Raises:
        UserError: the study was made with other settings, or with another folder.
    """
    files.check_writable(place.folder)
    place.folder.mkdir(parents=True, exist_ok=True)
    storage = place.open()
    studies = optuna()
    with place.lock():
        # The folder, known again by a name that its path does not change
        if not (place.folder / IDENTITY).exists():
            files.write_json(place.folder / IDENTITY, {"folder": uuid.uuid4().hex})
        settings = {**settings, **identity_of(place.folder)}

        # The study, opened or made
        try:
            study = studies.load_study(study_name=place.name, storage=storage)
        except KeyError:
            score, direction = aim()
            if any(place.folder.glob("[0-9]*-*")):
                raise UserError(
                    f"{place.folder} holds trials, but {place.storage} no study {place.name!r}; give another --study"
                ) from None
            study = studies.create_study(study_name=place.name, storage=storage, direction=f"{direction}imize")
            study.set_user_attr("score", score)
            study.set_user_attr(SETTINGS, settings)
        if "score" not in study.user_attrs or SETTINGS not in study.user_attrs:  # killed while it was made
            study.set_user_attr("score", aim()[0])
            study.set_user_attr(SETTINGS, settings)
        check_attributes(place, study)
        check(place, study.user_attrs[SETTINGS], settings)

        # Its queue
        queued = {trial.user_attrs.get("point") for trial in study.get_trials(deepcopy=False)}
        for key, point in points.items():
            if key not in queued:
                study.enqueue_trial(point, user_attrs={"point": key})
    study.pruner = pruner_of(pruner)
    return study


def check(place: Place, before: dict, now: dict):
    """Raises UserError where a study was made with other settings, or in another folder."""
    if before["folder"] != now["folder"]:
        raise UserError(
            f"study {place.name!r} in {place.storage} has its trials in another folder, not in {place.folder}; "
            "give its --out"
        )
    for name in now:
        if before[name] == now[name]:
            continue
        was = f"--{name}={before[name]}"
        asked = f"--{name}={now[name]}"
        if name == "arguments":
            was = _beyond(before[name], now[name])
            asked = _beyond(now[name], before[name])
        raise UserError(f"study {place.name!r} was made with {was}, now asked for {asked}; give another --study")


def _beyond(arguments: list[str], others: list[str]) -> str:
    """Arguments that are not among others, in words."""
    return " ".join(one for one in arguments if one not in others) or "nothing more"


def claim(place: Place, study, arguments_of: Callable, sampler: str, seed: int) -> tuple | None:
    """Take a trial whose sweep is gone, or else the next one that waits.

    Returns:
        the `optuna.Trial`, the arguments of train.py, the run folder and the owner before, or None where there is
        nothing to take.
    """
    states = optuna().trial.TrialState
    with place.lock():
        running = study.get_trials(deepcopy=False, states=(states.RUNNING,))
        waiting = study.get_trials(deepcopy=False, states=(states.WAITING,))
        left = [
            trial
            for trial in running
            if not study_trials.is_alive(trial.user_attrs.get("owner"), place.of_trial(trial))
        ]
        if not left and not waiting:
            return None
        frozen = (left or waiting)[0]
        study.sampler = sampler_of(sampler, seed + frozen.number)
        trial = optuna().Trial(study, frozen._trial_id) if left else study.ask()  # ask takes the first that waits
        before = frozen.user_attrs.get("owner") or {}
        # a process that a killed sweep left behind stays known until it has ended
        trial.set_user_attr("owner", {**study_trials.me(), "train": before.get("train")})
        arguments = arguments_of(trial)
        values = "-".join(
            f"{value:.3g}" if isinstance(value, float) else str(value).rpartition("/")[2]
            for value in trial.params.values()
        )
        name = f"{trial.number:03d}-{re.sub(r'[^A-Za-z0-9.+-]+', '_', values)[:80]}"
        folder = place.folder / trial.user_attrs.get("folder", name)
        trial.set_user_attr("folder", folder.name)
        folder.mkdir(exist_ok=True)
        study_trials.LaunchedFolder(folder).beat()
    return trial, arguments, folder, before


def work(place: Place, study, arguments_of: Callable, sampler: str, seed: int) -> dict:
    """Run trials until none is left; wait for those of other processes, and take over what they leave.

    Args:
        arguments_of: of an `optuna.Trial`, the arguments of train.py; sampler, seed: of the points.
    Returns:
        see `study_table.table`.
    """
    states = optuna().trial.TrialState
    settings = study.user_attrs[SETTINGS]
    options = {
        "name": study.user_attrs["score"],
        "direction": study_table.direction_of(study),
        "of_report": settings["metric"] is not None,
    }
    with tqdm(
        total=len(study.get_trials(deepcopy=False)), desc=place.name, unit="trial", dynamic_ncols=True, disable=None
    ) as bar:
        while True:
            claimed = claim(place, study, arguments_of, sampler, seed)
            trials = study.get_trials(deepcopy=False)
            bar.n = sum(trial.state.is_finished() for trial in trials)
            bar.refresh()
            if claimed is None:
                if not any(trial.state == states.RUNNING for trial in trials):
                    return study_table.write(place, study)
                time.sleep(study_trials.PAUSE)
                continue
            trial, arguments, folder, before = claimed
            try:
                study_trials.end_orphan(before)
                ended = study_trials.run(trial, folder, arguments, **options)
            except KeyboardInterrupt:
                trial.set_user_attr("owner", None)
                study_table.write(place, study)
                raise
            if "error" in ended:
                trial.set_user_attr("error", ended["error"])
                bar.write(f"trial {trial.number} failed: {ended['error']}")
            study.tell(trial.number, ended.get("value"), state=states[ended["state"].upper()])
            study_table.write(place, study)
