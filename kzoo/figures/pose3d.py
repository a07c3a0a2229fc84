"""Pictures of 3-D pose for people: skeletons beside their frames, whole clips, animations, bars of errors in mm."""

import itertools

import numpy as np
from matplotlib.animation import FuncAnimation
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from kzoo.figures import base
from kzoo.figures.base import ANIMATION_HZ, HALO, SIDES, Figure
from kzoo.nn.skeletons import H36M_BONES, H36M_JOINTS

FROM_CAMERA = {"elev": 10, "azim": -80}  # nearly from the camera
FROM_SIDE = {"elev": 10, "azim": 10}  # the camera stands on the left
GRID = 0.25  # metres between the lines of the floor
# Metres that a wrong prediction may widen the space on each side; beyond, it is cut off and the truth stays readable.
MARGIN = 0.5
ANIMATED = 4  # examples in the animation
FRAMES = 12  # of a clip that are drawn side by side; of longer clips as many, evenly spaced


def pose3d_figures(inputs, labels, outputs, titles, names) -> dict[str, Figure | FuncAnimation]:
    """The middle frame of each clip with its skeletons.

    And all frames of the best and the worst clip, and an animation of the first clips. All skeletons are moved so that
    joint 0, the root, lies at the origin, as the scores have it.

    Args:
        inputs: what the network read: frames (N, T, H, W, 3) uint8, or 2-D joints (N, T, J, 2) in fractions of the
            frame.
        labels: (N, T, J, 3) metres, camera coordinates: x right, y down, z away from the camera.
        outputs: {"joints": (N, T, J, 3)}, likewise; other outputs are not drawn.
        titles: N strings.
        names: J strings. Bones are drawn between Human3.6M's joints; of other joints the points alone.
    Returns:
        {"clips.png": Figure, "frames.png": Figure, "clip.gif": FuncAnimation}, for `figures.save`.
    """
    labels, joints = np.asarray(labels, "float64"), np.asarray(outputs["joints"], "float64")
    joints = np.where(np.isfinite(joints), joints, np.nan)  # of a network that diverged: these lines are left out
    labels = labels - labels[:, :, :1]
    joints = joints - joints[:, :, :1]
    errors = 1000 * np.linalg.norm(joints - labels, axis=-1)  # (N, T, J) mm
    clips = (np.asarray(inputs), _upright(labels), _upright(joints), errors)
    return {
        "clips.png": _middle_frames(*clips, titles, names),
        "frames.png": _all_frames(*clips, titles, names),
        "clip.gif": _animation(*(array[:ANIMATED] for array in clips), titles, names),
    }


def _upright(joints) -> np.ndarray:
    """Camera coordinates (…, 3) -> the axes of a picture whose third axis points up."""
    return np.stack([joints[..., 0], joints[..., 2], -joints[..., 1]], axis=-1)


def _draw_skeleton(axis, points, names, *, markers=True, **style) -> list[tuple]:
    """Bones and joints of one person. Returns (line, its joints) of each line.

    points: (J, 2) or (J, 3) in the coordinates of the axis.
    """
    drawn = []
    bones = H36M_BONES if tuple(names) == H36M_JOINTS else {}
    for side, pairs in bones.items():
        for pair in map(list, pairs):
            (line,) = axis.plot(*points[pair].T, color=SIDES[side], linewidth=2, zorder=5, **style)
            drawn.append((line, pair))
    if markers or not bones:
        look = {"marker": "o", "markersize": 2.5, "markerfacecolor": "white"}
        edge = {"markeredgecolor": "black", "markeredgewidth": 0.5}
        (line,) = axis.plot(*points.T, linestyle="none", zorder=6, **look, **edge)
        drawn.append((line, list(range(len(points)))))
    return drawn


def _move_skeleton(drawn, points):
    for line, joints in drawn:
        move = line.set_data_3d if points.shape[-1] == 3 else line.set_data
        move(*points[joints].T)


