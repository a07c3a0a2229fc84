"""Mistakes in flags and paths, told before a framework starts. Each raises UserError, one line."""

import math
import os
import pathlib
import re

from kzoo import UserError, cli
from kzoo.datasets import registry
from kzoo.datasets.about import OFFICIAL
from kzoo.training import catalogue

STRIDE = 32  # of the encoders' last maps
OWN_ENCODERS = {"posenet": ("googlenet",)}  # arch -> encoders that it alone has
NETWORK_FLAGS = ("init", "norm", "bias", "dropout")  # hyperparameters that have a flag of their own
SLICED = re.compile(r"[A-Za-z]\w*(\[[^\[\]]*\])?")


# Names


def arch(task: catalogue.Task, name: str):
    """Of the task."""
    if name in task.archs:
        return
    owner = next((other.name for other in catalogue.tasks().values() if name in other.archs), None)
    if owner:
        raise UserError(f"--arch={name} is of --task={owner}; --task={task.name} has {', '.join(task.archs)}")
    cli.check_name(task.archs, name, "arch")


def dataset(name: str | None):
    """A data set, or one of its configurations."""
    if name is None:
        return
    base, _, config = name.partition("/")
    if base not in registry.NAMES:
        raise UserError(
            f"unknown dataset {base!r}; allowed: {', '.join(registry.NAMES)}{cli.meant(base, registry.NAMES)}"
        )
    known = catalogue.configurations(base)
    if config and config not in known:
        allowed = [f"{base}/{one}" for one in known] or [base]
        raise UserError(f"unknown configuration {name!r}; allowed: {', '.join(allowed)}{cli.meant(name, allowed)}")


def names(task: catalogue.Task, arch: str, given: dict):
    """Encoder, optimizer, schedule, loss and hyperparameters of the flags of train.py."""
    tables = {
        "encoder": (*catalogue.encoders(), *OWN_ENCODERS.get(arch, ())),
        "optimizer": catalogue.names_in("training/optimization", "OPTIMIZERS"),
        "schedule": catalogue.names_in("training/optimization", "SCHEDULES"),
        "loss": task.losses,
    }
    for name, known in tables.items():
        if known and given[name] is not None:
            cli.check_name(known, given[name], name)
    allowed = catalogue.hyperparameters(arch)
    flags = [name for name in NETWORK_FLAGS if given[name] is not None]
    for name in (*flags, *cli.assignments(given["set"], "set")):
        if name not in allowed:
            raise UserError(
                f"{arch} has no hyperparameter {name!r}; allowed: {', '.join(allowed)}{cli.meant(name, allowed)}"
            )


# Numbers and splits


def numbers(task: catalogue.Task, flag: dict):
    """Size, milestones, splits and weights of losses of resolved flags of train.py."""
    height, width = cli.shape_of(flag["size"])
    if task.square and height != width:
        raise UserError(f"--task={task.name} works on square crops, got --size={flag['size']}")
    if flag["encoder"] in catalogue.encoders() and (height % STRIDE or width % STRIDE):
        raise UserError(f"--size={flag['size']} must be a multiple of {STRIDE} (the stride of --encoder)")
    if flag["schedule"] == "step" and not flag["milestones"]:
        raise UserError(
            "--schedule=step needs --milestones=<epoch>,<epoch>: the epochs after which the rate falls to a tenth"
        )
    if not all(map(cli.whole, flag["milestones"])):
        raise UserError(f"--milestones must be whole epochs, got {','.join(flag['milestones'])}")
    for name in ("train_split", "val_split"):
        split(flag[name], name)
    for name, weight in cli.assignments(flag["loss_weights"], "loss_weights").items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise UserError(f"--loss_weights={name}={weight} must be a number of 0 or more")


def split(text: str | None, flag: str):
    """How a split is written; which there are, the data set knows."""
    for one in (text or "train").split("+"):
        if not SLICED.fullmatch(one.strip()):
            raise UserError(
                f"--{flag}={text!r} must be a split, slices of it or a sum of them: train, train[:100], train+val"
            )


# Paths


def parent(path: str | None, flag: str):
    """A folder that is to be made: the one that holds it must be there."""
    if path and not pathlib.Path(path).is_dir() and not pathlib.Path(path).absolute().parent.is_dir():
        raise UserError(f"--{flag}={path!r}: there is no folder {pathlib.Path(path).absolute().parent}")


def weights(flag: dict):
    """--encoder_weights: a file that is there, or a word that fits the encoder."""
    value, encoder = flag["encoder_weights"], flag["encoder"]
    others = "--encoder_weights=none (train from scratch) or --encoder_weights=<file>"
    if value == "imagenet" and not catalogue.encoders().get(encoder, True):
        raise UserError(f"Keras has no ImageNet weights for {encoder}; use {others}")
    if value not in (None, "none", "imagenet") and not os.path.isfile(value):
        raise UserError(f"no encoder weights at {value!r}; allowed: imagenet, none, or an existing weights file")


def source(flag: dict):
    """--data_source and --data_dir of a data set that is there, or is to be prepared."""
    parent(flag["data_dir"], "data_dir")
    name, given = flag["dataset"].partition("/")[0], flag["data_source"]
    about = registry.about(name)
    if given and not (given == OFFICIAL and about.downloadable):
        if not about.source:
            made = "generated" if name in registry.DATASETS else "downloaded"
            raise UserError(f"{name} is {made}: it takes no --data_source")
        if not os.path.exists(given):
            raise UserError(f"no data at --data_source={given!r}; give {about.source}")
    folder = data_folder(flag["data_dir"]) / flag["dataset"]
    if about.source and not given and not any(folder.rglob("dataset_info.json")):
        raise UserError(f"{flag['dataset']} is not prepared in {folder}; give --data_source={about.source}")


def data_folder(given: str | None) -> pathlib.Path:
    """Where TFDS keeps prepared data sets."""
    return pathlib.Path(given or os.environ.get("TFDS_DATA_DIR") or os.path.expanduser("~/tensorflow_datasets"))
