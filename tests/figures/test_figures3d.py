"""Pictures of 3-D pose: the lines lie where the joints are, and the files are real pictures."""

import matplotlib
import numpy as np
import pytest
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from PIL import Image

from kzoo import UserError
from kzoo.figures import base as figures
from kzoo.figures import pose3d as pose3d_figures
from kzoo.nn.skeletons import H36M_BONES, H36M_JOINTS

# matplotlib warns when an animation is thrown away unplayed
pytestmark = pytest.mark.filterwarnings("ignore:Animation was deleted without rendering")

CLIPS, LENGTH = 3, 3
PICTURES = ("clips.png", "frames.png", "clip.gif")
BONES = [pair for pairs in H36M_BONES.values() for pair in pairs]
COLOUR_OF_BONE = {pair: figures.SIDES[side] for side, pairs in H36M_BONES.items() for pair in pairs}
OTHER_NAMES = tuple(f"joint{i}" for i in range(5))


def clips(count=CLIPS, joints=17):
    """Truth, prediction (worse from clip to clip), frames and 2-D joints of clips in which everything moves."""
    rng = np.random.default_rng(5)
    labels = rng.normal(size=(1, 1, joints, 3)) * (0.3, 0.6, 0.2) + rng.normal(size=(count, LENGTH, joints, 3)) * 0.05
    labels -= labels[:, :, :1]
    noise = rng.normal(size=labels.shape) * 0.02 * np.arange(1, count + 1)[:, None, None, None]
    noise[:, :, 0] = 0
    frames = rng.integers(0, 256, (count, LENGTH, 24, 32, 3)).astype("uint8")
    flat = labels[..., :2] / (labels[..., 2:] + 4) + 0.5
    return labels.astype("float32"), (labels + noise).astype("float32"), frames, flat.astype("float32")


def draw(inputs, labels, joints, names=H36M_JOINTS):
    titles = [f"clip {i}" for i in range(len(inputs))]
    return pose3d_figures.pose3d_figures(inputs, labels, {"joints": joints}, titles, list(names))


class Viewer(AbstractMovieWriter):
    """Looks at each frame of an animation instead of writing it: look(figure, number)."""

    def __init__(self, look):
        super().__init__()
        self.look, self.seen = look, 0

    def setup(self, fig, outfile, dpi=None):
        self.fig = fig

    def grab_frame(self, **_):
        self.look(self.fig, self.seen)
        self.seen += 1

    def finish(self):
        pass


def axes(figure, projection):
    return [axis for axis in figure.findobj(matplotlib.axes.Axes) if axis.name == projection]


def bones(axis):
    """The ends (2, 3) or (2, 2) and the colour of each line of two points, in drawing order."""
    lines = [line for line in axis.lines if line.get_linestyle() != "None"]
    return [
        (np.array(line.get_data_3d() if axis.name == "3d" else line.get_data()).T, line.get_color()) for line in lines
    ]


def points(axis):
    """The joints (J, 3) or (J, 2) that the markers show."""
    (line,) = (line for line in axis.lines if line.get_linestyle() == "None")
    return np.array(line.get_data_3d() if axis.name == "3d" else line.get_data()).T


def upright(joints):
    """Camera coordinates to the picture's: x stays, depth goes back, the picture's third axis points up."""
    return np.stack([[joint[0], joint[2], -joint[1]] for joint in joints])