def _draw_input(axis, picture, clip, names):
    """One frame (H, W, 3), or the 2-D joints (J, 2) of one, zoomed on the person.

    clip: all frames. Returns what `_move_input` needs.
    """
    axis.set(xticks=[], yticks=[])
    if picture.ndim == 3:
        axis.set_axis_off()
        return axis.imshow(picture)
    finite = clip[np.isfinite(clip).all(axis=-1)]
    low, high = (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(2), np.ones(2))
    middle = (low + high) / 2
    half = 0.55 * max(*(high - low), 0.01)
    axis.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] + half, middle[1] - half), aspect="equal")
    for spine in axis.spines.values():
        spine.set_color("lightgrey")
    return _draw_skeleton(axis, picture, names)


def _move_input(drawn, picture):
    if picture.ndim == 3:
        drawn.set_data(picture)
    else:
        _move_skeleton(drawn, picture)


def _space(truth, predicted) -> np.ndarray:
    """Lowest and highest corner (2, 3) of the space of a clip: on a square floor, around truth and prediction."""
    low, high = _bounds(truth)
    low_predicted, high_predicted = _bounds(predicted)
    low = np.minimum(low, np.maximum(low_predicted, low - MARGIN))
    high = np.maximum(high, np.minimum(high_predicted, high + MARGIN))
    middle = (low[:2] + high[:2]) / 2
    half = max(*(high - low)[:2], 0.8) / 2 + 0.05
    return np.stack([[*(middle - half), low[2]], [*(middle + half), max(high[2], low[2] + 0.5)]])


def _bounds(points) -> tuple[np.ndarray, np.ndarray]:
    points = points.reshape(-1, 3)
    finite = points[np.isfinite(points).all(axis=-1)]
    return (finite.min(axis=0), finite.max(axis=0)) if len(finite) else (np.zeros(3), np.zeros(3))


def _add_scene(figure, place, space, view):
    """An empty 3-D axis with a floor; one metre is equally long in all directions. space: (2, 3)."""
    axis = figure.add_subplot(place, projection="3d", computed_zorder=False)
    low, high = space
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
    width, height = (high - low)[[0, 2]]
    # What both views see of the box: the floor turned by 10 and tilted by 10 degrees.
    seen = max(1.15 * width, height + 0.2 * width)
    axis.set_box_aspect(high - low, zoom=0.94 * np.linalg.norm(high - low) / seen)
    axis.view_init(**view)
    axis.set_proj_type("ortho")
    axis.set_axis_off()
    lines = []
    for across, along in ((0, 1), (1, 0)):
        for at in np.arange(np.ceil(low[across] / GRID), np.floor(high[across] / GRID) + 1) * GRID:
            ends = np.full((2, 3), low[2])
            ends[:, across] = at
            ends[:, along] = (low[along], high[along])
            lines.append(ends)
    axis.add_collection3d(Line3DCollection(lines, colors="gainsboro", linewidths=0.7, zorder=1))
    return axis


def _caption(axis, text, **place):
    place = {"x": 0, "y": -0.02, "ha": "left", "va": "top", "fontsize": "small", **place}
    write = axis.text2D if axis.name == "3d" else axis.text
    write(s=text, transform=axis.transAxes, **place)


def _errors_in_words(errors, names) -> str:
    """errors: (T, J) mm of one clip."""
    per_joint = errors.mean(axis=0)
    worst = int(np.argmax(per_joint))  # the first that is not a number, if there is one
    return f"MPJPE {errors.mean():.0f} mm; worst: {base.shortened(names[worst], 20)} {per_joint[worst]:.0f} mm"


def _legend(figure, names, *, overlay: bool = False):
    handles = []
    if tuple(names) == H36M_JOINTS:
        words = {"left": "the person's left", "right": "the person's right", "middle": "middle"}
        handles += [base.line(colour, words[side], linewidth=2) for side, colour in SIDES.items()]
    if overlay:
        handles += [base.line("dimgrey", "truth"), base.line("dimgrey", "prediction", linestyle="--")]
    base.legend(figure, [*handles, base.line("gainsboro", f"grid of {100 * GRID:.0f} cm")])


