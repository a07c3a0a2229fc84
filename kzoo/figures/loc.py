"""Pictures of camera localisation for people: where cameras stood and were thought to, errors, learned weights."""

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.ticker import LogLocator, NullFormatter
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from kzoo.figures import base
from kzoo.figures import seg as seg_figures
from kzoo.figures.base import PREDICTION, TRUTH, Figure
from kzoo.metrics import loc_scores

ERROR = "dimgrey"  # what joins a truth and its prediction
BASELINE = "darkgrey"
# Of the longest side of the true trajectory: as far beyond it may predictions widen the picture; others are cut off.
MARGIN = 0.25
TOO_FAR = 4.0  # medians: errors above do not set the scale of the arrows' plans
RIGHT, DOWN, FORWARD = np.eye(3)  # the camera's axes


def _turned(rotations, vector) -> np.ndarray:
    """A vector (3,) of the camera in world coordinates: unit quaternions (N, 4) -> (N, 3).

    v + 2 w u x v + 2 u x (u x v).
    """
    w, u = rotations[:, :1], rotations[:, 1:]
    once = np.cross(u, vector)
    return vector + 2 * (w * once + np.cross(u, once))


def _plan(poses, height: int) -> tuple[list[int], np.ndarray]:
    """The plan seen from above, which is where the camera's upper edge is on average, and not in a mirror.

    Args:
        poses: (N, 7).
        height: the world axis that the plan leaves out.
    Returns:
        the world axes that run to the right (the one of larger extent), up in the plan, and out of it, and their signs
        there (3,).
    """
    extent = np.ptp(poses[:, :3], axis=0)
    right, up = sorted((axis for axis in range(3) if axis != height), key=lambda axis: -extent[axis])
    above = -1.0 if _turned(poses[:, 3:], DOWN)[:, height].mean() > 0 else 1.0
    handed = np.linalg.det(np.eye(3)[[right, up, height]]) * above  # -1: would be seen in a mirror
    return [right, up, height], np.array([1.0, handed, above])


def _frame(truth, *others) -> np.ndarray:
    """Lowest and highest corner (2, K) of what is drawn: around the truth (N, K), by others widened up to MARGIN."""
    low, high = truth.min(axis=0), truth.max(axis=0)
    margin = MARGIN * max(*(high - low), 0.1)
    seen = np.concatenate([truth, *others])
    seen = seen[np.isfinite(seen).all(axis=-1)]
    low, high = np.maximum(seen.min(axis=0), low - margin), np.minimum(seen.max(axis=0), high + margin)
    rim = 0.04 * max(*(high - low), 0.1)
    return np.stack([low - rim, high + rim])


def _cut_off(start, end, corners) -> tuple[np.ndarray, np.ndarray]:
    """Lines from `start` (N, K), in the box, to `end` (N, K): where they end or leave it; which ends are in it.

    The first is (N, K), the second (N,).
    """
    way = end - start
    with np.errstate(divide="ignore", invalid="ignore"):  # a network that diverged answers anything
        backwards = np.where(way < 0, (corners[0] - start) / way, np.inf)
        share = np.where(way > 0, (corners[1] - start) / way, backwards).min(axis=-1)
        ends = start + way * np.minimum(share, 1.0)[:, None]
        return ends, (share >= 1.0) & np.isfinite(end).all(axis=-1)


def _limits(corners, signs) -> list:
    """(lowest, highest) of each axis, the other way round where its sign is -1."""
    return [(low, high) if sign > 0 else (high, low) for low, high, sign in zip(*corners, signs, strict=True)]


def _in_words(labels, predictions) -> str:
    metres = loc_scores.loc_errors(labels, predictions)
    degrees = loc_scores.rotation_errors_deg(labels, predictions)
    return f"median error {np.median(metres):.3g} m, {np.median(degrees):.3g}°"


