"""Pictures of localisation: dots, lines and arrows lie where cameras are, plans are seen from above, shares are counted
right."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.spatial.transform import Rotation

from kzoo.figures import base as figures
from kzoo.figures import loc as loc_figures
from kzoo.metrics import loc_scores

NAMES = ("x", "y", "z", "qw", "qx", "qy", "qz")
# Camera to world of a level camera that looks along the world's z (y down, as in 7-Scenes), x (z up), and x (y up).
LEVEL = {
    "y down": np.eye(3),
    "z up": np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    "y up": np.array([[0, 0, 1], [0, -1, 0], [1, 0, 0]]),
}
UP = {"y down": [0, -1, 0], "z up": [0, 0, 1], "y up": [0, 1, 0]}


def quaternions(rotations):
    w_last = rotations.as_quat()
    q = np.concatenate([w_last[:, 3:], w_last[:, :3]], axis=-1)
    return np.where(q[:, :1] < 0, -q, q)


def poses(world="z up", count=12, seed=0):
    """Poses (N, 7) of a camera that is carried along the horizontal axes, and answers with errors."""
    rng = np.random.default_rng(seed)
    axes = np.abs(UP[world])
    positions = rng.normal(size=(count, 3)) * np.where(axes > 0, 0.1, [1.0, 1.7, 2.3])
    turns = Rotation.from_matrix(LEVEL[world]) * Rotation.from_euler("yx", rng.normal(size=(count, 2)) * (1.0, 0.2))
    noisy = turns * Rotation.from_rotvec(rng.normal(size=(count, 3)) * 0.05)
    truth = np.concatenate([positions, quaternions(turns)], axis=-1)
    return truth, np.concatenate([positions + rng.normal(size=(count, 3)) * 0.05, quaternions(noisy)], axis=-1)


def answer(found):
    return {"position": found[:, :3], "rotation": found[:, 3:]}


def dots(axis, label):
    (line,) = (line for line in axis.lines if line.get_label().startswith(label))
    return np.array(line.get_data_3d() if axis.name == "3d" else line.get_data()).T, line


def toward(axis):
    """Signs of the picture's right, up (in space: away) and, in space, up, seen along the data's axes."""
    limits = [axis.get_xlim(), axis.get_ylim(), *([axis.get_zlim()] if axis.name == "3d" else [])]
    return [np.sign(high - low) for low, high in limits]


@pytest.mark.parametrize("world", LEVEL)
def test_dots_and_lines_lie_where_the_cameras_are(world, tmp_path):
    truth, found = poses(world)
    baseline = truth + 0.01
    drawn = loc_figures.pose_graph(truth, answer(found), baseline)
    assert list(drawn) == ["pose_graph.png"]
    plan, space = drawn["pose_graph.png"].axes
    order = np.argsort(-np.ptp(truth[:, :3], axis=0))
    for axis, dimensions in ((plan, 2), (space, 3)):
        for label, poses_, colour in (
            ("truth", truth, loc_figures.TRUTH),
            ("prediction", found, loc_figures.PREDICTION),
            ("baseline", baseline, "darkgrey"),
        ):
            points, line = dots(axis, label)
            np.testing.assert_allclose(points, poses_[:, order[:dimensions]], err_msg=label)
            assert line.get_color() == colour
        labels = (axis.get_xlabel(), axis.get_ylabel(), axis.get_zlabel() if dimensions == 3 else None)[:dimensions]
        assert labels == tuple(f"{'xyz'[k]} (m)" for k in order[:dimensions])
    (lines,) = plan.collections
    np.testing.assert_allclose(np.stack(lines.get_segments()), np.stack([truth, found], axis=1)[..., order[:2]])
    np.testing.assert_allclose(lines.get_color()[0][:3], to_rgb(loc_figures.ERROR))
    assert plan.get_aspect() == 1
    legend = " ".join(text.get_text() for text in drawn["pose_graph.png"].legends[0].get_texts())
    scores = loc_scores.loc_scores(truth, answer(found))
    assert (
        f"prediction: median error {scores['position_median_m']:.3g} m, {scores['rotation_median_deg']:.3g}°" in legend
    )
    figures.save(drawn["pose_graph.png"], tmp_path / "graph.png")
    extent = [np.ptp(limits) for limits in (space.get_xlim(), space.get_ylim(), space.get_zlim())]
    np.testing.assert_allclose(
        space.get_box_aspect() / space.get_box_aspect()[0], np.array(extent) / extent[0]
    )  # a metre is equally long


@pytest.mark.parametrize("world", LEVEL)
@pytest.mark.parametrize("widest", [0, 1])
def test_plans_are_seen_from_above_and_not_in_a_mirror(world, widest):
    """To the right x up the picture must be the world's up, whichever axis extends most."""
    truth, found = poses(world)
    flat = [k for k in range(3) if not UP[world][k]]
    truth[:, :3] *= np.where(np.arange(3) == flat[widest], 20, 1)
    found[:, :3] = truth[:, :3]
    images = np.zeros((2, 8, 8, 3), "uint8")
    graph = loc_figures.pose_graph(truth, answer(found))["pose_graph.png"].axes
    small = loc_figures.loc_figures(images, truth[:2], answer(found[:2]), "ab", NAMES)["poses.png"].axes
    for axis in (graph[0], graph[1], small[1]):
        letters = [axis.get_xlabel()[0], axis.get_ylabel()[0]]
        right, up = (sign * np.eye(3)["xyz".index(k)] for sign, k in zip(toward(axis)[:2], letters, strict=True))
        np.testing.assert_allclose(np.cross(right, up), UP[world], err_msg=axis.name)
    assert graph[0].get_xlabel()[0] == "xyz"[flat[widest]]
    assert toward(graph[1])[2] == np.sum(UP[world])


