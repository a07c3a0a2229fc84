"""A training that only pretends: it writes what train.py would, with scores that follow from its flags. For tests of
what starts trainings, in place of `study_trials.TRAIN`.

In the folder of its runs it keeps the diaries `starts` and `epochs`; there the file `crash` names runs that crash, and
`slow` holds the seconds that an epoch takes.
"""

import os
import pathlib
import signal
import sys
import time

from absl import flags

from kzoo import files, runs
from kzoo.data.description import DataSet
from kzoo.runs import Run
from kzoo.training.configuration import Configuration

TESTS = str(pathlib.Path(__file__).parent)
COMMAND = (sys.executable, "-m", "stand_in")
COURSE = "coco_subset"
SPLITS = {"pose": {"train": 3150, "val": 764}, "seg": {"train": 1243, "val": 291}}
RECIPE = {"epochs": 4, "lr": 0.001, "batch_size": 16, "augment": 1.0, "optimizer": "adam", "schedule": "cosine"}
JOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_hip", "right_wrist", "left_ankle")
CAUSES = {"good": 0.4, "jitter": 0.2, "left-right": 0.1, "occluded": 0.1, "miss": 0.2}


def use(monkeypatch, pause: float):
    """Let this process, and those that it starts, start this instead of train.py."""
    from kzoo.sweep import study_trials

    monkeypatch.setattr(study_trials, "TRAIN", COMMAND)
    monkeypatch.setattr(study_trials, "PAUSE", pause)
    monkeypatch.setenv("PYTHONPATH", TESTS, prepend=os.pathsep)


def diary(folder, name: str) -> list[str]:
    path = pathlib.Path(folder) / name
    return path.read_text().splitlines() if path.exists() else []


def define_flags():
    flags.DEFINE_string("task", "seg", "")
    flags.DEFINE_string("arch", "a", "")
    flags.DEFINE_string("dataset", "people", f"{COURSE} or another")
    flags.DEFINE_string("out", None, "")
    flags.DEFINE_string("data_dir", None, "")
    flags.DEFINE_string("data_source", None, "")
    flags.DEFINE_string("train_split", None, "")
    flags.DEFINE_string("val_split", None, "")
    flags.DEFINE_string("encoder", None, "")
    flags.DEFINE_string("encoder_weights", None, "")
    flags.DEFINE_string("size", "256", "")
    flags.DEFINE_string("loss", None, "")
    flags.DEFINE_multi_string("set", None, "")
    flags.DEFINE_multi_string("loss_weights", None, "")
    flags.DEFINE_list("border", None, "")
    flags.DEFINE_enum("norm", None, ["batch", "none"], "")
    flags.DEFINE_float("lr", None, "", lower_bound=0.0)
    flags.DEFINE_float("warmup", 0.0, "in tests of sweeps: seconds an epoch", lower_bound=0.0)
    flags.DEFINE_float("augment", None, "")
    flags.DEFINE_integer("epochs", 2, "", lower_bound=1)
    flags.DEFINE_integer("batch_size", None, "")
    flags.DEFINE_integer("seed", 0, "")
    flags.DEFINE_boolean("cache", False, "")
    flags.DEFINE_boolean("resume", False, "")


class Study:
    """Any run: its score is --lr, or the place of --arch in the alphabet, and grows by 0.001 an epoch and by 0.01 a
    seed."""

    metric, mode, names = "miou", "max", ["a", "b"]
    dataset = DataSet("people/1.0.0", {"train": 64, "val": 32}, "abc")

    def __init__(self, flag: dict, name: str):
        self.flag = flag
        letter = (ord(flag["arch"][0]) - 96) / 10
        self.goal = (letter if flag["lr"] is None else flag["lr"]) + 0.01 * flag["seed"]
        self.seconds = flag["warmup"] * (40 if self.goal < 0.05 else 1)

    def row(self, epoch: int) -> dict:
        column = "acc" if self.flag["arch"] == "report" else "val_miou"
        return {"epoch": epoch, column: self.goal + 0.001 * epoch, "seconds": 60}

    def report(self) -> dict:
        return {"scores": {"miou": self.goal, "acc": 0.5, "odd": None}}