def _middle_frames(inputs, truth, predicted, errors, titles, names) -> Figure:
    count = len(inputs)
    t = inputs.shape[1] // 2
    figure, places, rows = base.arranged(count, 4, aspect=1.05)
    for i in range(count):
        space = _space(truth[i, t], predicted[i, t])
        axes = [figure.add_subplot(places[i, 0])]
        axes += [_add_scene(figure, places[i, column], space, FROM_CAMERA) for column in (1, 2)]
        axes += [_add_scene(figure, places[i, 3], space, FROM_SIDE)]
        _draw_input(axes[0], inputs[i, t], inputs[i], names)
        _draw_skeleton(axes[1], truth[i, t], names)
        _draw_skeleton(axes[2], predicted[i, t], names)
        _draw_skeleton(axes[3], truth[i, t], names, markers=False, alpha=0.8)
        _draw_skeleton(axes[3], predicted[i, t], names, markers=False, dashes=(2, 1))
        _caption(axes[0], titles[i])
        _caption(axes[2], _errors_in_words(errors[i], names))
        if i % rows == 0:
            head = f"input, frame {t + 1} of {inputs.shape[1]}"
            heads = (head, "truth", "prediction", "both, from the side")
            for axis, head in zip(axes, heads, strict=True):
                axis.set_title(head, fontsize="medium")
    base.heading(figure, "From the side: the camera stands on the left", "small")
    _legend(figure, names, overlay=True)
    return figure


def _all_frames(inputs, truth, predicted, errors, titles, names) -> Figure:
    order = np.argsort(errors.mean(axis=(1, 2)))
    length = inputs.shape[1]
    frames = np.unique(np.linspace(0, length - 1, min(length, FRAMES)).round().astype(int))
    chosen = {"best": order[0], "worst": order[-1]} if len(order) > 1 else {"the only": 0}
    figure = Figure(figsize=(1.5 * max(len(frames), 4) + 0.3, 5.0 * len(chosen) + 0.3), layout="constrained")
    bands = figure.subfigures(len(chosen), 1, squeeze=False)[:, 0]
    for band, (word, i) in zip(bands, chosen.items(), strict=True):
        band.suptitle(
            f"{word} clip ({base.shortened(titles[i], 40)}): {_errors_in_words(errors[i], names)}", fontsize="medium"
        )
        grid = band.add_gridspec(3, len(frames), height_ratios=(1, 1.05, 1.05))
        space = _space(truth[i], predicted[i])
        for column, t in enumerate(frames):
            axes = [band.add_subplot(grid[0, column])]
            axes += [_add_scene(band, grid[row, column], space, FROM_CAMERA) for row in (1, 2)]
            axes[0].set_title(f"frame {t + 1}", fontsize="small")
            _draw_input(axes[0], inputs[i, t], inputs[i], names)
            _draw_skeleton(axes[1], truth[i, t], names)
            _draw_skeleton(axes[2], predicted[i, t], names)
            _caption(axes[2], f"{errors[i, t].mean():.0f} mm", x=0.5, y=0, ha="center")
            if column == 0:
                for axis, row in zip(axes, ("input", "truth", "prediction"), strict=True):
                    _caption(axis, row, x=-0.05, y=0.5, ha="right", va="center", rotation="vertical")
    _legend(figure, names)
    return figure


def _animation(inputs, truth, predicted, errors, titles, names) -> FuncAnimation:
    count, length = inputs.shape[:2]
    figure = Figure(figsize=(7.5, 2.6 * count + 0.6), layout="constrained")
    grid = figure.add_gridspec(count, 3)
    moving = []
    for i in range(count):
        space = _space(truth[i], predicted[i])
        axes = [figure.add_subplot(grid[i, 0])]
        axes += [_add_scene(figure, grid[i, column], space, FROM_CAMERA) for column in (1, 2)]
        picture = _draw_input(axes[0], inputs[i, 0], inputs[i], names)
        true = _draw_skeleton(axes[1], truth[i, 0], names)
        answer = _draw_skeleton(axes[2], predicted[i, 0], names)
        moving.append((picture, true, answer))
        _caption(axes[0], titles[i])
        _caption(axes[2], f"MPJPE {errors[i].mean():.0f} mm")
        if i == 0:
            headline = axes[0].set_title(f"input, frame {length} of {length}", fontsize="medium")
            axes[1].set_title("truth", fontsize="medium")
            axes[2].set_title("prediction", fontsize="medium")
    _legend(figure, names)
    for _ in range(2):  # the second pass knows how high the captions are
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: otherwise the pictures would tremble from frame to frame

    def show(t):
        headline.set_text(f"input, frame {t + 1} of {length}")
        for i, (picture, true, answer) in enumerate(moving):
            _move_input(picture, inputs[i, t])
            _move_skeleton(true, truth[i, t])
            _move_skeleton(answer, predicted[i, t])

    return FuncAnimation(figure, show, frames=length, interval=1000 / ANIMATION_HZ)


