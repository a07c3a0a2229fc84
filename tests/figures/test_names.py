"""Names are text in every figure: not mathematics, not hidden, not cut; and figures of next to nothing can be drawn."""

import pathlib
import warnings

import numpy as np
import pytest

from kzoo.figures import attention, base, embeddings, explain, loc, pose, pose3d, seg
from kzoo.training import lr_range

NAMES = [r"$\frac{", "a$b$c", "<b>|", "_hidden", "x^2_{", "\\alpha", "人物 😀", "x" * 120, "\udc80bad", "tab\there"]
CLASSES = ["background", *(f"{NAMES[i % len(NAMES)]}{i}" for i in range(79))]
JOINTS = ["nose", "left_eye", "left_shoulder", "left_elbow", *NAMES]
POSE = np.array([[0.0, 0.1, 0.2, 1, 0, 0, 0]])


def history(epochs, lost=()):
    """Rows of history.csv; the losses of the epochs `lost` are no numbers."""
    rows = []
    for epoch in range(1, epochs + 1):
        value = np.nan if epoch in lost else 1 / epoch
        rows.append({"epoch": epoch, "train_loss": value, "val_loss": value, "train_miou": value, "val_miou": value})
    return rows


def pictures(count=1):
    rng = np.random.default_rng(0)
    return rng.integers(1, 256, (count, 24, 16, 3), dtype="uint8")  # tall ones


def seg_examples():
    ids = np.random.default_rng(0).integers(0, len(CLASSES), (1, 24, 16), dtype="uint8")
    probabilities = np.eye(len(CLASSES), dtype="float32")[ids]
    return seg.seg_figures(pictures(), ids, {"logits": probabilities}, NAMES[:1], CLASSES)["segmentation.png"]


def pose_examples(name="poses.png"):
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.random((1, len(JOINTS), 2)), np.full((1, len(JOINTS), 1), 2.0)], axis=-1)
    outputs = {"coords": labels[..., :2] + 0.1, "heatmaps": rng.random((1, 6, 4, len(JOINTS)))}
    return pose.pose_figures(pictures(), labels, outputs, NAMES[:1], JOINTS)[name]


def failures():
    labels = np.concatenate([np.full((1, len(JOINTS), 2), 0.4), np.full((1, len(JOINTS), 1), 2.0)], axis=-1)
    picks = {NAMES[1]: [(0, index) for index in range(4, len(JOINTS))], "none": []}
    return pose.failure_gallery({0: pictures()[0]}, labels, labels[..., :2] + 0.1, picks, JOINTS)


def clips(name):
    joints = np.random.default_rng(0).random((1, 30, len(JOINTS), 3))
    return pose3d.pose3d_figures(joints[..., :2], joints, {"joints": np.full_like(joints, np.nan)}, NAMES[:1], JOINTS)[
        name
    ]


def cameras():
    return loc.loc_figures(
        pictures(), POSE, {"position": POSE[:, :3], "rotation": POSE[:, 3:]}, NAMES[:1], ["x", "y", "z", *"abcd"]
    )["poses.png"]


def codes():
    rng = np.random.default_rng(0)
    return embeddings.embedding_figure(
        {NAMES[0]: rng.random((40, 4))}, rng.integers(-1, 80, 40), {}, CLASSES, {NAMES[0]: rng.random((80, 4))}
    )


def explanation():
    maps = {"saliency": pictures(3) / 255.0, **{f"grad_cam/{name}": np.ones((3, 6, 4)) for name in NAMES}}
    return explain.explanation_figure(pictures(3), maps, NAMES[:3], NAMES[0])


def rates():
    found = {"lr": [1e-6, 1e-3, 1.0], "loss": [3.0, 2.0, 1.0], "smoothed": [3.0, 2.0, 1.0]}
    return lr_range.plot({**found, "diverges": None, "suggestion": 0.01})


