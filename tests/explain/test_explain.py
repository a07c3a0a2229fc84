"""python -m kzoo.explain: targets by hand, pictures as the pipeline brings them, one run of each task, mistakes."""

import errno
import functools
import io
import json
import os
import signal
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest
import running
from keras import ops
from PIL import Image
from zoo import TINY, tiny

from kzoo import UserError, cli
from kzoo.data import builders, image_io, pipeline
from kzoo.explain import __main__ as program
from kzoo.explain import attribution, explanation
from kzoo.explain import targets as explain_targets
from kzoo.explain.methods import QUICK
from kzoo.inference import grad_cam
from kzoo.nn.layers import named
from kzoo.runs import Run
from kzoo.tasks import TASKS
from kzoo.training import networks
from kzoo.training.configuration import Configuration

rng = np.random.default_rng(1)
JOINTS = ["nose", "left_wrist", "right_wrist"]
NAMES = {"joints": JOINTS, "classes": ["background", "head", "arm"]}
SHAPES = {  # of outputs, without the batch
    "coords": (3, 2),
    "latent_heatmaps": (4, 6, 3),
    "heatmaps": (4, 6, 3),
    "logits": (4, 6, 3),
    "joints": (5, 3, 3),
    "position": (3,),
    "rotation": (3, 4),
    "assignment": (4,),
    "aux_coords": (2, 3, 2),
}
ANSWERS = {name: rng.normal(size=(2, *shape)).astype("float32") for name, shape in SHAPES.items()}
ANSWERS["logits"][0, ..., 1] -= 9  # class 1 is nowhere in the first picture
ANSWERS["assignment"] = np.array([[0.1, 0.2, 0.6, 0.1], [0.7, 0.1, 0.1, 0.1]], "float32")


def task_of(*outputs):
    """The task that has these outputs."""
    return next(task for task in TASKS.values() if set(outputs) <= set(task.outputs))


def emitting(*outputs):
    """A network with these outputs."""
    inputs = [keras.Input(SHAPES[name], name=f"input_{name}") for name in outputs]
    return keras.Model(inputs, named(dict(zip(outputs, inputs, strict=True))))


def scores(outputs, asked, answers=ANSWERS, first=ANSWERS):
    target = explain_targets.target(task_of(*outputs), NAMES, emitting(*outputs), asked)
    tensors = {name: ops.convert_to_tensor(value) for name, value in answers.items()}
    return target, {label: ops.convert_to_numpy(score(tensors)) for label, score in target.scores(first)}


def mean_logit(number):
    given = ANSWERS["logits"].argmax(axis=-1) == number
    return [
        ANSWERS["logits"][i, ..., number][given[i]].mean()
        if given[i].any()
        else ANSWERS["logits"][i, ..., number].mean()
        for i in range(2)
    ]


CASES = [  # outputs of the network, --output, output that the score reads, the score by hand
    (
        ("coords", "latent_heatmaps"),
        "coords:left_wrist",
        "latent_heatmaps",
        ANSWERS["latent_heatmaps"][..., 1].max(axis=(1, 2)),
    ),
    (("heatmaps",), "coords:2", "heatmaps", ANSWERS["heatmaps"][..., 2].max(axis=(1, 2))),
    (("heatmaps",), "heatmaps:nose", "heatmaps", ANSWERS["heatmaps"][..., 0].max(axis=(1, 2))),
    (("coords", "latent_heatmaps"), "coords:left_wrist:y", "coords", ANSWERS["coords"][:, 1, 1]),
    (("logits",), "logits:arm", "logits", mean_logit(2)),
    (("logits",), "logits:head", "logits", mean_logit(1)),
    (("joints",), "joints:right_wrist:z", "joints", ANSWERS["joints"][:, 2, 2, 2]),
    (("position",), "position:y", "position", ANSWERS["position"][:, 1]),
    (("position", "rotation"), "rotation:w", "rotation", ANSWERS["rotation"][:, 1, 0]),
    (("assignment",), "assignment:1", "assignment", np.log([0.2, 0.1])),
    (("assignment",), "assignment", "assignment", np.log([0.6, 0.7])),
]


