"""python -m kzoo.predict: networks whose answer is known, pictures of any size and kind, broken files, videos,
mistakes."""

import csv
import functools
import json
import os
import signal

import cv2
import keras
import numpy as np
import pytest
import running
from keras import ops
from PIL import Image
from pycocotools.coco import COCO

from kzoo import UserError, cli, files, runs
from kzoo.data.description import DataSet
from kzoo.figures import overlays
from kzoo.nn import skeletons
from kzoo.nn.layers import named
from kzoo.predict import __main__ as program
from kzoo.predict import answering, readers, writers
from kzoo.tasks import TASKS
from kzoo.training import networks
from kzoo.training.configuration import Configuration

JOINTS = ["nose", "left_eye"]


def centroid(picture):
    """A joint at the middle of what is bright, another one a tenth of the picture to its right: (B, 2, 2) fractions."""
    light = ops.mean(ops.cast(picture, "float32"), axis=-1)
    light = light / ops.maximum(ops.sum(light, axis=(1, 2), keepdims=True), 1.0)
    centres = [(np.arange(n, dtype="float32") + 0.5) / n for n in light.shape[1:]]
    at = ops.stack(
        [ops.sum(light * centres[1], axis=(1, 2)), ops.sum(light * centres[0][:, None], axis=(1, 2))], axis=-1
    )
    return ops.stack([at, at + np.array([0.1, 0.0], "float32")], axis=1)


def brightness(frames):
    """The brightest grey: (B, T) in 0..255."""
    return ops.max(ops.mean(ops.cast(frames, "float32"), axis=-1), axis=(2, 3))


def seen_by_all(frames):
    """Every frame's answer tells the brightness of all three: (B, 3, 3)."""
    return ops.repeat(brightness(frames)[:, None], 3, axis=1)


def heights(frames):
    return ops.tile(brightness(frames)[:, :, None, None], (1, 1, 17, 3))


def two_classes(picture):
    bright = ops.cast(ops.mean(ops.cast(picture, "float32"), axis=-1) > 127, "float32")
    return 20 * ops.stack([0.5 - bright, bright - 0.5], axis=-1)


def three_clusters(picture):
    level = ops.mean(ops.cast(picture, "float32"), axis=(1, 2, 3))[:, None]
    return ops.softmax(-ops.abs(level - np.array([0.0, 128.0, 255.0], "float32")), axis=-1)


KNOWN = {  # name -> task, arch, size, names, frames, data set, {output: function of the input}
    "pose": ("pose", "regression", "64", JOINTS, (), "people", {"coords": centroid}),
    "seg": ("seg", "unet", "64x96", ["background", "bright"], (), "people", {"logits": two_classes}),
    "mapnet": (
        "loc",
        "mapnet",
        "32x64",
        list("xyzabcd"),
        (3,),
        "room/windows",
        {"position": seen_by_all, "rotation": lambda x: ops.ones_like(seen_by_all(x)[..., :1]) * np.ones(4, "float32")},
    ),
    "pose3d": ("pose3d", "conv_lstm", "32", list(skeletons.H36M_JOINTS), (4,), "people/clips", {"joints": heights}),
    "cluster": (
        "cluster",
        "dec",
        "8",
        ["a", "b", "c"],
        (),
        "digits",
        {"assignment": three_clusters, "code": lambda x: ops.cast(x[:, 0, 0], "float32")},
    ),
    "lift": ("pose3d", "lift", "32", list(skeletons.H36M_JOINTS), (4,), "people/clips", {"joints": lambda x: x}),
}


@pytest.fixture
def known(tmp_path, monkeypatch):
    """name -> run folder, whose network is the one in KNOWN."""

    def folder(name):
        task, arch, size, names, frames, dataset, outputs = KNOWN[name]
        flag = {"task": task, "arch": arch, "size": size, "dataset": dataset}
        described = DataSet(dataset, metadata={"flip_joints": [], "flip_classes": []})
        runs.Run.create(tmp_path / name, Configuration(flag, names, described, 0, frames=frames))
        source = "keypoints_2d" if name == "lift" else "frames" if frames else "image"
        x = keras.Input((*frames, *cli.shape_of(size), 3), dtype="uint8", name=source)
        model = keras.Model(x, named({output: function(x) for output, function in outputs.items()}))
        monkeypatch.setattr(runs.Run, "model", lambda *_: model)
        return tmp_path / name

    return folder