def pose_graph(truth, predicted, baseline=None) -> dict[str, Figure]:
    """The true and the predicted places of the cameras, joined by lines, in plan and in space.

    The plan shows the two world axes along which the truth extends most, from above and not in a mirror. Predictions
    far outside are cut off, so that the truth stays readable.

    Args:
        truth: (N, 7) poses.
        predicted: {"position": (N, 3) metres, "rotation": (N, 4)}.
        baseline: (N, 7) poses of what needs no training, as `loc_scores.retrieve` answers; None: not drawn.
    Returns:
        {"pose_graph.png": Figure}.
    """
    # The places, in the axes of the plan.
    truth = np.asarray(truth, "float64")
    order, signs = _plan(truth, int(np.argmin(np.ptp(truth[:, :3], axis=0))))
    places = truth[:, order]
    answers = np.asarray(predicted["position"], "float64")[:, order]
    corners = _frame(places, answers)
    ends, inside = _cut_off(places, answers, corners)
    size = np.clip(90 / np.sqrt(len(truth)), 2.5, 7)
    groups = []  # (points (M, 3), marker, colour, label), the last one on top
    if baseline is not None:
        baseline = np.asarray(baseline, "float64")
        words = _in_words(truth, {"position": baseline[:, :3], "rotation": baseline[:, 3:]})
        elsewhere = baseline[:, order]
        shown = elsewhere[_cut_off(places, elsewhere, corners)[1]]
        groups.append((shown, "x", BASELINE, f"baseline: {words}"))
    outside = f"; {np.sum(~inside)} outside the picture" if not inside.all() else ""
    groups.append((places, "o", TRUTH, "truth"))
    groups.append((answers[inside], "o", PREDICTION, f"prediction: {_in_words(truth, predicted)}{outside}"))

    # They and the lines between them, in plan and in space.
    width, depth = (corners[1] - corners[0])[:2]
    figure = Figure(figsize=(14, np.clip(1.6 + 7 * depth / width, 4.5, 8.5)), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=(1.15, 1))
    plan = figure.add_subplot(grid[0])
    space = figure.add_subplot(grid[1], projection="3d", computed_zorder=False)
    lines = np.stack([places, ends], axis=1)  # (N, 2, 3)
    lines = lines[np.isfinite(lines).all(axis=(1, 2))]
    for axis, dimensions, collection in ((plan, 2, LineCollection), (space, 3, Line3DCollection)):
        axis.add_collection(collection(lines[..., :dimensions], colors=ERROR, linewidths=0.8, alpha=0.6, zorder=1))
        for points, marker, colour, label in groups:
            edge = 1.0 if marker == "x" else 0
            style = {"linestyle": "none", "marker": marker, "markersize": size, "markeredgewidth": edge}
            axis.plot(*points.T[:dimensions], color=colour, alpha=0.85, label=label, **style)
        axis.set(**dict(zip(("xlim", "ylim", "zlim")[:dimensions], _limits(corners, signs), strict=False)))
        axis.set(xlabel=f"{'xyz'[order[0]]} (m)", ylabel=f"{'xyz'[order[1]]} (m)")

    # What differs between the two, and the legend.
    plan.set_aspect("equal")
    plan.grid(alpha=0.3)
    space.set_box_aspect(corners[1] - corners[0], zoom=0.75)  # axis labels are no part of what is laid out
    for axis in (space.xaxis, space.yaxis):
        axis.labelpad = 9
    space.set_zlabel(f"{'xyz'[order[2]]} (m)")
    space.locator_params(nbins=5)
    space.zaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
    space.view_init(elev=35, azim=-65)
    plan.set_title(f"plan: seen along the {'xyz'[order[2]]} axis", fontsize="medium")
    space.set_title("in space", fontsize="medium")
    handles, _ = plan.get_legend_handles_labels()
    base.legend(figure, [*handles[::-1], base.line(ERROR, "joins a camera's true and predicted place")])
    return {"pose_graph.png": figure}


def _draw_shares(axis, errors, colour, label: str, unit: str):
    """Share of all pictures with at most that error, over the error; those without an answer count as missed."""
    lowest, highest = axis.get_xlim()
    finite = np.sort(errors[np.isfinite(errors)])
    shares = np.arange(1, 1 + len(finite)) / len(errors)
    x = [lowest, *np.clip(finite, lowest, highest), highest]
    y = [0, *shares, *shares[-1:]] if len(finite) else [0, 0]
    label = f"{label}: median {np.median(errors):.3g}{unit}"
    axis.step(x, 100 * np.array(y), where="post", color=colour, linewidth=1.8, label=label)