@pytest.mark.parametrize(("outputs", "asked", "reads", "expected"), CASES)
def test_scores_by_hand(outputs, asked, reads, expected):
    target, found = scores(outputs, asked)
    assert target.output == reads and list(found) == [asked]
    np.testing.assert_allclose(found[asked], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "asked", "values", "axes"),
    [
        (("coords",), "coords:left_wrist", ANSWERS["coords"][:, 1], "xy"),
        (("coords", "latent_heatmaps"), "coords:left_wrist:xy", ANSWERS["coords"][:, 1], "xy"),
        (("joints",), "joints:nose", ANSWERS["joints"][:, 2, 0], "xyz"),
        (("position",), "position", ANSWERS["position"], "xyz"),
        (("rotation",), "rotation", ANSWERS["rotation"][:, 1], "wxyz"),
    ],
)
def test_both_directions_where_there_is_no_sign(outputs, asked, values, axes):
    _, found = scores(outputs, asked)
    assert list(found) == [f"{asked}, {sign}{axis}" for axis in axes for sign in "+-"]
    np.testing.assert_allclose(
        list(found.values()), [sign * values[:, i] for i in range(len(axes)) for sign in (1, -1)], rtol=1e-6
    )


def test_places_are_those_of_the_first_answers():
    other = {name: value + rng.normal(size=value.shape).astype("float32") for name, value in ANSWERS.items()}
    _, found = scores(("heatmaps",), "heatmaps:nose", other)
    for i in range(2):
        cell = np.unravel_index(ANSWERS["heatmaps"][i, ..., 0].argmax(), (4, 6))
        assert found["heatmaps:nose"][i] == other["heatmaps"][i, cell[0], cell[1], 0]
    _, found = scores(("logits",), "logits:arm", other)
    given = ANSWERS["logits"][0].argmax(axis=-1) == 2
    np.testing.assert_allclose(found["logits:arm"][0], other["logits"][0, ..., 2][given].mean(), rtol=1e-5)
    swapped = {"assignment": ANSWERS["assignment"][::-1].copy()}
    np.testing.assert_allclose(
        scores(("assignment",), "assignment", swapped)[1]["assignment"], np.log([0.1, 0.1]), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("outputs", "asked", "words"),
    [
        (("coords",), "cords:nose", "no output 'cords'.*allowed: coords; did you mean coords?"),
        (("coords", "aux_coords"), "aux_coords:nose", "allowed: coords"),
        (("coords",), "coords", "must name one of the joints.*nose, left_wrist"),
        (
            ("coords",),
            "coords:toe",
            "'toe' is not one of the joints and no number below 3; allowed: nose, left_wrist, right_wrist",
        ),
        (("coords",), "coords:3", "number below 3"),
        (("coords",), "coords:nose:z", "no component 'z' of coords; allowed: x, y, xy"),
        (("heatmaps",), "heatmaps:nose:x", "no component 'x' of heatmaps; allowed: none"),
        (("heatmaps",), "coords:nose:x", "no coordinates of its own; allowed: heatmaps:nose"),
        (("position",), "position:x:y", "no component 'x:y'"),
        (("assignment",), "assignment:9", "allowed: 0, 1, 2, 3"),
    ],
)
def test_mistakes_in_the_target(outputs, asked, words):
    with pytest.raises(UserError, match=words):
        explain_targets.target(task_of(*outputs), NAMES, emitting(*outputs), asked)


def test_what_is_explained_by_default():
    def default(task, *outputs, **changed):
        return explain_targets.default(TASKS[task], NAMES, emitting(*outputs), {**ANSWERS, **changed})

    maps = np.zeros((2, 4, 6, 3), "float32")
    maps[0, ..., 1] = 50.0  # high everywhere: nothing is found
    maps[0, 1, 2, 2] = 5.0
    assert default("pose", "coords", "latent_heatmaps", latent_heatmaps=maps) == "coords:right_wrist"
    assert default("pose", "heatmaps", heatmaps=maps) == "heatmaps:left_wrist"
    assert default("pose", "coords", coords=np.array([[[0.4, 0.5], [0.5, 0.5], [0.9, 0.9]]])) == "coords:right_wrist"
    joints = np.zeros((1, 5, 3, 3))
    joints[0, 2, 1], joints[0, 0, 2] = 1.0, 5.0
    assert default("pose3d", "joints", joints=joints) == "joints:left_wrist"
    logits = np.zeros((1, 4, 6, 3))
    logits[0, ..., 0], logits[0, 0, :, 1], logits[0, 1, :2, 2] = 1.0, 2.0, 2.0
    assert default("seg", "logits", logits=logits) == "logits:head"
    assert default("loc", "position", "rotation") == "position"