@pytest.mark.parametrize("value", [0.0, 50.0, np.nan, np.inf])
def test_a_useless_answer_does_not_hide_the_truth(value, tmp_path):
    truth, found = poses()
    found[3, :3] = value
    figure = loc_figures.pose_graph(truth, answer(found), found)["pose_graph.png"]
    plan, space = figure.axes
    order = np.argsort(-np.ptp(truth[:, :3], axis=0))
    limits = np.array([plan.get_xlim(), plan.get_ylim()])
    size, extent = np.ptp(limits, axis=1), np.ptp(truth[:, order[:2]], axis=0)
    assert (size >= extent).all() and (size <= extent + 0.7 * extent.max()).all()
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert ("1 outside the picture" in legend) == (value != 0)
    segments = np.stack(plan.collections[0].get_segments())
    assert len(segments) == (12 if np.isfinite(value) else 11)
    low, high = limits.min(axis=1) - 1e-9, limits.max(axis=1) + 1e-9
    assert ((segments >= low) & (segments <= high)).all()
    if value == 50:
        way, full = segments[3, 1] - segments[3, 0], found[3, order[:2]] - truth[3, order[:2]]
        np.testing.assert_allclose(way / np.linalg.norm(way), full / np.linalg.norm(full))
    figures.save(figure, tmp_path / "graph.png")
    images = np.zeros((3, 8, 8, 3), "uint8")
    drawn = loc_figures.loc_figures(images, truth[2:5], answer(found[2:5]), "abc", NAMES)["poses.png"]
    figures.save(drawn, tmp_path / "poses.png")
    assert np.ptp(drawn.axes[1].get_xlim()) < 2


def test_one_picture(tmp_path):
    truth, found = poses(count=1)
    figures.save(loc_figures.pose_graph(truth, answer(found))["pose_graph.png"], tmp_path / "graph.png")
    figures.save(loc_figures.error_curves([0.1], [2.0]), tmp_path / "curves.png")