counts = np.ones((80, 80))
DRAWN = {
    "one epoch": lambda: base.curves({NAMES[0]: history(1)}, "miou"),
    "no number": lambda: base.curves({NAMES[7]: history(3, (1, 2, 3))}, "miou"),
    "some numbers": lambda: base.curves({NAMES[8]: history(3, (2,))}, "miou"),
    "no epoch": lambda: base.curves({"run": []}, "miou"),
    "no run": lambda: base.curves({}, "miou"),
    "many runs": lambda: base.curves({f"{name}{i}": history(3) for i in range(3) for name in NAMES}, "miou"),
    "segmentation": seg_examples,
    "confusion": lambda: seg.confusion(counts, CLASSES),
    "IoU": lambda: seg.iou_bars(dict.fromkeys(CLASSES, 0.5), 0.5),
    "no IoU": lambda: seg.iou_bars(dict.fromkeys(CLASSES, np.nan), np.nan),
    "poses": pose_examples,
    "heat maps": lambda: pose_examples("heatmaps.png"),
    "failures": failures,
    "no failures": lambda: pose.failure_gallery({}, np.zeros((0, 1, 3)), np.zeros((0, 1, 2)), {}, ["nose"]),
    "clips": lambda: clips("clips.png"),
    "frames": lambda: clips("frames.png"),
    "joints": lambda: pose3d.joint_table({NAMES[0]: dict.fromkeys(JOINTS, np.nan)}),
    "actions": lambda: pose3d.actions_bars(dict.fromkeys(NAMES, 1.0)),
    "no actions": lambda: pose3d.actions_bars({}),
    "cameras": cameras,
    "camera": lambda: loc.pose_graph(POSE, {"position": POSE[:, :3] + 0.1, "rotation": POSE[:, 3:]})["pose_graph.png"],
    "errors": lambda: loc.error_curves([np.nan], [np.nan], {NAMES[0]: ([0.1], [2.0])}),
    "weights": lambda: loc.weights_curves([{"epoch": 1, "a": np.nan, "b": 1.0}], {"a": NAMES[0], "b": NAMES[3]}),
    "attention": lambda: attention.attention_figure(pictures(), [np.ones((1, 3, 2))], NAMES[:1]),
    "codes": codes,
    "clusters": lambda: embeddings.cluster_confusion(counts, CLASSES, CLASSES),
    "mosaic": lambda: embeddings.mosaic({0: pictures(2)}, {0: NAMES[0]}),
    "centroids": lambda: embeddings.centroids_figure(pictures(3) / 255, NAMES[:3]),
    "reconstructions": lambda: embeddings.reconstructions(pictures(3), pictures(3) / 255, NAMES[:3]),
    "rounds": lambda: embeddings.cluster_curves([{"epoch": 1, "round": 0, "reconstruction": np.nan, "acc": 0.1}]),
    "explanation": explanation,
    "filters": lambda: explain.filters_figure(np.ones((5, 3, 3, 3)), NAMES[7]),
    "patches": lambda: explain.patches_figure({NAMES[0]: {3: []}}, 9, NAMES[0]),
    "rates": rates,
}