class Course:
    """A run of `kzoo.lab`: the longer its name, the larger its error."""

    def __init__(self, flag: dict, name: str):
        self.flag = flag
        self.pose = flag["task"] == "pose"
        self.metric, self.mode = ("mpjpe", "min") if self.pose else ("miou", "max")
        self.names = list(JOINTS) if self.pose else ["background", "person"]
        self.dataset = DataSet(f"{COURSE}/{flag['task']}/1.0.0", SPLITS[flag["task"]], "0123456789ab")
        goal = 20 + len(name) / 4 if self.pose else {"fcn": 0.5, "encdec": 0.6, "unet": 0.7}[flag["arch"]]
        self.goal = goal + flag["seed"] * goal / 100
        self.seconds = 0.0

    def row(self, epoch: int) -> dict:
        value = self.goal + (4 - epoch) * (2.5 if self.pose else -0.05)
        train = value * (0.9 if self.pose else 1.1)
        return {"epoch": epoch, f"train_{self.metric}": train, f"val_{self.metric}": value, "seconds": 30}

    def report(self) -> dict:
        if self.pose:
            joints = {name: 10.0 + i for i, name in enumerate(JOINTS)}
            tables = {"MPJPE per joint (px)": joints, "Share of labelled joints by cause": CAUSES}
            how = {"boxes": "ground truth x 1.25", "decoder": "coords", "failures": {}}
            return {"scores": {"mpjpe": self.goal, "AP": 0.123}, "tables": tables, **how}
        iou = {"background": self.goal + 0.1, "person": self.goal - 0.1}
        return {"scores": {"miou": self.goal}, "tables": {"IoU per class": iou}, "confusion": [[80, 0], [10, 10]]}


def train(run: Run, kind):
    """The epochs that are left."""
    arch = run.arch
    slow = diary(run.folder.parent, "slow")
    rows = run.history
    for epoch in range(len(rows) + 1, run.flags["epochs"] + 1):
        time.sleep(float(slow[0]) if slow else kind.seconds)
        rows.append(kind.row(epoch))
        run.write_history(rows)
        note(run, "epochs", epoch)
        if arch == "crash":
            sys.exit("first line\n\rbar 10%\rthe loss | became nan\n")
        if arch == "oom":
            os.kill(os.getpid(), signal.SIGKILL)
        if arch == "cut":
            return


def note(run: Run, name: str, text):
    with open(run.folder.parent / name, "a") as file:
        file.write(f"{run.name} {text}\n")


def opened() -> Run:
    """The run of --out, new or to be continued."""
    flag = {one.name: one.value for one in flags.FLAGS.flags_by_module_dict()[sys.argv[0]]}
    folder = pathlib.Path(flag["out"])
    if flag["resume"]:
        return Run.open(folder)
    if Run.exists(folder):
        sys.exit("already holds a run")
    if flag["dataset"] == COURSE:
        flag |= RECIPE
    kind = kind_of(flag, folder.name)
    versions = {"keras": "3.0", "tensorflow": "2.0"}
    where = {"device": "cpu:0; 2 CPU cores, x86_64", "versions": versions, "commit": "c"}
    score = {"score": f"val_{kind.metric}", "mode": kind.mode}
    return Run.create(folder, Configuration(flag, kind.names, kind.dataset, 2_300_000, **score, **where))


def kind_of(flag: dict, name: str):
    return (Course if flag["dataset"] == COURSE else Study)(flag, name)


def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
    define_flags()
    flags.FLAGS(sys.argv)
    run = opened()
    note(run, "starts", "resumed" if flags.FLAGS.resume else "new")
    if run.name in " ".join(diary(run.folder.parent, "crash")).split():
        sys.exit("first line\nthe loss became nan")
    kind = kind_of(run.flags, run.name)
    try:
        train(run, kind)
    except KeyboardInterrupt:
        print("train: stopped", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)  # as train.py: nothing is scored
    data = kind.dataset
    split = {"split": "val", "examples": data.splits["val"], "dataset": data.name, "fingerprint": data.fingerprint}
    how = {"crop": run.flags["size"], "tta": "none", "parameters": run.config.parameters, "flags": run.flags}
    files.write_json(run.folder / runs.REPORT, {**split, **how, **kind.report()})


if __name__ == "__main__":
    main()