run = functools.partial(running.run_module, program)


def spot(size, box) -> np.ndarray:
    """A black picture with a bright box (x, y, w, h)."""
    image = np.zeros((*size, 3), "uint8")
    x, y, w, h = box
    image[y : y + h, x : x + w] = 220
    return image


def save(path, image):
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


GLOWS = [  # size of the picture (H, W), its brightest place (x, y)
    ((50, 100), (30, 25)),
    ((100, 50), (22, 70)),
    ((64, 64), (20, 40)),
    ((301, 217), (70, 200)),
    ((1001, 633), (440, 700)),
    ((633, 1003), (700, 250)),
]


def glow(size, place) -> np.ndarray:
    """Black but for a smooth spot, which is as wide whatever the size: sampled coarsely, its middle stays where it
    is."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    squared = ((x - place[0]) ** 2 + (y - place[1]) ** 2) / (max(size) / 18) ** 2
    return np.repeat(np.rint(250 * np.exp(-0.5 * squared)).astype("uint8")[..., None], 3, axis=-1)


def test_joints_come_back_to_pixels_of_pictures_of_any_size(known, tmp_path, capsys, monkeypatch):
    for number, (size, place) in enumerate(GLOWS):
        save(tmp_path / "in" / f"a{number}.png", glow(size, place))
    out = tmp_path / "out"
    code, told, err = run(
        capsys, monkeypatch, f"--run={known('pose')}", f"--images={tmp_path / 'in'}", f"--out={out}", "--batch_size=4"
    )
    assert code == 0 and told.splitlines()[-1] == f"6 of 6 pictures are in {out}; 0 left out", err
    found = json.loads((out / "keypoints.json").read_text())
    assert [row["image_id"] for row in found] == [1, 2, 3, 4, 5, 6]
    for row, (size, (x, y)) in zip(found, GLOWS, strict=True):
        unit = max(size) / 64  # pixels of the picture per pixel of the network
        joints = np.reshape(row["keypoints"], (2, 3))
        np.testing.assert_allclose(joints[0, :2], [x, y], atol=0.03 * unit)
        np.testing.assert_allclose(
            joints[1, :2] - joints[0, :2], [6.4 * unit, 0], atol=0.05 * unit
        )  # shrunk to whole pixels first
        assert (joints[:, 2] == 1).all() and row["category_id"] == 1
        shown = cv2.imread(str(out / "overlays" / f"{row['file_name'].split('/')[-1]}"))
        assert shown.shape == (*size, 3)


def test_boxes_and_coco(known, tmp_path, capsys, monkeypatch):
    spots = {7: [(40, 30, 20, 40), (150, 100, 60, 30)], 12: [(5, 5, 30, 30)]}
    for number, boxes in spots.items():
        image = sum(spot((200, 300), box) for box in boxes)
        save(tmp_path / "in" / f"{number:012d}.png", image)
    save(tmp_path / "in" / "other.png", spot((40, 40), (0, 0, 9, 9)))
    listed = [
        {"image_id": 7, "bbox": spots[7][0], "score": 0.5},
        {"file_name": f"val/{7:012d}.png", "bbox": spots[7][1]},
        {"image_id": 12, "bbox": spots[12][0]},
        {"image_id": 12, "bbox": [400, 0, 9, 9]},
        {"image_id": 12, "bbox": [0, 0, 9, 9], "category_id": 3},
    ]
    files.write_json(tmp_path / "boxes.json", listed)
    arguments = (
        f"--run={known('pose')}",
        f"--images={tmp_path / 'in'}/*.png",
        f"--boxes={tmp_path / 'boxes.json'}",
        f"--out={tmp_path / 'out'}",
    )
    code, told, err = run(capsys, monkeypatch, *arguments, "--batch_size=2")
    assert (
        code == 1
        and "[400.0, 0.0, 9.0, 9.0] is left out: it does not lie on the picture of 300x200" in err
        and "; 1 left out" in told
    )
    found = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    expected = [(12, *spots[12]), *((7, box) for box in [spots[7][1], spots[7][0]])]
    assert sorted(row["image_id"] for row in found) == [7, 7, 12] and sorted(row["score"] for row in found) == [
        0.5,
        1,
        1,
    ]
    for number, (x, y, w, h) in expected:
        close = [
            np.abs(np.array(row["keypoints"][:2]) - [x + w / 2, y + h / 2]).max()
            for row in found
            if row["image_id"] == number
        ]
        assert min(close) < 0.5, (number, close)
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 3, "the picture without a box too"
    truth = COCO()
    truth.dataset = {"images": [{"id": 7}, {"id": 12}], "annotations": [], "categories": [{"id": 1}]}
    truth.createIndex()
    assert len(truth.loadRes(str(tmp_path / "out" / "keypoints.json")).anns) == 3


@pytest.mark.parametrize(
    ("size", "box"),
    [((120, 180), (30, 40, 60, 50)), ((201, 77), (0, 100, 50, 101)), ((1300, 2100), (600, 300, 900, 700))],
)
def test_masks_in_the_size_of_the_picture(size, box, known, tmp_path, capsys, monkeypatch):
    path = save(tmp_path / "in" / "a.png", spot(size, box))
    code, _, err = run(
        capsys, monkeypatch, f"--run={known('seg')}", f"--images={path}", f"--out={tmp_path / 'out'}", "--tta=flip"
    )
    assert code == 0, err
    mask = Image.open(tmp_path / "out" / "masks" / "a.png")
    assert mask.mode == "P" and mask.getpalette()[:3] == [0, 0, 0] and mask.getpalette()[3:6] != [0, 0, 0]
    found, truth = np.array(mask), spot(size, box)[..., 0] > 0
    assert found.shape == size and set(np.unique(found)) == {0, 1}
    unit = max(size[0] / 64, size[1] / 96)
    for axis in (0, 1):  # the ends of the box, to the nearest pixel of the network, sampled without a filter
        ends, expected = (np.flatnonzero(m.any(axis=axis))[[0, -1]] for m in (found == 1, truth))
        assert np.abs(ends - expected).max() <= 0.7 * unit, (ends, expected)
    assert [c["name"] for c in json.loads((tmp_path / "out" / "classes.json").read_text())] == ["background", "bright"]
    assert rows(tmp_path / "out" / "masks.csv") == [{"file": str(path), "mask": "masks/a.png"}]
    scale = min(1, 1600 / max(size))
    assert cv2.imread(str(tmp_path / "out" / "overlays" / "a.png")).shape == (
        round(scale * size[0]),
        round(scale * size[1]),
        3,
    )


def grey(level):
    return np.full((40, 60, 3), level, "uint8")


def test_windows_are_of_one_folder_and_repeat_their_ends(known, tmp_path, capsys, monkeypatch):
    for i in range(12):  # frame_9 before frame_10
        save(tmp_path / "in" / f"frame_{i}.png", grey(20 + 10 * i))
    save(tmp_path / "other" / "frame_0.png", grey(200))
    arguments = (
        f"--run={known('mapnet')}",
        f"--images={tmp_path / 'in'}",
        f"--images={tmp_path / 'other'}",
        "--batch_size=9",
    )
    for further, skip in ((("--skip=2",), 2), ((), 10)):  # 10: the data set's
        out = tmp_path / f"out{skip}"
        code, _, err = run(capsys, monkeypatch, *arguments, *further, f"--out={out}")
        assert code == 0, err
        found = np.array([[float(row[name]) for name in ("x", "y", "z", "qw")] for row in rows(out / "poses.csv")])
        expected = [[20 + 10 * min(max(i + step, 0), 11) for step in (-skip, 0, skip)] for i in range(12)] + [[200] * 3]
        np.testing.assert_allclose(found[:, :3], expected, atol=0.01)
        np.testing.assert_allclose(found[:, 3], 0.5, atol=1e-6)
        shown = cv2.imread(str(out / "overlays" / "frame_0.png"))
        assert shown.shape == (40, 60, 3) and (shown == 20).all(), "too small for text"
        assert len(list((out / "overlays").iterdir())) == 13 and (out / "overlays" / "frame_0_2.png").exists()


@pytest.mark.parametrize("count", [3, 4, 10])
def test_clips_answer_for_every_frame_once(count, known, tmp_path, capsys, monkeypatch):
    for i in range(count):
        save(tmp_path / "in" / f"{i}.png", grey(20 + 10 * i))
    out = tmp_path / "out"
    code, _, err = run(capsys, monkeypatch, f"--run={known('pose3d')}", f"--images={tmp_path / 'in'}", f"--out={out}")
    assert code == 0, err
    found = rows(out / "joints.csv")
    assert [row["joint"] for row in found[:17]] == list(skeletons.H36M_JOINTS) and len(found) == 17 * count
    np.testing.assert_allclose([float(row["z"]) for row in found[::17]], [20 + 10 * i for i in range(count)], atol=0.01)


def test_clusters(known, tmp_path, capsys, monkeypatch):
    for level in (5, 130, 250):
        save(tmp_path / "in" / f"{level}.png", np.full((16, 16, 3), level, "uint8"))
    code, _, err = run(
        capsys, monkeypatch, f"--run={known('cluster')}", f"--images={tmp_path / 'in'}", f"--out={tmp_path / 'out'}"
    )
    found = rows(tmp_path / "out" / "clusters.csv")
    assert (
        code == 0 and [row["cluster"] for row in found] == ["0", "1", "2"] and float(found[0]["confidence"]) > 0.99
    ), err


@pytest.fixture
def video(tmp_path):
    """13 frames at 12.5 Hz, brighter and brighter, a spot that moves."""
    writer = cv2.VideoWriter(str(tmp_path / "walk.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 12.5, (96, 64))
    for i in range(13):
        writer.write(spot((64, 96), (16 + 4 * i, 16, 16, 16)))
    writer.release()
    return tmp_path / "walk.mp4"


def test_videos(video, known, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    code, told, err = run(
        capsys, monkeypatch, f"--run={known('pose')}", f"--video={video}", f"--out={out}", "--batch_size=5"
    )
    assert code == 0 and "13 of 13 frames" in told, err
    found = json.loads((out / "keypoints.json").read_text())
    assert [row["image_id"] for row in found] == list(range(13))
    np.testing.assert_allclose([row["keypoints"][0] for row in found], [24 + 4 * i for i in range(13)], atol=0.5)
    shown = cv2.VideoCapture(str(out / "annotated.mp4"))
    assert (
        shown.get(cv2.CAP_PROP_FPS) == 12.5
        and shown.get(cv2.CAP_PROP_FRAME_COUNT) == 13
        and shown.read()[1].shape == (64, 96, 3)
    )
    assert sorted(path.name for path in out.iterdir()) == ["annotated.mp4", "keypoints.json"]
    code, _, err = run(
        capsys, monkeypatch, f"--run={known('pose3d')}", f"--video={video}", f"--out={out}", "--overwrite"
    )
    assert code == 0 and len(rows(out / "joints.csv")) == 13 * 17, err
    assert sorted(path.name for path in out.iterdir()) == ["annotated.mp4", "joints.csv"], (
        "results of the first call are gone"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run folder of a real network for pose with random weights."""
    flag = {
        "task": "pose",
        "arch": "heatmap",
        "dataset": "people",
        "encoder": "small",
        "encoder_weights": "none",
        "size": 64,
        "set": ["width=8"],
    }
    names = [f"joint{i}" for i in range(17)]
    keras.utils.set_random_seed(0)
    model = networks.build(TASKS["pose"], "heatmap", 64, 17, **networks.network_options(flag))
    dataset = DataSet("people", metadata={"flip_joints": [[1, 2]]})
    run = runs.Run.create(tmp_path_factory.mktemp("runs") / "heatmap", Configuration(flag, names, dataset, 0))
    run.save_model(model)
    return run.folder