def joint_table(per_joint: dict[str, dict[str, float]]) -> Figure:
    """Bars of the error per joint in mm, side by side for each measure, and a line at each measure's mean.

    Args:
        per_joint: measure -> joint -> mm, for example {"MPJPE": {"hip": 0.0, …}, "PA-MPJPE": {…}}.
    """
    joints = list(dict.fromkeys(itertools.chain.from_iterable(per_joint.values())))
    figure = Figure(figsize=(max(6.0, 0.35 * len(per_joint) * len(joints) + 1.5), 4.5), layout="constrained")
    axis = figure.subplots()
    width = 0.8 / len(per_joint)
    for k, (measure, errors) in enumerate(per_joint.items()):
        values = np.array([errors.get(joint, np.nan) for joint in joints])
        places = np.arange(len(joints)) + (k - (len(per_joint) - 1) / 2) * width
        mean = values[np.isfinite(values)].mean() if np.isfinite(values).any() else np.nan
        bars = axis.bar(places, values, width, color=f"C{k}", label=f"{measure}, line: its mean {mean:.1f} mm")
        axis.axhline(mean, color=f"C{k}", linestyle="--", linewidth=1, zorder=1)
        words = [f"{value:.0f}" for value in values]
        axis.bar_label(bars, words, padding=2, fontsize="x-small", path_effects=HALO, zorder=3)
    words = [base.shortened(joint) for joint in joints]
    axis.set_xticks(range(len(joints)), words, rotation=45, ha="right", rotation_mode="anchor")
    axis.set(ylabel="error (mm)", xlim=(-0.6, len(joints) - 0.4))
    axis.margins(y=0.1)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=len(per_joint), fontsize="small", frameon=False)
    return figure


def actions_bars(per_action: dict[str, float]) -> Figure:
    """Bars of the error per action in mm, the best on top, and a line at their mean.

    Actions without a number are left out.
    """
    measured = [action for action in per_action if np.isfinite(per_action[action])]
    shown = sorted(measured, key=per_action.get, reverse=True)
    errors = [per_action[action] for action in shown]
    mean = np.mean(errors) if errors else np.nan
    figure = Figure(figsize=(7, 1.2 + 0.32 * len(shown)), layout="constrained")
    axis = figure.subplots()
    bars = axis.barh(range(len(shown)), errors, color="tab:blue", height=0.7)
    axis.set_yticks(range(len(shown)), [base.shortened(action) for action in shown])
    axis.axvline(mean, color="black", linestyle="--", linewidth=1, zorder=1, label=f"mean {mean:.1f} mm")
    axis.bar_label(bars, fmt="%.1f", padding=3, fontsize="small", path_effects=HALO, zorder=3)
    axis.set(xlabel="MPJPE (mm)")
    axis.margins(x=0.1)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", fontsize="small", frameon=False)
    return figure


def pose3d_charts(result: dict, names, labels=None, predictions=None) -> dict[str, Figure]:
    """Charts of a report, see `pose3d_scores.pose3d_report`."""
    tables = result["tables"]
    charts = {"per_joint.png": joint_table({"MPJPE": tables["MPJPE per joint (mm)"]})}
    if "MPJPE per action (mm)" in tables:
        charts["per_action.png"] = actions_bars(tables["MPJPE per action (mm)"])
    return charts
