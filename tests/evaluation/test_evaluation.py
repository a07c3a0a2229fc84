"""Averaging with mirrored pictures, and eval.py with its decoders, on networks that were never trained."""

import json

import keras
import numpy as np
import pytest
import run_folders
from running import one_line, run

from kzoo import UserError
from kzoo.inference import predictors
from kzoo.nn import decoding
from kzoo.tasks import TASKS

RNG = np.random.default_rng(0)
METADATA = {"joints": ["nose", "left_eye", "right_eye"], "flip_joints": [[1, 2]]}
SCORES = {"mpjpe", "pck@0.1", "auc"}


class Fixed:
    """Stands for a network that answers every batch alike, whatever it shows."""

    def __init__(self, outputs):
        self.outputs, self.output_names = outputs, list(outputs)
        self.inputs = [keras.Input((8, 8, 3), dtype="uint8", name="image")]

    def predict_on_batch(self, images):
        return self.outputs


OUTPUTS = {
    "coords": RNG.uniform(0, 1, (2, 3, 2)).astype("float32"),
    "latent_heatmaps": RNG.normal(0, 1, (2, 4, 6, 3)).astype("float32"),
    "aux_coords": RNG.uniform(0, 1, (2, 2, 3, 2)).astype("float32"),
}
IMAGES = np.zeros((2, 8, 8, 3), "uint8")


def predict(tta, names=None, outputs=OUTPUTS):
    return predictors.Mirrored(TASKS["pose"], Fixed(outputs), METADATA, tta=tta)(IMAGES, names)


def test_auxiliary_outputs_are_kept_for_pictures_and_dropped_from_averages():
    assert set(predict("none")) == set(OUTPUTS) and set(predict("none", ("coords",))) == {"coords"}
    assert set(predict("flip")) == {"coords", "latent_heatmaps"}


def test_averages():
    order, maps = [0, 2, 1], decoding.spatial_softmax(OUTPUTS["latent_heatmaps"])
    mirrored = maps[:, :, ::-1][..., order]
    flip, shifted = predict("flip"), predict("flip_shift")
    np.testing.assert_allclose(flip["latent_heatmaps"], 0.5 * (maps + mirrored), rtol=1e-6)
    expected = mirrored.copy()
    expected[:, :, 1:] = mirrored[:, :, :-1]
    np.testing.assert_allclose(shifted["latent_heatmaps"], 0.5 * (maps + expected), rtol=1e-6)
    np.testing.assert_array_equal(flip["coords"], shifted["coords"])  # only maps are shifted
    np.testing.assert_allclose(
        flip["coords"][..., 0], 0.5 * (OUTPUTS["coords"][..., 0] + 1 - OUTPUTS["coords"][:, order, 0]), rtol=1e-6
    )


def test_shifting_a_network_without_maps_is_refused():
    with pytest.raises(UserError, match="--tta=flip_shift shifts heat maps"):
        predict("flip_shift", outputs={"coords": OUTPUTS["coords"]})
    with pytest.raises(UserError, match="allowed: none, flip, flip_shift"):
        predict("rotate")


NETWORKS = {  # name -> task, arch, hyperparameters
    "heatmap": ("pose", "heatmap", {"width": 8}),
    "regression": ("pose", "regression", {}),
    "softargmax": ("pose", "softargmax", {"widths": (8,)}),
    "unet": ("seg", "unet", {"widths": (8,)}),
}


@pytest.fixture(scope="module")
def untrained(people_dir, tmp_path_factory):
    """name -> folder of a run of NETWORKS."""
    made = {}

    def folder(name):
        if name not in made:
            task, arch, options = NETWORKS[name]
            where = tmp_path_factory.mktemp("runs") / name
            made[name] = run_folders.make(
                where, task, arch, data_dir=people_dir, flags={"init": "he_normal"}, **options
            )
        return made[name].folder

    return folder


@pytest.mark.parametrize(("name", "own"), [("heatmap", "dark"), ("softargmax", "coords")])
def test_all_decoders_in_one_table(name, own, untrained, tmp_path, capsys, monkeypatch):
    arguments = (f"--run={untrained(name)}", f"--out={tmp_path}", "--tta=flip_shift", "--split=val[:8]")
    code, out, err = run(capsys, monkeypatch, "eval.py", *arguments, "--decoder=all")
    assert code == 0, err
    report = json.loads((tmp_path / "report.json").read_text())
    assert (
        report["decoder"] == own
        and report["tta"] == "flip_shift"
        and report["boxes"] == "whole picture"
        and report["crop"] == "64"
    )
    assert set(report["decoders"]) == set(decoding.DECODERS) | {own} and SCORES <= set(report["decoders"]["argmax"])
    assert report["scores"] == report["decoders"][own] and "| debiased_softargmax |" in out
    code, _, err = run(capsys, monkeypatch, "eval.py", *arguments, "--decoder=quarter")
    assert code == 0, err
    one = json.loads((tmp_path / "report.json").read_text())
    assert one["decoder"] == "quarter" and one["scores"] == report["decoders"]["quarter"] and "decoders" not in one


def test_failures_are_drawn(untrained, tmp_path, capsys, monkeypatch):
    arguments = (f"--run={untrained('softargmax')}", f"--out={tmp_path}", "--pictures=3", "--tta=flip")
    code, _, err = run(capsys, monkeypatch, "eval.py", *arguments)
    assert code == 0, err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["failures"]["miss"] and {"poses.png", "failures.png"} <= {
        path.name for path in (tmp_path / "pictures").iterdir()
    }


def test_regression_has_its_own_coordinates_only(untrained, tmp_path, capsys, monkeypatch):
    code, _, err = run(
        capsys, monkeypatch, "eval.py", f"--run={untrained('regression')}", f"--out={tmp_path}", "--decoder=all"
    )
    assert code == 0, err
    assert set(json.loads((tmp_path / "report.json").read_text())["decoders"]) == {"coords"}


MISTAKES = [
    ("heatmap", "--decoder=best", "unknown --decoder='best'; allowed: coords, argmax, quarter, dark"),
    ("heatmap", "--decoder=coords", "--decoder='coords' is not for a network that emits heatmaps; allowed: dark"),
    ("regression", "--decoder=dark", "--decoder='dark' is not for a network that emits coords; allowed: coords"),
    ("regression", "--tta=flip_shift", "--tta=flip_shift shifts heat maps"),
    ("unet", "--decoder=dark", "--decoder=dark is for joints and heat maps, and this network emits logits"),
    ("unet", "--tta=flip_shift", "unknown tta 'flip_shift'; allowed: none, flip"),
    ("regression", "--tta=scales", "--tta='scales' is not for this task; allowed: none, flip, flip_shift"),
    ("regression", "--tile=64", "--tile is for networks that answer each pixel"),
    ("unet", "--tile=50", "multiples of 32"),
    ("unet", "--size=big", "must be a number of pixels or <height>x<width>"),
]


@pytest.mark.parametrize(("name", "argument", "message"), MISTAKES)
def test_mistakes_are_one_line(name, argument, message, untrained, tmp_path, capsys, monkeypatch):
    code, _, err = run(capsys, monkeypatch, "eval.py", f"--run={untrained(name)}", f"--out={tmp_path}", argument)
    assert code == 2 and message in one_line(err)
    assert not list(tmp_path.iterdir())