def test_lines_lie_where_the_joints_are():
    labels, joints, frames, _ = clips()
    scenes = axes(draw(frames, labels, joints)["clips.png"], "3d")
    assert len(scenes) == 3 * CLIPS
    for i, (truth, prediction, both) in enumerate(zip(scenes[::3], scenes[1::3], scenes[2::3], strict=True)):
        expected = {"truth": upright(labels[i, LENGTH // 2]), "prediction": upright(joints[i, LENGTH // 2])}
        np.testing.assert_allclose(points(truth), expected["truth"], atol=1e-6)
        np.testing.assert_allclose(points(prediction), expected["prediction"], atol=1e-6)
        overlay = bones(both)
        for part, skeleton in (
            (bones(truth), "truth"),
            (bones(prediction), "prediction"),
            (overlay[:16], "truth"),
            (overlay[16:], "prediction"),
        ):
            assert len(part) == len(BONES) == 16
            for pair, (ends, colour) in zip(BONES, part, strict=True):
                np.testing.assert_allclose(ends, expected[skeleton][list(pair)], atol=1e-6)
                assert colour == COLOUR_OF_BONE[pair]
        assert [line.is_dashed() for line in both.lines] == [False] * 16 + [True] * 16


def test_a_mirrored_label_moves_its_own_lines_only():
    labels, joints, frames, _ = clips(count=1)
    plain, mirrored = (
        axes(draw(frames, truth, joints)["clips.png"], "3d") for truth in (labels, labels * np.float32([-1, 1, 1]))
    )
    for (ends, _), (other, _) in zip(bones(plain[0]), bones(mirrored[0]), strict=True):
        np.testing.assert_allclose(other, ends * [-1, 1, 1], atol=1e-6)
    assert np.abs(points(plain[0]) - points(mirrored[0])).max() > 0.1
    np.testing.assert_array_equal(points(plain[1]), points(mirrored[1]))


def test_views_and_scales():
    """Same limits for truth and prediction, a metre equally long on all axes, up is up, and the side view is turned by
    90 degrees."""
    labels, joints, frames, _ = clips()
    figure = draw(frames, labels, joints)["clips.png"]
    figure.draw_without_rendering()  # sets the projection M
    sine, cosine = np.sin(np.radians(10)), np.cos(np.radians(10))
    scenes = axes(figure, "3d")
    for i, scene in enumerate(scenes):
        first = scenes[i - i % 3]
        assert (scene.get_xlim(), scene.get_ylim(), scene.get_zlim()) == (
            first.get_xlim(),
            first.get_ylim(),
            first.get_zlim(),
        )
        right_and_up = (
            scene.M[:2, :3] * cosine / np.linalg.norm(scene.M[:2, 2])
        )  # of 1 m along x, depth and height, in metres
        turned = [[-sine, cosine, 0]] if i % 3 == 2 else [[cosine, sine, 0]]
        np.testing.assert_allclose(right_and_up[:1], turned, atol=1e-6)
        assert right_and_up[1, 2] > 0.9
        ends = np.concatenate([bone for bone, _ in bones(scene)])
        seen = scene.transLimits.transform((ends @ scene.M[:2, :3].T + scene.M[:2, 3]) / scene.M[3, 3])
        assert seen.min() > 0 and seen.max() < 1, "nothing is cut off"


@pytest.mark.parametrize(
    ("kind", "count", "names"),
    [
        ("frames", 1, H36M_JOINTS),
        ("keypoints_2d", 2, H36M_JOINTS),
        ("frames", 2, OTHER_NAMES),
        ("keypoints_2d", 1, OTHER_NAMES),
    ],
    ids=["frames-1", "keypoints-2", "frames-2-5", "keypoints-1-5"],
)
def test_files_are_pictures(tmp_path, kind, count, names):
    labels, joints, frames, flat = clips(count, len(names))
    drawn = draw(frames if kind == "frames" else flat, labels, joints, names)
    assert tuple(drawn) == PICTURES and isinstance(drawn["clip.gif"], FuncAnimation)
    for name in PICTURES[:2]:
        figures.save(drawn[name], tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.format == "PNG" and min(picture.size) > 300
            assert len(np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50
        scenes = axes(drawn[name], "3d")
        assert len(scenes) == {"clips.png": 3 * count, "frames.png": 2 * LENGTH * min(count, 2)}[name]
        for axis in scenes + (axes(drawn[name], "rectilinear") if kind != "frames" else []):
            assert axis.lines and (len(bones(axis)) > 0) == (len(names) == 17)
            assert all(np.isfinite(ends).all() for ends, _ in bones(axis))
    figures.save(drawn["clip.gif"], tmp_path / "clip.gif")
    with Image.open(tmp_path / "clip.gif") as picture:
        assert picture.format == "GIF" and picture.n_frames == LENGTH and picture.info["loop"] == 0
        assert 1 / 8 < picture.info["duration"] / 1000 < 1 / 5
        shown = []
        for t in range(LENGTH):
            picture.seek(t)
            shown.append(np.array(picture.convert("RGB")).astype(int))
        assert all(np.abs(a - b).max() > 100 for a, b in zip(shown, shown[1:], strict=False)), "it moves"
    assert {path.name for path in tmp_path.iterdir()} == set(PICTURES)


def test_frames_show_the_best_and_the_worst_clip():
    labels, joints, frames, flat = clips()
    order = [1, 2, 0]  # so that best and worst are not first and last
    scenes = axes(draw(frames[order], labels[order], joints[order])["frames.png"], "3d")
    found = np.stack([points(scene) for scene in scenes]).reshape(2, LENGTH, 2, 17, 3)
    for k, i in enumerate((0, CLIPS - 1)):
        for t in range(LENGTH):
            np.testing.assert_allclose(found[k, t, 0], upright(labels[i, t]), atol=1e-6)
            np.testing.assert_allclose(found[k, t, 1], upright(joints[i, t]), atol=1e-6)
    panels = axes(draw(flat[order], labels[order], joints[order])["frames.png"], "rectilinear")
    np.testing.assert_allclose(
        np.stack([points(panel) for panel in panels]), np.concatenate([flat[0], flat[-1]]), atol=1e-6
    )
    assert all(panel.get_ylim()[0] > panel.get_ylim()[1] for panel in panels), "y points down in a frame"


def test_the_animation_shows_every_frame():
    labels, joints, _, flat = clips(count=5)
    animation = draw(flat, labels, joints)["clip.gif"]

    def look(figure, t):
        scenes, panels = axes(figure, "3d"), axes(figure, "rectilinear")
        assert (len(scenes), len(panels)) == (2 * pose3d_figures.ANIMATED, pose3d_figures.ANIMATED)
        np.testing.assert_allclose(points(panels[3]), flat[3, t], atol=1e-6)
        for scene, skeleton in zip(scenes[6:], (labels, joints), strict=True):
            np.testing.assert_allclose(points(scene), upright(skeleton[3, t]), atol=1e-6)
            np.testing.assert_allclose(bones(scene)[2][0], upright(skeleton[3, t])[list(BONES[2])], atol=1e-6)

    viewer = Viewer(look)
    animation.save("nowhere.gif", writer=viewer)
    assert viewer.seen == LENGTH


def test_captions_state_the_error_and_the_worst_joint():
    labels, _, frames, _ = clips(count=1)
    joints = labels.copy()
    joints[0, :, 13, 2] += 0.17  # 170 mm at one joint of 17
    joints += np.float32([3, 0, 0])  # both are moved to the root, as in the scores
    figure = draw(frames, labels, joints)["clips.png"]
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert "MPJPE 10 mm; worst: left_wrist 170 mm" in texts and "clip 0" in texts


@pytest.mark.parametrize("value", [0.0, 1e4, np.nan, np.inf])
def test_a_useless_prediction_does_not_hide_the_truth(tmp_path, value):
    labels, joints, frames, _ = clips(count=1)
    joints[:, :, 1:] = value
    drawn = draw(frames, labels, joints)
    for name in PICTURES[:2]:
        figures.save(drawn[name], tmp_path / name)
    scene = axes(drawn["clips.png"], "3d")[0]
    assert (
        np.ptp(labels[0, LENGTH // 2, :, 1]) - 1e-6
        <= np.ptp(scene.get_zlim())
        <= np.ptp(labels[0, LENGTH // 2, :, 1]) + 1.01
    )


def test_a_failed_animation_leaves_the_old_file(tmp_path, monkeypatch):
    labels, joints, _, flat = clips(count=1)
    animation = draw(flat, labels, joints)["clip.gif"]
    (tmp_path / "clip.gif").write_text("old")

    def full(writer):
        raise OSError("no space left on device")

    monkeypatch.setattr(figures.PillowWriter, "finish", full)
    with pytest.raises(UserError, match="no space left"):
        figures.save(animation, tmp_path / "clip.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.gif"] and (tmp_path / "clip.gif").read_text() == "old"


def heights(axis, attribute):
    return [round(getattr(bar, attribute)(), 6) for bar in axis.patches]


def test_bars_per_joint(tmp_path):
    rows = {
        "MPJPE": dict(zip(H36M_JOINTS, np.arange(17.0) * 10, strict=True)),
        "PA-MPJPE": dict(zip(H36M_JOINTS, np.arange(17.0), strict=True)),
    }
    figure = pose3d_figures.joint_table(rows)
    (axis,) = figure.axes
    assert heights(axis, "get_height") == [*rows["MPJPE"].values(), *rows["PA-MPJPE"].values()]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == list(H36M_JOINTS)
    assert [line.get_ydata()[0] for line in axis.lines] == [80.0, 8.0]
    assert len({bar.get_facecolor() for bar in axis.patches}) == 2
    figures.save(figure, tmp_path / "per_joint.png")


def test_bars_per_action(tmp_path):
    figure = pose3d_figures.actions_bars({"Sitting": 60.0, "Walking": 40.0, "Photo": float("nan"), "Eating": 50.0})
    (axis,) = figure.axes
    assert heights(axis, "get_width") == [60.0, 50.0, 40.0], "from below: the best on top"
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["Sitting", "Eating", "Walking"]
    assert axis.lines[0].get_xdata()[0] == 50.0
    figures.save(figure, tmp_path / "per_action.png")
