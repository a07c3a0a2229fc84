"""`Run`: what it reads of a folder, what it says of a broken one, runs of version 0.1, and answers in the picture's own
pixels."""

import dataclasses
import json
import pickle

import cv2
import keras
import numpy as np
import pytest
import run_folders
from PIL import Image

import kzoo
from kzoo import UserError
from kzoo.data import image_io
from kzoo.nn.layers import named
from kzoo.runs import Run, read_history
from kzoo.training.configuration import Configuration

RNG = np.random.default_rng(0)
WIDE = RNG.integers(0, 256, (48, 96, 3), dtype="uint8")
TALL = RNG.integers(0, 256, (80, 50, 3), dtype="uint8")


# A folder that holds no run


WHOLE = {"flags": {"task": "seg"}, "names": ["a"], "dataset": {"name": "people"}, "parameters": 1}
BROKEN = {  # name -> text of run.json, what the line says
    "none": (None, "no run in .*: it holds no run.json"),
    "half of it": ('{"flags": {', "run.json is not valid JSON"),
    "a list": ("[1, 2]", "is not that of a run: it must hold an object with flags, names, dataset, parameters"),
    **{
        f"no {name}": (
            json.dumps({key: value for key, value in WHOLE.items() if key != name}),
            f"an object with .*{name}",
        )
        for name in WHOLE
    },
    "flags as text": (json.dumps({**WHOLE, "flags": "--task=seg"}), "flags and dataset must be objects"),
    "names that are none": (json.dumps({**WHOLE, "names": 7}), "names must be a list, got 7"),
    "frames that are none": (json.dumps({**WHOLE, "frames": None}), "frames must be a list, got None"),
    "a data set without a name": (json.dumps({**WHOLE, "dataset": {"splits": {}}}), "the latter with a name"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_one_line(name, tmp_path):
    text, words = BROKEN[name]
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=words) as raised:
        Run.open(tmp_path)
    assert "\n" not in str(raised.value) and str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("what", ["arch", "shape"])
def test_a_flag_that_is_missing_is_one_line(what, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(WHOLE))
    run = Run.open(tmp_path)
    with pytest.raises(UserError, match="run.json is not that of a run: its flags lack "):
        getattr(run, what)


@pytest.mark.parametrize("row", ["1,a", "x,0.5", "1"])
def test_a_damaged_history_is_one_line(row, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(WHOLE))
    (tmp_path / "history.csv").write_text(f"epoch,loss\n1,0.5\n{row}\n")
    with pytest.raises(UserError, match="history.csv is damaged: row 2 "):
        print(Run.open(tmp_path).history)


@pytest.mark.parametrize("folder", [None, 5, b"a", ["a"]])
def test_what_is_no_path(folder):
    with pytest.raises(UserError, match="a run is opened by the path of its folder, got "):
        Run.open(folder)


def test_a_history_whose_last_number_is_cut(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n1,0.5\n2,0.0")
    with pytest.raises(UserError, match="history.csv is damaged: its last line is cut"):
        read_history(tmp_path)


def test_a_run_stays_where_it_was_opened(tmp_path, monkeypatch):
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "run.json").write_text(json.dumps(WHOLE))
    (tmp_path / "me" / "history.csv").write_text("epoch,loss\n1,0.5\n")
    monkeypatch.chdir(tmp_path / "me")
    run = kzoo.load(".")
    monkeypatch.chdir("/")
    assert run.name == "me" and run.history == [{"epoch": 1, "loss": 0.5}]
    again = pickle.loads(pickle.dumps(run))
    assert again.folder == run.folder and again.config == run.config


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="no run folder at .*nothing"):
        Run.open(tmp_path / "nothing")


def test_a_run_without_a_network_says_why(tmp_path):
    run = Run.create(tmp_path, run_folders.configuration("seg", "unet"))
    assert Run.exists(tmp_path) and not run.has_model and run.history == [] and run.report is None
    with pytest.raises(UserError, match="holds no model.keras: the run stopped before its first epoch ended"):
        run.model()


# What is written is read again


FULL = Configuration(
    flags={"task": "loc", "set": ["width=8"]},
    names=["x", "y"],
    dataset=run_folders.configuration("loc", "mapnet", data="room/windows").dataset,
    parameters=7,
    score="val_position_error",
    mode="min",
    precision="mixed_bfloat16",
    frames=(3,),
    colours={"mean": [1.0, 2.0, 3.0]},
    fitted={"centre": [0.0]},
    class_weights={"x": 0.5},
    reads=("frames",),
    trainable_parameters=5,
    versions={"keras": "3"},
    device="cpu:0",
    commit="abc",
    started="2025-01-01T00:00:00",
)
LEAST = Configuration(FULL.flags, FULL.names, FULL.dataset, FULL.parameters)


@pytest.mark.parametrize("config", [FULL, LEAST], ids=["all of it", "what is needed"])
def test_a_configuration_comes_back(config, tmp_path):
    Run.create(tmp_path, config)
    assert Run.open(tmp_path).config == config
    assert Configuration.from_json(config.to_json(), "run.json") == config