def test_broken_files_are_named_and_others_answered(trained, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "in"
    save(folder / "colour.jpg", np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype("uint8"))
    whole = (folder / "colour.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    for mode, name in (("L", "grey.png"), ("CMYK", "cmyk.jpg"), ("RGBA", "alpha.png")):
        Image.new("RGB", (50, 40), (200, 60, 20)).convert(mode).save(folder / name)
    Image.new("RGB", (6000, 4000), (20, 160, 220)).save(folder / "large.jpg")
    out = tmp_path / "out"
    arguments = (f"--run={trained}", f"--images={folder}", f"--out={out}", "--decoder=argmax", "--tta=flip")
    code, told, err = run(capsys, monkeypatch, *arguments)
    assert code == 1 and told.splitlines()[-1] == f"5 of 8 pictures are in {out}; 3 left out" and "Traceback" not in err
    assert [
        sum(f"{name} is left out: " in line and len(line) > len(name) + 20 for line in err.splitlines())
        for name in ("half.jpg", "empty.png", "text.png")
    ] == [1, 1, 1]
    found = json.loads((out / "keypoints.json").read_text())
    good = {"colour", "grey", "cmyk", "alpha", "large"}
    assert (
        {os.path.basename(row["file_name"]).split(".")[0] for row in found}
        == good
        == {path.stem for path in (out / "overlays").iterdir()}
    )
    assert all(np.isfinite(row["keypoints"]).all() and len(row["keypoints"]) == 51 for row in found)
    assert cv2.imread(str(out / "overlays" / "large.png")).shape == (1067, 1600, 3)
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 2 and "holds results already (overlays, keypoints.json)" in err
    code, _, err = run(
        capsys, monkeypatch, f"--run={trained}", f"--images={folder}/large.jpg", f"--out={out}", "--overwrite"
    )
    assert code == 0 and [path.name for path in (out / "overlays").iterdir()] == ["large.png"], err


def test_ctrl_c_keeps_what_is_finished(known, tmp_path, capsys, monkeypatch):
    for i in range(7):
        save(tmp_path / "in" / f"{i}.png", spot((32, 32), (4, 4, 8, 8)))
    write = writers.Writer.write

    def interrupted(self, picture):
        write(self, picture)
        if picture.number == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(writers.Writer, "write", interrupted)
    out = tmp_path / "out"
    arguments = (f"--run={known('pose')}", f"--images={tmp_path / 'in'}", f"--out={out}", "--batch_size=2")
    code, _, err = run(capsys, monkeypatch, *arguments)
    assert code == 130 and err.splitlines()[-1] == f"predict: stopped: 4 of 7 pictures are in {out}"
    assert "no calibration" in err.splitlines()[0] and len(err.splitlines()) == 2
    assert "hear_signals" in signal.getsignal(signal.SIGINT).__qualname__, "that of cli.run is back"
    assert [row["image_id"] for row in json.loads((out / "keypoints.json").read_text())] == [0, 1, 2, 3]
    assert sorted(path.name for path in out.rglob("*")) == [
        "0.png",
        "1.png",
        "2.png",
        "3.png",
        "keypoints.json",
        "overlays",
    ]


def test_places_are_told_where_there_is_room():
    canvas = np.full((96, 128, 3), 90, "uint8")
    picture = readers.Picture("a.png", "a", 1, (), (96, 128), canvas)
    picture.answers.append({"position": np.array([-10.25, 2.0, 1.5]), "rotation": np.array([0.5, 0.5, 0.5, 0.5])})
    overlays.draw_loc(canvas, picture, (), np.ones(2))
    assert (canvas[:4] != 90).all() and (canvas[:20] > 150).any() and (canvas[40:] == 90).all()


def test_answers_that_are_not_finite_are_drawn_nowhere():
    image = np.zeros((30, 40, 3), "uint8")
    picture = readers.Picture("a.png", "a", 1, (), (30, 40), image, [(np.diag([40.0, 30.0, 1.0]), 1.0)])
    picture.answers.append({"coords": np.array([[np.nan, 0.5], [1e30, 0.5], [0.5, 0.5]]), "scores": np.ones(3)})
    (row,) = TASKS["pose"].answers.writer.rows(picture, JOINTS)
    assert (
        row["keypoints"][:3] == [0, 0, 0]
        and row["keypoints"][6:] == [20, 15, 1]
        and json.loads(json.dumps(row, allow_nan=False))
    )
    overlays.draw_pose(image, picture, JOINTS, np.ones(2))
    assert image[15, 20].any() and not image[:5, :5].any()


MISTAKES = [  # run, arguments, words
    ("pose", (), "give pictures, --images=<file, folder or glob>, or one video"),
    ("pose", ("--images=nowhere/*.jpg",), "images=nowhere/*.jpg: no picture is there"),
    ("pose", ("--video=nowhere.mp4",), "no file at --video=nowhere.mp4"),
    ("pose", ("--video=setup.cfg",), "video=setup.cfg is no video"),
    ("pose", ("--images=setup.cfg", "--boxes=nowhere.json"), "no file at --boxes=nowhere.json"),
    ("pose", ("--images=setup.cfg", "--boxes={bad}"), "entry 1 is {'image_id': 1, 'bbox': [0, 0, 0, 5]}; it needs"),
    ("seg", ("--images=setup.cfg", "--boxes={good}"), "boxes are of persons, for pose, and this is a run of seg"),
    ("seg", ("--images=setup.cfg", "--min_score=0.5"), "--min_score=0.5 is for joints, of pose"),
    ("pose", ("--images=setup.cfg", "--decoder=all"), "unknown --decoder='all'"),
    ("pose", ("--images=setup.cfg", "--decoder=dark"), "--decoder='dark' is not for a network that emits coords"),
    ("pose", ("--images=setup.cfg", "--skip=2"), "skip is for networks of windows"),
    ("cluster", ("--images=setup.cfg", "--tta=flip"), "--tta=flip: the mirrored picture"),
    ("seg", ("--images=setup.cfg", "--tta=flip_shift"), "unknown tta 'flip_shift'; allowed: none, flip"),
    ("lift", ("--images=setup.cfg",), "reads keypoints_2d; allowed: networks that read pictures"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), MISTAKES)
def test_mistakes_are_one_line(name, arguments, message, known, tmp_path, capsys, monkeypatch):
    boxes = {
        "good": [{"image_id": 1, "bbox": [0, 0, 4, 5]}],
        "bad": [{"image_id": 1, "bbox": [0, 0, 4, 5]}, {"image_id": 1, "bbox": [0, 0, 0, 5]}],
    }
    for kind, value in boxes.items():
        files.write_json(tmp_path / f"{kind}.json", value)
    places = {kind: tmp_path / f"{kind}.json" for kind in boxes}
    out = tmp_path / "out"
    code, _, err = run(
        capsys, monkeypatch, f"--run={known(name)}", f"--out={out}", *(a.format(**places) for a in arguments)
    )
    lines = [line for line in err.splitlines() if line.startswith("predict: ")]
    assert code == 2 and len(lines) == 1 and message in lines[0] and "Traceback" not in err, err
    assert not out.exists()


def test_from_a_notebook(known, tmp_path, capsys):
    """A run that is open already; mistakes speak of keywords."""
    opened, out = runs.Run.open(known("pose")), tmp_path / "out"
    path = save(tmp_path / "in" / "a.png", spot((40, 40), (4, 4, 8, 8)))
    with pytest.raises(UserError, match="give pictures, images=<files, folders or globs>, or one video, video=<file>"):
        answering.predict(opened, images=[path], video="walk.mp4", out=out)
    assert answering.predict(opened, images=[path, tmp_path / "in"], out=out) == (1, 0)
    assert "1 of 1 pictures" in capsys.readouterr().out and (out / "keypoints.json").exists()


def test_run_and_out_are_needed(tmp_path, capsys, monkeypatch):
    for arguments, message in (
        ((), "--run=<run folder> is needed"),
        (("--run=x",), "--out=<folder to write to> is needed"),
        (("--run=nowhere", "--images=a.jpg", f"--out={tmp_path}"), "no run folder at nowhere"),
    ):
        code, _, err = run(capsys, monkeypatch, *arguments)
        assert code == 2 and message in err