def last_sizes(model, *arguments, **options):
    return {name: tuple(x.shape[1:]) for name, x in explain_targets.taps(model, *arguments, **options).items()}


def test_default_layers():
    model = tiny("pose", "softargmax")
    assert last_sizes(model, "latent_heatmaps", down=True) == {
        "stage2": (16, 16, 32),
        "stage3": (8, 8, 64),
        "stage4": (4, 4, 96),
        "stage5": (2, 2, 128),
    }
    late = last_sizes(model, "latent_heatmaps")
    assert {size[:2]: size[2] for size in late.values()} == {(16, 16): 32, (8, 8): 32, (4, 4): 32, (2, 2): 128}, (
        "not the joints' maps"
    )
    assert all(size[2] != 17 for size in last_sizes(tiny("pose", "heatmap"), "heatmaps").values())
    assert list(last_sizes(tiny("pose3d", "conv_lstm"), "joints").values()) == [(60, 60, 8)], "no map at stride 4 to 32"
    assert last_sizes(model, "latent_heatmaps", ["stage1"]) == {"stage1": (32, 32, 16)}
    with pytest.raises(UserError, match="no layer 'stage9'"):
        last_sizes(model, "latent_heatmaps", ["stage9"])
    with pytest.raises(UserError, match="no maps"):
        last_sizes(tiny("pose3d", "lift"), "joints")


def encoded(mode, form, **options):
    """A picture, red on the left and blue on the right, as a file's bytes."""
    pixels = np.zeros((20, 40, 3), "uint8")
    pixels[:, :20], pixels[:, 20:] = (200, 30, 40), (20, 60, 220)
    shown = (
        Image.fromarray((pixels.mean(-1) * 257).astype("uint16"))
        if mode == "I;16"
        else Image.fromarray(pixels).convert(mode)
    )
    file = io.BytesIO()
    shown.save(file, form, **options)
    return file.getvalue()


GREY = {"L": (82, 66), "I;16": (90, 100)}  # Rec. 601 luma; the mean


@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGB", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"), ("RGB", "WEBP")],
)
def test_pictures_of_any_kind(mode, form, tmp_path):
    (tmp_path / "picture").write_bytes(encoded(mode, form))
    found = image_io.read_picture(tmp_path / "picture")
    assert found.shape == (20, 40, 3) and found.dtype == "uint8"
    left, right = ((value,) * 3 for value in GREY[mode]) if mode in GREY else ((200, 30, 40), (20, 60, 220))
    np.testing.assert_allclose(found[10, [5, 35]], [left, right], atol=3)