def test_every_entry_of_a_configuration_is_told_above():
    default = {field.name: field.default for field in dataclasses.fields(Configuration)}
    assert all(getattr(FULL, name) != value for name, value in default.items())


def test_what_is_left_out_and_what_is_not_known():
    assert set(LEAST.to_json()) == {"flags", "names", "dataset", "parameters", "score", "mode"}
    later = {**FULL.to_json(), "of_a_later_version": 1}
    assert Configuration.from_json(later, "run.json") == FULL


def test_a_network_is_kept_without_its_optimizer_and_tells_what_it_is(tmp_path):
    run = run_folders.make(tmp_path / "me", "pose", "softargmax", widths=(8,), names=["nose", "left_wrist"])
    model, path = run.model(), run.folder / "model.keras"
    plain = path.stat().st_size
    model.compile("adam", **kzoo.compile_arguments(model, "pose"))
    model.optimizer.build(model.trainable_variables)
    run.save_model(model)
    assert path.stat().st_size < 1.05 * plain and model.compiled

    found = keras.saving.load_model(path)
    assert not found.compiled and not hasattr(found, "optimizer")
    for mine, theirs in zip(model.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    told = kzoo.metadata_of(path)
    assert told == run.metadata and told["task"] == "pose" and told["arch"] == "softargmax"
    assert told["unit"] == "joints" and told["names"] == ["nose", "left_wrist"]


NO_METADATA = {  # name -> file name, content, what the line says
    "none": ("a.onnx", None, "no file at"),
    "a picture": ("a.jpg", b"x", "no network's file; allowed: a SavedModel, .keras, .onnx, .tflite"),
    "no archive": ("a.keras", b"x", "no metadata of kzoo, or is damaged"),
    "no protocol buffer": ("a.onnx", b"x", "no metadata of kzoo, or is damaged"),
    "no flatbuffer": ("a.tflite", b"x", "no metadata of kzoo, or is damaged"),
    "an empty folder": ("a", "folder", "no metadata of kzoo, or is damaged"),
}


@pytest.mark.parametrize("name", NO_METADATA)
def test_what_tells_nothing_is_one_line(name, tmp_path):
    file, content, words = NO_METADATA[name]
    if content == "folder":
        (tmp_path / file).mkdir()
    elif content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=words) as raised:
        kzoo.metadata_of(tmp_path / file)
    assert str(tmp_path) in str(raised.value)


def test_history_comes_back(tmp_path):
    run = run_folders.make(tmp_path / "me", "seg", "unet", widths=(4,), size="32")
    rows = [{"epoch": 1, "loss": 0.5, "val_miou": 0.25}, {"epoch": 2, "loss": 0.25, "val_miou": float("nan")}]
    run.write_history(rows)
    found = Run.open(run.folder).history
    assert str(found) == str(rows) and isinstance(found[0]["epoch"], int)


# As version 0.1 wrote it


def of_old(run: Run):
    """What run.json lacked then: what the network reads, frames of pictures, where it came from."""
    path = run.folder / "run.json"
    told = json.loads(path.read_text())
    kept = ("flags", "names", "parameters", "dataset", "score", "mode", "precision")
    path.write_text(json.dumps({name: told[name] for name in kept}))