def test_shares_of_pictures():
    metres, degrees = np.array([0.02, 0.05, 0.2, 0.4, np.nan]), np.array([1.0, 7.0, 2.0, 4.0, np.nan])
    other = (np.array([0.3, 0.001]), np.array([1.0, 170.0]))
    figure = loc_figures.error_curves(metres, degrees, {"retrieval": other})
    for k, (axis, errors) in enumerate(zip(figure.axes, (metres, degrees), strict=True)):
        curves = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
        for line, values in zip(curves, (errors, other[k]), strict=True):
            x, y = line.get_data()
            for at in np.geomspace(axis.get_xlim()[0] * 1.01, axis.get_xlim()[1] * 0.99, 50):
                assert y[np.searchsorted(x, at, side="right") - 1] == pytest.approx(100 * np.mean(values <= at))
        bounds = [pair[k] for pair in loc_scores.THRESHOLDS.values()]
        assert {line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"} == set(bounds)
        points = [line for line in axis.lines if line.get_linestyle() != ":" and len(line.get_xdata()) == 1]
        assert [line.get_xdata()[0] for line in points] == bounds * 2
        assert [float(line.get_ydata()[0]) for line in points] == pytest.approx([20, 40, 60, 0, 0, 50])
        assert axis.get_xscale() == "log"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[1] == "network within 25 cm and 2°: 40.0 %" and legend[5] == "retrieval within 50 cm and 5°: 50.0 %"


def test_learned_weights_over_the_epochs(tmp_path):
    rows = [{"epoch": 1, "a": 0.0, "b": -3.0}, {"epoch": 2, "a": -0.5, "b": -3.25}, {"epoch": 3, "a": -0.75}]
    figure = loc_figures.weights_curves(rows, {"b": "rotation", "a": "translation", "c": "semantics"})
    rotation, translation = figure.axes[0].lines
    np.testing.assert_array_equal(rotation.get_data(), [[1, 2], [-3, -3.25]])
    np.testing.assert_array_equal(translation.get_data(), [[1, 2, 3], [0, -0.5, -0.75]])
    assert rotation.get_label() == "rotation: -3 to -3.25" and translation.get_label() == "translation: 0 to -0.75"
    figures.save(figure, tmp_path / "weights.png")
    figures.save(loc_figures.weights_curves([], {"a": "translation"}), tmp_path / "empty.png")


def test_arrows_show_the_view_directions(tmp_path):
    truth, found = poses(count=3)
    images = np.random.default_rng(1).integers(0, 256, (3, 6, 8, 3), dtype="uint8")
    figure = loc_figures.loc_figures(images, truth, answer(found), ["one", "two", "three"], NAMES)["poses.png"]
    assert len(figure.axes) == 6 and len({np.ptp(axis.get_xlim()).round(9) for axis in figure.axes[1::2]}) == 1
    for i, (picture, plan) in enumerate(zip(figure.axes[::2], figure.axes[1::2], strict=True)):
        np.testing.assert_array_equal(picture.images[0].get_array(), images[i])
        assert picture.texts[0].get_text() == ("one", "two", "three")[i]
        order = ["xyz".index(label[0]) for label in (plan.get_xlabel(), plan.get_ylabel())]
        assert sorted(order) == [0, 1], "the height is left out"
        arrows = [c for c in plan.collections if isinstance(c, matplotlib.quiver.Quiver)]
        half = np.ptp(plan.get_xlim()) / 2
        for arrow, pose, colour in zip(
            arrows, (truth[i], found[i]), (loc_figures.TRUTH, loc_figures.PREDICTION), strict=True
        ):
            forward = Rotation.from_quat(pose[[4, 5, 6, 3]]).apply([0, 0, 1])
            np.testing.assert_allclose(arrow.XY[0], pose[order], atol=1e-6)
            np.testing.assert_allclose([arrow.U[0], arrow.V[0]], 0.6 * half * forward[order], atol=1e-6)
            np.testing.assert_allclose(arrow.get_facecolor()[0][:3], to_rgb(colour))
        metres = np.linalg.norm(found[i, :3] - truth[i, :3])
        up = found[i, 2] - truth[i, 2]
        turn = Rotation.from_quat(truth[i, [4, 5, 6, 3]]).inv() * Rotation.from_quat(found[i, [4, 5, 6, 3]])
        words = (
            f"{metres:.2f} m ({abs(up):.2f} m too {'high' if up > 0 else 'low'}), {np.degrees(turn.magnitude()):.1f}°"
        )
        assert plan.get_title() == words
    figures.save(figure, tmp_path / "poses.png")
    with Image.open(tmp_path / "poses.png") as picture:
        assert picture.format == "PNG" and min(picture.size) > 300


def test_windows_show_their_middle_frame():
    truth, found = poses(count=2)
    images = np.random.default_rng(1).integers(0, 256, (2, 6, 8, 3), dtype="uint8")
    window = {
        name: np.stack([x + 1, x, x + 2], 1) for name, x in {"images": images, "labels": truth, **answer(found)}.items()
    }
    outputs = {name: window[name] for name in ("position", "rotation")}
    plain = loc_figures.loc_figures(images, truth, answer(found), "ab", NAMES)["poses.png"]
    middle = loc_figures.loc_figures(window["images"], window["labels"], outputs, "ab", NAMES)["poses.png"]
    for a, b in zip(plain.axes, middle.axes, strict=True):
        assert a.get_title() == b.get_title() and a.get_xlim() == b.get_xlim()
    np.testing.assert_array_equal(middle.axes[0].images[0].get_array(), images[0])


@pytest.mark.parametrize("classes", [(), ("background", "chair", "table")])
def test_segmentation_beside_the_picture(classes):
    truth, found = poses(count=2)
    rng = np.random.default_rng(2)
    images, ids = np.full((2, 6, 8, 3), 100, "uint8"), rng.integers(0, 3, (2, 6, 8), dtype="uint8")
    mask = ids[..., None].copy()
    mask[:, :2] = 255
    outputs = {**answer(found), "classes": ids, "mask": mask, "class_names": classes}
    figure = loc_figures.loc_figures(images, truth, outputs, "ab", NAMES)["poses.png"]
    assert len(figure.axes) == 8 and figure.axes[1].get_title() == "predicted classes"
    colours = figures.class_colours(list(classes) or ["0", "1", "2"])
    for i in range(2):
        for panel, shown in ((1, ids[i]), (2, mask[i, ..., 0])):
            expected = 0.3 * 100 / 255 + 0.7 * np.where(shown[..., None] < 255, colours[np.minimum(shown, 2)], 0.5)
            np.testing.assert_allclose(figure.axes[4 * i + panel].images[0].get_array(), expected)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[2:] == [*(classes or "012"), "not labelled: ignored"]
    alone = loc_figures.loc_figures(images, truth, {**answer(found), "classes": ids}, "ab", NAMES)["poses.png"]
    assert len(alone.axes) == 6
