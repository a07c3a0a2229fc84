"""Run folders as train.py leaves them, but of networks that were never trained: every test gets its own here.

run = run_folders.make(tmp_path / "me", "seg", "unet", widths=(8,))
run = run_folders.make(tmp_path / "me", "pose", "heatmap", data="people", data_dir=people_dir, width=8)
"""

import dataclasses

import keras

from kzoo import cli, runs
from kzoo.data import builders
from kzoo.data.description import DataSet
from kzoo.runs import Run
from kzoo.tasks import TASKS
from kzoo.training import networks
from kzoo.training.configuration import Configuration

UNITS = {"pose": 17, "seg": 7, "pose3d": 17, "loc": 7, "cluster": 10}
SPLITS = {"train": 64, "val": 32}  # of a data set that is not there


def configuration(
    task: str,
    arch: str,
    *,
    data: str = "people",
    data_dir=None,
    names=None,
    frames=(),
    size: str = "64",
    flags=None,
    **options,
) -> Configuration:
    """What run.json of such a run holds; its network has not been counted.

    Args:
        data: name of a data set; data_dir: where it is prepared, None where there is no data; names: of the units
        (default: the data set's, without one unit0, unit1 …); frames: (T,) of clips (default: the data set's); flags:
        in place of the usual ones; options: keywords of the network, --set.
    """
    row = TASKS[task]
    if data_dir is None:
        described = DataSet(f"{data}/1.0.0", SPLITS, "0123456789ab", {f"flip_{row.names}": []})
        found = [f"unit{number}" for number in range(UNITS[task])]
    else:
        builder = builders.prepare(data, str(data_dir))
        described, frames = builders.describe(builder), frames or builders.frames_of(builder)
        found = list(builders.metadata_of(builder)[row.names])
    encoder = "small" if "encoder" in networks.hyperparameters_of(row.archs[arch]) else None
    usual = {
        "task": task,
        "arch": arch,
        "dataset": data,
        "data_dir": data_dir and str(data_dir),
        "train_split": "train",
        "val_split": "train" if task == "cluster" else "val",
        "encoder": encoder,
        "encoder_weights": encoder and "none",
        "init": None,
        "size": size,
        "set": [f"{name}={value}" for name, value in options.items()],
        "loss_set": [],
        "loss_weights": [],
        "seed": 0,
        "out": None,
        "resume": False,
    }
    return Configuration(
        flags={**usual, **(flags or {})},
        names=list(names or found),
        dataset=described,
        parameters=0,
        score=f"val_{row.score[0]}",
        mode=row.score[1],
        precision="float32",
        frames=tuple(frames),
    )


def make(folder, task: str, arch: str, *, seed: int = 0, **how) -> Run:
    """A run with random weights.

    Args:
        folder: not there yet, or empty; seed: of the weights; how: see `configuration`.
    """
    config = configuration(task, arch, **how)
    size = (*config.frames, *cli.shape_of(config.flags["size"]))
    options = networks.network_options(config.flags)
    keras.utils.set_random_seed(seed)
    model = networks.build(TASKS[task], arch, size, len(config.names), **runs.with_networks(options, size))
    return keep(folder, config, model, options)


def keep(folder, config: Configuration, model: keras.Model, options=None) -> Run:
    """A run of this network, whatever it is."""
    row = TASKS[config.flags["task"]]
    told = {"parameters": model.count_params(), "reads": networks.reads(model)}
    run = Run(folder, dataclasses.replace(config, **told))
    run.keep_networks(options or {})
    run.save_config()
    run.save_model(model)
    run.write_history([{"epoch": 1, "loss": 1.0, f"train_{row.score[0]}": 0.5, config.score: 0.5, "seconds": 1.0}])
    return run