def test_a_run_of_an_old_version(people_dir, tmp_path):
    new = run_folders.make(tmp_path / "me", "pose", "heatmap", data_dir=people_dir, width=8)
    of_old(new)
    run = kzoo.load(new.folder)
    assert run.config.reads == run.config.frames == () and run.config.versions is None
    assert (run.name, run.arch, run.shape, run.val_split) == ("me", "heatmap", (64, 64), "val")
    assert run.history == new.history and run.history[0]["epoch"] == 1
    assert run.reads == ("image",) and len(run.names) == 17

    images, labels, _ = next(run.data("val[:8]", batch_size=8).as_numpy_iterator())
    assert images.shape == (8, 64, 64, 3) and labels["label"].shape == (8, 17, 3)
    for ours, theirs in zip(run.model().get_weights(), new.model().get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    answer = run.predictor().answer(images)
    assert answer["coords"].shape == (8, 17, 2)
    found = run.predict(images[0])
    np.testing.assert_allclose(found["keypoints"], 64 * answer["coords"][0], atol=1e-3)


# Answers


@pytest.fixture(scope="module")
def pose(tmp_path_factory):
    return run_folders.make(tmp_path_factory.mktemp("runs") / "pose", "pose", "softargmax", widths=(8,))


@pytest.fixture(scope="module")
def seg(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "seg"
    return run_folders.make(folder, "seg", "unet", size="64x96", widths=(8,))


@pytest.mark.parametrize("image", [WIDE, TALL], ids=["wide", "tall"])
def test_joints_are_in_the_pictures_pixels(pose, image):
    """Against the network on the picture as it was scaled and padded, and the way back by hand: the picture lies in the
    middle of a square as large as its longer side."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), "uint8")
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    seen, _ = image_io.to_input(image, pose.shape)
    resized = cv2.resize(square, pose.shape, interpolation=cv2.INTER_AREA)
    assert np.abs(seen.astype("float32") - resized).mean() < 12, "the picture in the middle, black beside it"

    coords = pose.model().predict_on_batch(seen[None])["coords"][0]
    found = pose.predict(image)
    np.testing.assert_allclose(found["keypoints"], coords * side - [left, top], atol=1e-3)
    assert found["keypoints"].shape == (17, 2) and found["scores"].shape == (17,)


def test_classes_are_those_of_the_pictures_pixels(seg):
    """A picture of the network's own size is answered as it is; another one pixel by pixel at its own size."""
    own = RNG.integers(0, 256, (64, 96, 3), dtype="uint8")
    expected = seg.model().predict_on_batch(own[None])["logits"][0].argmax(axis=-1)
    np.testing.assert_array_equal(seg.predict(own)["classes"], expected)

    double = own.repeat(2, axis=0).repeat(2, axis=1)
    found = seg.predict(double)["classes"]
    assert found.shape == (128, 192) and found.dtype == np.uint8
    assert (found == expected.repeat(2, axis=0).repeat(2, axis=1)).mean() > 0.95


def test_lists_are_answered_in_order(pose, tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "wide.png")
    several = [WIDE, TALL, str(tmp_path / "wide.png"), tmp_path / "wide.png"]
    found = pose.predict(several)
    assert len(found) == 4 and pose.predict([]) == []
    for picture, answer in zip([WIDE, TALL, WIDE, WIDE], found, strict=True):
        np.testing.assert_allclose(answer["keypoints"], pose.predict(picture)["keypoints"], atol=1e-3)
    (only,) = pose.predict([WIDE])
    assert only.keys() == pose.predict(WIDE).keys()


NO_PICTURES = {  # name -> what is given, what the line says
    "a folder that is not there": ("nowhere.jpg", "nowhere.jpg"),
    "floats": (np.zeros((4, 4, 3)), "uint8.*float64"),
    "grey": (np.zeros((4, 4), "uint8"), r"\(4, 4\)"),
    "four channels": (np.zeros((4, 4, 4), "uint8"), r"\(4, 4, 4\)"),
    "a batch": (np.zeros((2, 4, 4, 3), "uint8"), r"\(2, 4, 4, 3\)"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_picture_is_one_line(name, pose):
    given, words = NO_PICTURES[name]
    with pytest.raises(UserError, match=words) as raised:
        pose.predict(given)
    assert "\n" not in str(raised.value) and "--" not in str(raised.value)


def test_ways_to_answer_are_checked(pose, seg):
    for run, options, words in (
        (pose, {"tta": "rotate"}, "tta"),
        (pose, {"decoder": "best"}, "unknown decoder 'best'; allowed: coords, "),
        (pose, {"decoder": "all"}, "decoder=all is for scores"),
        (seg, {"decoder": "dark"}, "decoder=dark is for joints and heat maps"),
    ):
        with pytest.raises(UserError, match=words) as raised:
            run.predict(WIDE, **options)
        assert "--" not in str(raised.value)


def test_another_decoder_reads_the_maps(pose):
    seen, _ = image_io.to_input(WIDE, pose.shape)
    maps = pose.model().predict_on_batch(seen[None])["latent_heatmaps"][0]
    rows, columns = np.unravel_index(maps.reshape(-1, 17).argmax(axis=0), maps.shape[:2])
    cell = 96 / maps.shape[0]
    expected = np.stack([(columns + 0.5) * cell, (rows + 0.5) * cell - 24], axis=-1)
    np.testing.assert_allclose(pose.predict(WIDE, decoder="argmax")["keypoints"], expected, atol=1e-3)


def test_networks_that_read_no_pictures_are_refused(tmp_path):
    run = run_folders.make(tmp_path, "pose3d", "lift", frames=(4,), width=16)
    with pytest.raises(UserError, match="reads keypoints_2d; allowed: networks that read pictures"):
        run.predict(WIDE)


def test_a_list_is_a_clip(tmp_path, monkeypatch):
    """Networks of clips take consecutive frames; each gets an answer, the last clip reaches back."""
    config = run_folders.configuration("pose3d", "conv_lstm", data="people/clips", frames=(3,), size="32")
    frames = keras.Input((3, 32, 32, 3), dtype="uint8", name="frames")
    level = keras.ops.mean(keras.ops.cast(frames, "float32"), axis=(2, 3, 4))  # (B, T)
    joints = keras.ops.tile(level[:, :, None, None], (1, 1, 17, 3))
    model = keras.Model(frames, named({"joints": joints}))
    run = run_folders.keep(tmp_path, config, model)
    monkeypatch.setattr(Run, "model", lambda *_: model)
    pictures = [np.full((32, 32, 3), value, "uint8") for value in (10, 20, 30, 40)]
    found = run.predict(pictures)
    assert [round(float(answer["joints"][0, 0])) for answer in found] == [10, 20, 30, 40]