def test_exif_turns_pictures(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6  # the camera was turned: the left is up
    (tmp_path / "a.jpg").write_bytes(encoded("RGB", "JPEG", exif=exif))
    found = image_io.read_picture(tmp_path / "a.jpg")
    assert found.shape == (40, 20, 3) and found[5, 10, 0] > 150 and found[35, 10, 2] > 150


def test_pictures_come_as_from_the_pipeline(people_dir, tmp_path):
    builder = builders.prepare("people", people_dir)
    (stored, _), *_ = pipeline.pictures(builder, "val", 1)
    cv2.imwrite(str(tmp_path / "a.png"), stored[..., ::-1])
    batches = pipeline.in_order(builder, "val", (64, 64), label="keypoints", extras=(), reads=("image",), batch_size=1)
    images, *_ = next(batches.as_numpy_iterator())
    np.testing.assert_array_equal(image_io.to_input(image_io.read_picture(tmp_path / "a.png"), (64, 64))[0], images[0])


def test_the_aspect_is_kept_and_large_pictures_are_averaged():
    wide = image_io.to_input(np.full((50, 100, 3), 200, "uint8"), (64, 64))[0]
    assert not wide[:15].any() and not wide[-15:].any() and (wide[17:47] == 200).all()
    lines = np.zeros((640, 640, 3), "uint8")
    lines[:, ::2] = 200
    assert np.ptp(image_io.to_input(lines, (64, 64))[0][2:-2, 2:-2].astype(int)) <= 2, "without moire"


RUNS = {  # name -> task, arch, data set, size, further --set
    "softargmax": ("pose", "softargmax", "people", "64", ["widths=(16,)"]),
    "unet": ("seg", "unet", "people", "64", ["widths=(8,8,8,8)"]),
    "conv_lstm": ("pose3d", "conv_lstm", "people/clips", "32", ["filters=4", "units=8"]),
    "lift": ("pose3d", "lift", "people/clips", "32", ["width=16"]),
    "posenet": ("loc", "posenet", "room", "32x64", ["features=16"]),
    "dual_input": ("loc", "dual_input", "room/labelled", "32x64", ["features=16"]),
    "mapnet": ("loc", "mapnet", "room/windows", "32x64", ["features=16"]),
}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Integrated gradients of networks that have learned nothing add up late; test_attribution.py looks at that."""
    quick = functools.partial(attribution.integrated_gradients, steps=8, tolerance=0)
    monkeypatch.setitem(attribution.METHODS, "integrated_gradients", quick)


@pytest.fixture(scope="module")
def untrained(request, tmp_path_factory):
    """name -> run folder of a network with random weights."""
    made = {}

    def folder(name):
        if name not in made:
            task, arch, dataset, size, options = RUNS[name]
            data_dir = request.getfixturevalue(
                {"people": "people_dir", "room": "room_dir"}.get(dataset.split("/")[0])
                if dataset != "people/clips"
                else "clips_dir"
            )
            made[name] = tmp_path_factory.mktemp("runs") / name
            builder = builders.prepare(dataset, data_dir)
            encoder = "small" if "encoder" in networks.hyperparameters_of(TASKS[task].archs[arch]) else None
            flag = {
                "task": task,
                "arch": arch,
                "dataset": dataset,
                "data_dir": data_dir,
                "encoder": encoder,
                "set": options,
                "size": size,
                "encoder_weights": encoder and "none",
                "train_split": "train",
            }
            names, frames = list(builder.info.metadata[TASKS[task].names]), builders.frames_of(builder)
            described = builders.describe(builder)
            keras.utils.set_random_seed(0)
            model = networks.build(
                TASKS[task], arch, (*frames, *cli.shape_of(size)), len(names), **networks.network_options(flag)
            )
            Run.create(made[name], Configuration(flag, names, described, 0, frames=frames)).save_model(model)
        return made[name]

    return folder


run = functools.partial(running.run_module, program)


def read(folder):
    """explanation.json and the arrays of explanation.npz."""
    with np.load(folder / "explanation.npz") as arrays:
        return json.loads((folder / "explanation.json").read_text()), dict(arrays)


def test_methods_are_those_that_there_are():
    assert set(explanation.GRADIENTS) == set(attribution.METHODS) and set(explanation.CAMS) == set(grad_cam.CAMS)
    assert set(explanation.ODD) <= set(explanation.GRADIENTS) and set(TINY) >= set(RUNS)


def test_every_method_for_a_picture_and_an_example(untrained, tmp_path, capsys, monkeypatch):
    (tmp_path / "me.jpg").write_bytes(encoded("CMYK", "JPEG"))
    folder = untrained("softargmax")
    arguments = (
        f"--run={folder}",
        f"--image={tmp_path / 'me.jpg'}",
        "--example=3",
        "--output=coords:left_wrist",
        "--method=all",
        "--examples=20",
    )
    code, out, err = run(capsys, monkeypatch, *arguments)
    assert code == 0, err
    written = folder / "explanations" / "coords_left_wrist"
    names = {"explanation.png", "filters.png", "patches.png", "explanation.npz", "explanation.json"}
    assert {path.name for path in written.iterdir()} == names
    assert out.splitlines()[-1].startswith("wrote explanation.png, filters.png, patches.png, explanation.npz, expl")
    told, maps = read(written)
    assert set(told["files"]) == names and told["failed"] == []
    assert told["inputs"] == ["me.jpg", "val #3"] and told["score_reads"] == "latent_heatmaps" and told["skipped"] == {}
    assert len(told["scores"]["coords:left_wrist"]) == 2
    shapes = {name: (2, 64, 64, 3) for name in explanation.GRADIENTS if name != "occlusion"} | {
        "occlusion": (2, 64, 64)
    }
    assert shapes.items() <= {name: array.shape for name, array in maps.items()}.items()
    sizes = [[array.shape for name, array in maps.items() if name.startswith(f"{cam}/")] for cam in explanation.CAMS]
    assert sizes[0] == sizes[1] == [(2, 16, 16), (2, 8, 8), (2, 4, 4), (2, 2, 2)]
    assert maps["filters"].shape == (16, 3, 3, 3) and told["filters"]["layer"] == "down1_conv"
    assert all(np.isfinite(array).all() and array.any() for array in maps.values())
    assert told["shapes"] == {name: list(array.shape) for name, array in maps.items()}
    assert list(told["patches"]) == ["stage2", "stage3", "stage4", "stage5"]
    (unit, *_), *others = told["patches"]["stage2"].values()
    assert len(others) == 3 and unit["value"] > 0 and 0 <= unit["example"] < 20 and unit["box"] != [0, 0, 64, 64]


def test_quick_methods_by_default(untrained, tmp_path, capsys, monkeypatch):
    """And only the files of this call are named, whatever lies there."""
    (tmp_path / "patches.png").write_text("of yesterday")
    arguments = (f"--run={untrained('softargmax')}", "--example=3", f"--out={tmp_path}")
    code, out, err = run(capsys, monkeypatch, *arguments)
    assert code == 0, err
    told, maps = read(tmp_path)
    assert {name.partition("/")[0] for name in maps} == set(QUICK) and told["skipped"] == {}
    assert "integrated_gradients" not in QUICK and "patches" not in QUICK and "occlusion" not in QUICK
    assert out.splitlines()[-1] == (
        f"wrote explanation.png, filters.png, explanation.npz, explanation.json to {tmp_path}"
    )


def test_steps_and_batches_are_passed_on(untrained, tmp_path, monkeypatch):
    seen = []

    def method(model, inputs, score, *, source, copy, **options):
        seen.append(options)
        return np.ones(inputs[source].shape, "float32")

    monkeypatch.setitem(attribution.METHODS, "integrated_gradients", method)
    arguments = {"examples": [1], "methods": ["integrated_gradients"], "output": "joints:left_wrist:x"}
    for options in ({}, {"steps": 64, "batch_size": 5}):
        explanation.explain(untrained("lift"), out=tmp_path, **arguments, **options)
    assert seen == [{"batch_size": None}, {"batch_size": 5, "steps": 64, "tolerance": 0}]


def test_one_method_that_does_not_apply_costs_the_others_nothing(untrained, tmp_path, capsys, monkeypatch):
    """Exit code 1 where it was asked for by its name."""
    arguments = (f"--run={untrained('lift')}", "--example=2", f"--out={tmp_path}")
    code, out, err = run(capsys, monkeypatch, *arguments, "--method=patches,saliency,filters")
    lines = [line for line in err.splitlines() if line.startswith("explain: ")]
    assert code == 1 and len(lines) == 2 and "no patches: " in lines[0] and "no filters: " in lines[1], err
    assert list(read(tmp_path)[1]) == ["saliency"] and "wrote explanation.png" in out


def test_one_method_that_fails_costs_the_others_nothing(untrained, tmp_path, capsys, monkeypatch):
    def fails(*_, **__):
        raise LookupError("no gradient defined\nfor operation 'Foo'")

    monkeypatch.setitem(attribution.METHODS, "guided_backprop", fails)
    arguments = (f"--run={untrained('lift')}", "--example=2", f"--out={tmp_path}", "--method=all")
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 1 and "explain: no guided_backprop: LookupError: no gradient defined for operation 'Foo'" in err
    told, maps = read(tmp_path)
    assert told["failed"] == ["guided_backprop"] and {"saliency", "deconvnet", "occlusion"} <= set(maps)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_after_a_signal_what_was_found_is_written(number, expected, untrained, tmp_path, capsys, monkeypatch):
    """Beside a whole explanation that is there; nothing where nothing was found."""

    def stopped(*_, **__):
        raise cli.Stopped(number)

    monkeypatch.setitem(attribution.METHODS, "deconvnet", stopped)
    out = tmp_path / "out"
    arguments = (f"--run={untrained('lift')}", "--example=2", f"--out={out}")
    code, _, err = run(capsys, monkeypatch, *arguments, "--method=deconvnet,saliency")
    assert code == expected and err.splitlines()[-1] == "explain: stopped" and not out.exists()
    for place in (out, out / "stopped"):
        code, _, err = run(capsys, monkeypatch, *arguments, "--method=saliency,guided_backprop,deconvnet,occlusion")
        last = f"explain: stopped; saliency, guided_backprop of 4 methods are in {place}"
        assert code == expected and err.splitlines()[-1] == last
        told, maps = read(place)
        assert list(maps) == ["saliency", "guided_backprop"]
        assert told["skipped"] == {"deconvnet": "stopped", "occlusion": "stopped before"}


def test_a_full_disk_leaves_what_was_there(untrained, tmp_path, capsys, monkeypatch):
    arguments = (f"--run={untrained('lift')}", "--example=2", f"--out={tmp_path}", "--method=saliency")
    assert run(capsys, monkeypatch, *arguments)[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(path, **_):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 2 and "could not write" in err and "the disk is full" in err and "Traceback" not in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_maps_differ_between_joints(untrained, tmp_path, capsys, monkeypatch):
    found = {}
    for joint in ("left_wrist", "right_ankle"):
        arguments = (
            f"--run={untrained('softargmax')}",
            "--example=3",
            f"--output=coords:{joint}",
            f"--out={tmp_path / joint}",
        )
        code, _, err = run(capsys, monkeypatch, *arguments, "--method=saliency,grad_cam_pp", "--layer=stage2")
        assert code == 0, err
        found[joint] = read(tmp_path / joint)[1]
        assert list(found[joint]) == ["saliency", "grad_cam_pp/stage2"]
    for name, one in found["left_wrist"].items():
        assert np.abs(one - found["right_ankle"][name]).max() > 0.01 * np.abs(one).max(), name


EXAMPLES = [  # run, --output, --method, further flags, shapes of the maps
    (
        "unet",
        "logits:torso",
        "guided_backprop,grad_cam,patches",
        ("--channel=5", "--channel=2", "--layer=stage3"),
        {"guided_backprop": (1, 64, 64, 3), "grad_cam/stage3": (1, 8, 8)},
    ),
    (
        "conv_lstm",
        "joints:left_wrist:x",
        "saliency,grad_cam_pp,filters,patches",
        (),
        {"saliency": (1, 8, 32, 32, 3), "grad_cam_pp/conv": (1, 8, 28, 28), "filters": (4, 5, 5, 3)},
    ),
    (
        "lift",
        None,
        "all",
        (),
        {
            "saliency": (1, 8, 17, 2),
            "guided_backprop": (1, 8, 17, 2),
            "deconvnet": (1, 8, 17, 2),
            "integrated_gradients": (1, 8, 17, 2),
            "occlusion": (1, 8, 17),
        },
    ),
    pytest.param(
        "posenet",
        "position:z",
        "deconvnet,grad_cam",
        (),
        {
            "deconvnet": (1, 32, 64, 3),
            "grad_cam/stage2": (1, 8, 16),
            "grad_cam/stage3": (1, 4, 8),
            "grad_cam/stage4": (1, 2, 4),
            "grad_cam/stage5": (1, 1, 2),
        },
        marks=pytest.mark.slow,
    ),
    (
        "dual_input",
        "rotation:w",
        "saliency,grad_cam_pp",
        ("--layer=stage3",),
        {"saliency": (1, 32, 64, 3), "grad_cam_pp/stage3": (1, 4, 8)},
    ),
    pytest.param(
        "mapnet",
        "position:x",
        "saliency,grad_cam_pp,patches",
        ("--layer=stage3",),
        {"saliency": (1, 3, 32, 64, 3), "grad_cam_pp/stage3": (1, 3, 4, 8)},
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("name", "output", "methods", "further", "shapes"), EXAMPLES)
def test_every_task(name, output, methods, further, shapes, untrained, tmp_path, capsys, monkeypatch):
    asked = (f"--output={output}",) if output else ()
    arguments = (
        f"--run={untrained(name)}",
        "--example=2",
        *asked,
        f"--method={methods}",
        "--examples=12",
        f"--out={tmp_path}",
    )
    code, out, err = run(capsys, monkeypatch, *arguments, *further)
    assert code == 0, err
    told, maps = read(tmp_path)
    assert {key: array.shape for key, array in maps.items()} == shapes and "explaining --output=" in out
    assert all(np.isfinite(array).all() for array in maps.values()) and (tmp_path / "explanation.png").exists()
    assert output is None or told["output"] == output
    if methods == "all":
        assert set(told["skipped"]) == {"grad_cam", "grad_cam_pp", "filters", "patches"} and "no filters: " in err
    if "--channel=5" in further:
        assert list(told["patches"]["stage3"]) == ["2", "5"]
    assert (tmp_path / "patches.png").exists() == ("patches" in methods)


def test_from_a_notebook(untrained, tmp_path):
    """A run that is open already; mistakes speak of keywords."""
    opened = Run.open(untrained("lift"))
    with pytest.raises(UserError, match="give images, or examples of the run's data set"):
        explanation.explain(opened)
    told = explanation.explain(opened, examples=[1], methods=["saliency"], out=tmp_path)
    assert told == read(tmp_path)[0] and told["run"] == "lift" and told["inputs"] == ["val #1"]


MISTAKES = [
    ("softargmax", (), "give a picture, --image=<file>, or an example"),
    (
        "softargmax",
        ("--example=0", "--method=gradcam"),
        "unknown --method='gradcam'; allowed: saliency, guided_backprop",
    ),
    ("softargmax", ("--example=0", "--output=coords:toe"), "'toe' is not one of the joints; allowed: nose"),
    ("softargmax", ("--example=0", "--output=coords:left_wirst"), "did you mean left_wrist?"),
    ("softargmax", ("--example=0", "--output=cords:nose"), "no output 'cords' that can be explained; allowed: "),
    ("softargmax", ("--example=0", "--method=saliencyy"), "unknown --method='saliencyy'"),
    ("softargmax", ("--example=0", "--layer=stage9"), "no layer 'stage9'"),
    ("softargmax", ("--example=0", "--channel=500"), "channel 500: layer stage2 has 32 channels; allowed: 0 to 31"),
    ("softargmax", ("--example=32",), "example 32: val has 32 examples; allowed: 0 to 31"),
    ("softargmax", ("--image=nowhere.jpg",), "no picture at --image=nowhere.jpg"),
    (
        "softargmax",
        ("--image=setup.cfg",),
        "setup.cfg: picture cannot be read: empty, damaged or no picture; allowed: JPEG",
    ),
    ("lift", ("--image=setup.cfg",), "lift reads keypoints_2d, not one picture: give examples instead"),
    ("lift", ("--example=0", "--method=patches"), "no maps"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), MISTAKES)
def test_mistakes_are_one_line(name, arguments, message, untrained, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    code, _, err = run(capsys, monkeypatch, f"--run={untrained(name)}", f"--out={out}", *arguments)
    lines = [line for line in err.splitlines() if line.startswith("explain: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in err, err
    assert not out.exists()


LIGHT = ("unknown --method", "'toe'", "did you mean left_wrist", "no picture at --image", "give a picture")


@pytest.mark.parametrize(("arguments", "message"), [row[1:] for row in MISTAKES if row[2].startswith(LIGHT)])
def test_these_mistakes_start_no_framework(arguments, message, untrained, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "kzoo.explain.explanation", None)
    code, _, err = run(capsys, monkeypatch, f"--run={untrained('softargmax')}", *arguments)
    assert code == 2 and message in err


def test_the_program_is_light():
    command = "import kzoo.explain.__main__, sys; assert not {'keras', 'tensorflow', 'numpy'} & set(sys.modules)"
    ended = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