@pytest.mark.parametrize("kind", DRAWN)
def test_any_name_can_be_drawn(kind, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # glyphs that no font has, empty slices, legends that leave names out
        warnings.filterwarnings("ignore", "Animation was deleted")
        figure = DRAWN[kind]()
        assert isinstance(figure, base.Figure)
        base.save(figure, tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000
    width, height = figure.get_size_inches()
    assert max(width, height) < 30, "a picture that can be looked at"


def test_names_are_shown_as_they_are(tmp_path):
    figure = base.curves({name: history(2) for name in NAMES[:6]}, "miou")
    base.save(figure, tmp_path / "curves.png")
    shown = [text.get_text().lstrip("\u200b") for text in figure.legends[0].get_texts()]
    assert shown == ["training set", "evaluation set", *NAMES[:6]]
    assert not any(text.get_parse_math() for text in figure.legends[0].get_texts())


def test_every_figure_is_of_this_class():
    """One place decides how texts are drawn: nobody takes Matplotlib's own figure."""
    folder = pathlib.Path(base.__file__).parents[1]
    others = [path for path in folder.rglob("*.py") if "matplotlib.figure import" in path.read_text(encoding="utf-8")]
    assert not others and not any("pyplot" in path.read_text(encoding="utf-8") for path in folder.rglob("*.py"))


@pytest.mark.parametrize(("first", "last"), [(1, 1), (7, 7), (1, 2), (1, 40)])
def test_epochs_are_whole_numbers(first, last):
    rows = [{"epoch": e, "train_loss": 1.0, "val_loss": 1.0} for e in range(first, last + 1)]
    figure = base.curves({"run": rows}, "miou")
    figure.draw_without_rendering()
    axis = figure.axes[0]
    ticks = [tick for tick in axis.get_xticks() if axis.get_xlim()[0] <= tick <= axis.get_xlim()[1]]
    assert ticks and all(tick == int(tick) for tick in ticks)
    if first == last:
        assert ticks == [first]


@pytest.mark.parametrize("values", [(2.5e6, 5e6), (0.5, 0.5000003), (1e9, 4e9), (1e-7, 3e-7)])
def test_axes_have_no_offset(values):
    figure = base.Figure(layout="constrained")
    axis = figure.subplots()
    axis.plot(values, values)
    figure.draw_without_rendering()
    assert axis.xaxis.get_offset_text().get_text() == "" == axis.yaxis.get_offset_text().get_text()
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert len(set(labels)) == len(labels)


def test_runs_differ_in_colour_or_marker():
    styles = [(tuple(style["color"]), style["marker"]) for style in base.run_styles(80)]
    assert len(set(styles)) == 80


@pytest.mark.parametrize("count", [1, 2, 7, 80, 254])
def test_no_class_is_coloured_as_wrong_ignored_or_padding(count):
    colours = base.class_colours(["background", *map(str, range(count))])
    for taken in (base.WRONG, seg.IGNORE_GREY, (1.0, 1.0, 1.0)):
        assert np.linalg.norm(colours - taken, axis=1).min() > 0.2


@pytest.mark.parametrize(
    ("count", "panels", "aspect"), [(16, 4, 1.0), (16, 2, 1.0), (16, 5, 0.75), (16, 4, 2.5), (1, 4, 1.0)]
)
def test_examples_are_a_grid_and_no_tower(count, panels, aspect):
    figure, axes = base.examples(count, [f"head {i}" for i in range(panels)], aspect=aspect)
    width, height = figure.get_size_inches()
    assert axes.shape == (count, panels) and height < 1.6 * width and max(width, height) < 40
    heads = [axis.get_title() for axis in axes.flat if axis.get_title()]
    assert len(heads) % panels == 0, "the heads stand above each block"


def test_padding_is_no_part_of_the_picture():
    picture = np.full((6, 8, 3), 90, "uint8")
    picture[:2] = picture[:, 7:] = 0
    picture[4, 3] = 0  # black inside
    assert base.padding(picture).sum() == 2 * 8 + 4
    assert (base.unpadded(picture)[:2] == 255).all() and (base.unpadded(picture)[4, 3] == 0).all()
    assert not base.padding(np.zeros((4, 4, 3), "uint8")).any()


def test_bones_go_by_the_names_of_joints():
    coco = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"]
    assert (0, 1) in pose.limbs(coco)["left"] and (5, 6) in pose.limbs(coco)["middle"]
    turned = pose.limbs(coco[::-1])
    assert (6, 5) in turned["left"] and (1, 0) in turned["middle"]
    assert not any(pose.limbs([f"paw{i}" for i in range(17)]).values())


def test_what_is_not_there_is_not_in_the_legend():
    images, names = pictures(), ["background", "head", "arm"]
    labels = np.ones((1, 24, 16), "uint8")
    outputs = {"logits": np.eye(3, dtype="float32")[labels]}

    def legend():
        figure = seg.seg_figures(images, labels, outputs, ["one"], names)["segmentation.png"]
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert legend() == ["head", "wrong"]
    labels[:, :3] = 255
    assert legend() == ["head", "not labelled: ignored", "wrong"]
    images[:, :3] = 0  # padding
    assert legend() == ["head", "wrong"]