def error_curves(errors_m, errors_deg, others=None) -> Figure:
    """Share of pictures within an error, over metres and over degrees.

    The usual bounds are on both, with the share within both at once.

    Args:
        errors_m, errors_deg: (N,) each, of the network; not a number where there is no answer.
        others: {name: (errors_m, errors_deg)}, of baselines or other networks.
    """
    runs = {}
    for name, (metres, degrees) in {"network": (errors_m, errors_deg), **(others or {})}.items():
        runs[name] = (np.asarray(metres, "float64"), np.asarray(degrees, "float64"))
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    markers = dict(zip(loc_scores.THRESHOLDS, "o^s", strict=True))
    panels = ((" m", 0.01, "position (m)"), ("°", 0.1, "rotation (degrees)"))
    for k, (axis, (unit, lowest, what)) in enumerate(zip(figure.subplots(1, 2, sharey=True), panels, strict=True)):
        # The axis and the usual bounds.
        largest = max(np.max(pair[k], initial=0, where=np.isfinite(pair[k])) for pair in runs.values())
        axis.set_xscale("log")
        axis.set(xlim=(lowest, max(1.2 * largest, 100 * lowest)), ylim=(0, 102), xlabel=f"error of the {what}")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        for bounds in loc_scores.THRESHOLDS.values():
            axis.axvline(bounds[k], color="grey", linestyle=":", linewidth=1, zorder=0)

        # Each run's curve, and its share within both bounds at once.
        for number, (name, pair) in enumerate(runs.items()):
            colour = f"C{number % 10}"
            name = base.label(name, 24)
            _draw_shares(axis, pair[k], colour, name, unit)
            for key, bounds in loc_scores.THRESHOLDS.items():
                both = 100 * np.mean((pair[0] <= bounds[0]) & (pair[1] <= bounds[1]))
                label = f"{name} within {100 * bounds[0]:.0f} cm and {bounds[1]:g}°: {both:.1f} %" if k == 0 else None
                look = {"color": colour, "markeredgecolor": "black", "markersize": 7, "clip_on": False}
                axis.plot(bounds[k], both, markers[key], label=label, **look)

        # The legends: of the curves in the panel, of the shares below both.
        axis.grid(alpha=0.3)
        curves = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
        axis.legend(handles=curves, fontsize="small", loc="upper left", framealpha=0.9)
        if k == 0:
            axis.set_ylabel("pictures with at most that error (%)")
            points = [line for line in axis.lines if line.get_marker() in markers.values()]
            base.legend(figure, points)
    return figure


def weights_curves(rows: list[dict], names: dict[str, str]) -> Figure:
    """The learned weights of the losses over the epochs, alpha or log sigma, with the first and the last value of each.

    Args:
        rows: of `history.csv`.
        names: column -> label; a column that no row has is left out.
    """
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axis = figure.subplots()
    epochs = []
    for number, (column, name) in enumerate(names.items()):
        points = [(row["epoch"], row[column]) for row in rows if column in row]
        if points:
            epochs, values = zip(*points, strict=True)
            name = base.label(f"{name}: {values[0]:.3g} to {values[-1]:.3g}")
            dashes = ("-", "--", "-.", ":")[number % 4]  # lines that cover each other are all seen
            axis.plot(epochs, values, dashes, marker="." if len(points) < 40 else "", label=name)
    axis.set(ylabel="learned weight, no unit (alpha or log sigma)")
    base.over_epochs(axis, epochs)
    axis.grid(alpha=0.3)
    base.legend(figure, list(axis.lines))
    return figure


def _class_names(ids, names) -> list[str]:
    """Of what has no names: its numbers."""
    if names:
        return list(names)
    largest = max(int(picture[picture < 255].max(initial=0)) for picture in ids)
    return [str(i) for i in range(1 + largest)]


def _draw_directions(axis, poses, half: float, order, signs):
    """Places and view directions of one picture in plan, `half` metres around the true place.

    poses: [(pose (7,), colour)], truth first.
    """
    (truth, _), (answer, _) = poses
    axis.plot(*np.stack([truth, answer])[:, order[:2]].T, color=ERROR, linewidth=1.5, zorder=2)
    for (pose, colour), width in zip(poses, (0.02, 0.012), strict=True):  # a truth under a good answer remains in sight
        x, y = pose[order[:2]]
        u, v = 0.6 * half * _turned(pose[None, 3:], FORWARD)[0, order[:2]]
        axis.quiver(x, y, u, v, angles="xy", scale_units="xy", scale=1, color=colour, width=width, zorder=3)
        axis.plot(x, y, "o", color=colour, markersize=400 * width, zorder=4)
    centre = truth[order[:2]]
    right, up = _limits(np.stack([centre - half, centre + half]), signs[:2])
    axis.set(xlim=right, ylim=up, aspect="equal", axisbelow=True)
    axis.grid(alpha=0.4)
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize="x-small")


