"""The face of the library: the code of docs/api.md runs as it stands there, and mistakes speak of keywords."""

import pathlib

import api_lines
import numpy as np
import pytest
import run_folders
from PIL import Image

import kzoo

ROOT = pathlib.Path(__file__).parents[1]


def test_the_code_of_the_page_runs(tmp_path, monkeypatch):
    """All blocks, one after the other in one namespace, where runs/me and me.jpg lie."""
    run_folders.make(tmp_path / "runs/me", "pose", "softargmax", widths=(8,))
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype="uint8")
    Image.fromarray(picture).save(tmp_path / "me.jpg")
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/api.md"
    assert len(api_lines.blocks(page)) == page.read_text().count("```") // 2 > 2, "all of its blocks are Python"
    assert api_lines.run(page)["answer"]["keypoints"].shape == (17, 2)


def unet():
    return kzoo.create_model("unet", (32, 32, 3), 3, encoder="small", encoder_weights="none", widths=(4,))


MISTAKES = {  # name -> call, what the line says
    "no such task to list": (lambda: kzoo.list_models("dance"), r"unknown task='dance'; allowed: pose, seg"),
    "no such model": (lambda: kzoo.create_model("unett", (32, 32, 3), 3), "unknown model 'unett'; allowed: .*unet"),
    "grey pictures": (lambda: kzoo.create_model("unet", (32, 32, 1), 3), r"input_shape must be .* got \(32, 32, 1\)"),
    "no such hyperparameter": (lambda: kzoo.create_model("unet", (32, 32, 3), 3, widhts=(4,)), "'widhts'; .*widths"),
    "no such encoder": (lambda: kzoo.create_model("unet", (32, 32, 3), 3, encoder="resnet9"), "'resnet9'.*resnet50"),
    "weights that are not there": (
        lambda: kzoo.create_model("unet", (32, 32, 3), 3, encoder="small", encoder_weights="imagenet"),
        "no ImageNet weights.*encoder_weights=none",
    ),
    "clips for a network of pictures": (lambda: kzoo.create_model("unet", (8, 32, 32, 3), 3), "unet reads pictures"),
    "pictures for a network of clips": (lambda: kzoo.create_model("encoder_gru", (32, 32, 3), 17), "gru reads clips"),
    "a path for a network": (
        lambda: kzoo.create_model("lift", (8, 32, 32, 3), 17, pose_run="runs/2d"),
        "pose_run must be a network.*got 'runs/2d'",
    ),
    "a weight that is none": (
        lambda: kzoo.compile_arguments(unet(), "seg", loss_weights={"logits": "a"}),
        "loss_weights=logits=a must be a number of 0 or more",
    ),
    "weights that are none": (lambda: kzoo.compile_arguments(unet(), "seg", loss_weights=2.0), "must be {output: numb"),
    "no network at all": (lambda: kzoo.compile_arguments("unet", "seg"), "model must be a network.*got str"),
    "an odd size": (lambda: kzoo.create_model("unet", (30, 30, 3), 3, encoder="small"), "multiple of 32"),
    "no such task to compile for": (lambda: kzoo.compile_arguments(unet(), "segg"), "unknown task='segg'; allowed"),
    "another task's network": (lambda: kzoo.compile_arguments(unet(), "pose"), "task='pose' scores .*emits logits"),
    "no such loss": (lambda: kzoo.compile_arguments(unet(), "seg", loss="l3"), "unknown loss='l3'; allowed: cross"),
    "no such keyword of a loss": (lambda: kzoo.compile_arguments(unet(), "seg", sigm=1), "loss_set.*sigm"),
    "the weight of no output": (
        lambda: kzoo.compile_arguments(unet(), "seg", loss_weights={"coords": 1}),
        "loss_weights names 'coords'.*emits logits",
    ),
    "no such run": (lambda: kzoo.load("/nowhere"), "no run folder at /nowhere"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_speak_of_keywords(name):
    call, words = MISTAKES[name]
    with pytest.raises(kzoo.UserError, match=words) as raised:
        call()
    assert "--" not in str(raised.value) and "\n" not in str(raised.value)


def test_what_it_offers():
    assert set(kzoo.__all__) <= set(dir(kzoo))
    for name in kzoo.__all__:
        assert getattr(kzoo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lead'"):
        kzoo.lead  # noqa: B018
    assert "unet" in kzoo.list_models("seg") and "unet" not in kzoo.list_models("pose")
    assert kzoo.list_models() == [arch for task in kzoo.TASKS for arch in kzoo.list_models(task)]


def test_models_are_functions():
    from kzoo.models import unet

    assert callable(unet) and unet.__module__ == "kzoo.models.unet"
    assert kzoo.TASKS["seg"].archs["unet"] is unet
