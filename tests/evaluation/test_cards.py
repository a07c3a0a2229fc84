"""Model cards: what each must say, for every task, and nothing that is not known."""

import dataclasses
import re

import pytest

from kzoo.data.description import DataSet
from kzoo.evaluation import model_card
from kzoo.programs import list as listing
from kzoo.runs import Run
from kzoo.tasks import TASKS
from kzoo.training.configuration import Configuration

SCORES = {"pose": "mpjpe", "seg": "miou", "pose3d": "mpjpe_mm", "loc": "median_m", "cluster": "acc"}
RUNS = [  # task, arch, data set, what else the card must say
    ("pose", "softargmax", "people", "rendered pictures"),
    ("pose", "regression", "coco_subset/pose", "Flickr licences"),
    ("seg", "unet2015", "camvid", "for research"),
    ("pose3d", "lift", "human36m", "must not be passed on"),
    ("loc", "mapnet", "seven_scenes/windows", "published test split"),
    ("cluster", "dec", "mnist", "CC BY-SA 3.0"),
]


READS = {"lift": ("keypoints_2d",), "mapnet": ("frames",)}


def fake(task: str, arch: str, dataset: str, **changes) -> tuple[Run, dict]:
    """A run that was never written, and the content of its report."""
    whole = task == "cluster"
    flag = {
        "task": task,
        "arch": arch,
        "dataset": dataset,
        "data_dir": "/home/me/private",
        "data_source": None,
        "train_split": "train+test" if whole else "train",
        "val_split": "train+test" if whole else "val",
        "encoder": None if arch in ("unet2015", "lift", "dec") else "resnet50",
        "encoder_weights": None if arch in ("unet2015", "lift", "dec") else "imagenet",
        "size": "96x128",
        "set": ["width=32"],
        "loss_set": [],
        "seed": 3,
        "cache": False,
        "out": None,
        "resume": False,
        "ema": None,
        **changes.pop("flags", {}),
    }
    config = Configuration(
        flags=flag,
        names=[f"unit{i}" for i in range(25)],
        parameters=1234567,
        precision="float32",
        frames=(8,) if task == "pose3d" else (),
        reads=READS.get(arch, ("image",)),
        versions={"python": "3.11", "keras": "3.15"},
        device="cpu:0",
        started="2025-01-01T00:00:00",
        dataset=DataSet(f"{dataset}/1.1.0", {"train": 2000, "val": 500}, "56d049aff6ed"),
    )
    result = {
        "scores": {SCORES[task]: 12.3456, "velocity": float("nan")},
        "tables": {},
        "notes": ["How it was counted."],
        "run": f"{task}-{arch}",
        "split": flag["val_split"],
        "tta": "flip",
        "crop": "96x128",
        "examples": 500,
        "flags": flag,
        "parameters": 1234567,
        "dataset": config.dataset.name,
        "fingerprint": "56d049aff6ed",
        "baselines": {"mean pose": {SCORES[task]: 43.21}, "nothing": {SCORES[task]: float("nan")}},
        **changes,
    }
    return Run(f"runs/{task}-{arch}", config), result


@pytest.mark.parametrize(("task", "arch", "dataset", "said"), RUNS)
def test_a_card_says_what_it_must(task, arch, dataset, said):
    text = model_card.card(
        *fake(task, arch, dataset, **({"boxes": "ground truth x 1.25", "decoder": "dark"} if task == "pose" else {}))
    )
    for part in (
        f"# {task}/{arch} on {dataset}/1.1.0",
        model_card.paper(arch),
        "1,234,567",
        "56d049aff6ed",
        "train 2,000, val 500",
        f"| {SCORES[task]} | 12.35 |",
        "Not defined on this split: velocity",
        "test-time augmentation: flip; " if task == "pose" else "test-time augmentation: flip.",
        "size (px): 96x128",
        f"{SCORES[task]} of mean pose: 43.21",
        TASKS[task].answers.limits[0],
        "with seed 3",
        f"python train.py --task={task} --arch={arch}",
        f'kzoo.load("runs/{task}-{arch}")',
        f"what else the network reads: {READS.get(arch, ('image',))[0]}.",
        "(N, 8, 96, 128, 3)" if task == "pose3d" else "(N, 96, 128, 3)",
        said,
    ):
        assert part in text, part
    if task == "pose":
        assert "boxes: ground truth x 1.25" in text and "decoder: dark" in text
    assert not re.search(r"\b(none|nan|null)\b", text, re.IGNORECASE), "neither None nor nan"
    assert "/home/me" not in text, "no folder of somebody's machine"
    assert ("from ImageNet" in text and model_card.IMAGENET in text) == (arch in ("softargmax", "regression", "mapnet"))
    assert "saved_model" not in text
    assert ("run.predict(" in text) == (arch != "lift"), "pictures are for networks that read pictures"


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({"split": "test"}, "split: test", "chosen on"),
        ({"split": "val[:100]"}, "chosen on `val[:100]`", "saved_model"),
        ({"export": {"saved_model": 1e-7}}, 'tf.saved_model.load("runs/seg-unet/saved_model")', "ImageNet's"),
        (
            {"flags": {"encoder_weights": "/home/me/a.weights.h5"}},
            "resnet50, from a weights file",
            "access to ImageNet",
        ),
        ({"flags": {"encoder_weights": "none"}}, "resnet50, from scratch", "access to ImageNet"),
        ({"baselines": {}}, "split: val", "For comparison"),
        ({"stopped": "after 7 rounds"}, "after 7 rounds", "For nothing"),
    ],
)
def test_a_card_follows_the_run(changes, said, unsaid):
    text = model_card.card(*fake("seg", "unet", "people", **changes))
    assert said in text and unsaid not in text


def test_a_data_set_that_kzoo_no_longer_has():
    text = model_card.card(*fake("seg", "unet", "people", flags={"dataset": "gone/pictures"}))
    assert "| licence | not known to kzoo |" in text and "rendered" not in text and "published test split" not in text


def test_an_old_run_has_a_card_too():
    run, result = fake("seg", "unet", "people")
    late = {"precision": None, "versions": None, "device": None, "commit": None, "started": None}
    flag = {
        name: value for name, value in run.flags.items() if name not in ("train_split", "val_split", "encoder_weights")
    }
    old = Run(run.folder, dataclasses.replace(run.config, flags=flag, **late))
    told = {key: result[key] for key in ("scores", "run", "split", "crop", "examples")}
    assert "resnet50, from scratch" in model_card.card(old, told)


def test_tables_are_complete():
    """Every architecture has a first line; tasks: tests/tasks/test_tasks.py, data sets: tests/test_datasets.py."""
    assert {row["task"] for row in listing.tasks()} == set(TASKS)
    assert all(len(model_card.paper(row["arch"])) > 20 for row in listing.archs())