def loc_figures(images, labels, outputs, titles, names) -> dict[str, Figure]:
    """Each example's picture and, in plan, from where and in which direction it was taken.

    All plans have one scale, and the errors stand above. The plan leaves out the world
    axis nearest to the camera's vertical. Of networks that segment too: their classes beside the picture, and the true
    ones.

    Args:
        images: (N, H, W, 3) uint8, or windows (N, T, H, W, 3), of which the middle frame is shown, as it is scored.
        labels: (N, 7) or (N, T, 7) poses.
        outputs: "position" (N, 3) or (N, T, 3), "rotation" with 4 numbers likewise; optionally "classes" (N, H, W)
            uint8 and their truth "mask" (N, H, W) or (N, H, W, 1) uint8, 255 = not labelled, and "class_names", C
            strings, for the colours and a legend.
        titles: N strings.
        names: of the 7 numbers of a pose.
    """
    # The poses, and the plan they are drawn in.
    images = loc_scores.middle_frame(images, 4)
    truth = loc_scores.middle_frame(labels).astype("float64")
    decoded = loc_scores.decode_loc({name: outputs[name] for name in ("position", "rotation")})
    metres = loc_scores.loc_errors(truth, decoded)
    degrees = loc_scores.rotation_errors_deg(truth, decoded)
    answers = np.concatenate([decoded["position"], decoded["rotation"]], axis=-1).astype("float64")
    order, signs = _plan(truth, int(np.argmax(np.abs(_turned(truth[:, 3:], DOWN).mean(axis=0)))))
    finite = metres[np.isfinite(metres)]
    half = max(0.2, 1.25 * min(finite.max(), TOO_FAR * np.median(finite))) if len(finite) else 1.0

    # The classes of networks that segment too.
    masks = {}
    if "classes" in outputs:
        masks = {"predicted classes": outputs["classes"], "true classes": outputs.get("mask")}
    masks = {head: np.asarray(ids).reshape(images.shape[:3]) for head, ids in masks.items() if ids is not None}
    classes = _class_names(masks.values(), outputs.get("class_names", ())) if masks else []
    palette = seg_figures.palette(classes) if masks else None

    # A row for each example.
    heads = ["input", *masks, ""]
    aspect = max(images.shape[1] / images.shape[2], 0.9)  # plans are square and have axes
    figure, axes = base.examples(len(images), heads, aspect=aspect, side=3)
    for i, row in enumerate(axes):
        panels = [base.unpadded(images[i]), *(seg_figures.tinted(images[i], ids[i], palette) for ids in masks.values())]
        for axis, panel in zip(row, panels, strict=False):
            axis.imshow(panel)
        row[-1].set_axis_on()
        _draw_directions(row[-1], [(truth[i], TRUTH), (answers[i], PREDICTION)], half, order, signs)
        higher = (answers[i] - truth[i])[order[2]] * signs[2]
        words = f"{metres[i]:.2f} m ({abs(higher):.2f} m too {'high' if higher > 0 else 'low'}), {degrees[i]:.1f}°"
        row[-1].set_title(words, fontsize="small")
        row[-1].set_xlabel(f"{names[order[0]]} (m)", fontsize="small")
        row[-1].set_ylabel(f"{names[order[1]]} (m)", fontsize="small")
        base.write_below(row[0], titles[i])

    # The legend.
    handles = []
    for colour, what in ((TRUTH, "truth"), (PREDICTION, "prediction")):
        handles.append(base.line(colour, f"{what}: place, and where the camera looks", marker="o"))
    if masks:
        handles += seg_figures.class_handles(np.stack(list(masks.values())), classes, palette)
    base.heading(figure, "Above each plan, seen from above: how far the prediction is away, and turned", "small")
    base.legend(figure, handles)
    return {"poses.png": figure}


def loc_charts(result: dict, names, labels, predictions) -> dict[str, Figure]:
    """Pose graph and error curves of all examples; for networks that segment too, `loc_scores.loc_report`'s."""
    charts = pose_graph(loc_scores.middle_frame(labels), predictions)
    metres = loc_scores.loc_errors(labels, predictions)
    degrees = loc_scores.rotation_errors_deg(labels, predictions)
    charts["errors.png"] = error_curves(metres, degrees)
    if "confusion" in result:
        charts |= seg_figures.seg_charts(result, result["class_names"])
    return charts
