"""Pictures of clustering for people: codes in the plane, clusters' examples and centres, classes, curves."""

import itertools

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from kzoo.figures import base
from kzoo.figures import seg as seg_figures
from kzoo.figures.base import HALO, Figure

POINTS = 1000  # at most as many are drawn of each stage
READABLE = 24  # classes or clusters: with more, numbers in cells and beside centres would cover each other
HUES = (
    *("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple"),
    *("tab:brown", "tab:pink", "tab:olive", "tab:cyan", "gold"),
)
SCORES = {"acc": "ACC", "nmi": "NMI", "ari": "ARI"}
PANELS = (  # columns of the history, name and unit, over what, scale
    (("reconstruction",), "reconstruction, mean squared error", "epoch", "log"),
    (("kl",), "KL(P‖Q)", "epoch", "linear"),
    (tuple(SCORES), "score", "round", "linear"),
    (("label_change",), "share of changed labels", "round", "log"),
    (("perplexity",), "perplexity of the clusters", "round", "linear"),
)
CAVEAT = """PCA: each stage in its own plane of largest variance, turned onto the stage before it; scales differ.
t-SNE: who is near whom counts, not the sizes of groups or the gaps between them."""


def embedding_figure(stages, labels, assigned, names, centres=None, *, seed: int = 0) -> Figure:
    """Codes in the plane at several stages of the training, a column each: above by PCA, below by t-SNE.

    PCA is fitted on each stage alone: a plane that was chosen for the last stage would show the classes apart there and
    mixed before, whatever the network learned. For one to find a class again, each plane is turned or mirrored
    (orthogonal Procrustes, no scaling) onto the one before it, which changes no distance, and t-SNE starts from there.
    What share of the variance the plane holds stands above it.

    Args:
        stages: name -> (N, d) codes; the same N examples in all stages, d may differ. Codes that are not finite are
            left out.
        labels: (N,) int classes, which give the colours, -1 = none; None: unlabelled.
        assigned: stage -> (N,) int clusters, which give the colours where nothing is labelled.
        names: C strings.
        centres: stage -> (K, d), black crosses in the row of PCA.
        seed: of the choice of at most 1,000 points, the same in all stages, and of t-SNE.
    Returns:
        a figure of 2 x stages axes, row by row.

    Reference: van der Maaten and Hinton, Visualizing Data using t-SNE, 2008; Schoenemann, the orthogonal Procrustes
    problem, 1966.
    """
    # Which examples, in which colours.
    count = len(next(iter(stages.values())))
    order = np.random.default_rng(seed).permutation(count)  # they are drawn in it: no class covers the others
    chosen = order[:POINTS]
    labelled = labels is not None and (np.asarray(labels) >= 0).any()
    groups = {}
    for stage in stages:
        of_stage = labels if labelled else assigned.get(stage, np.full(count, -1))
        groups[stage] = np.asarray(of_stage)[chosen]
    if not labelled:
        largest = max(int(group.max()) for group in groups.values())
        names = [f"cluster {k}" for k in range(1 + largest)]
    palette = np.concatenate([_colours(len(names)), [seg_figures.IGNORE_GREY]])  # -1 is the last

    # A column for each stage.
    figure = Figure(figsize=(max(4.2 * len(stages), 7), 9.2), layout="constrained")
    axes = figure.subplots(2, len(stages), squeeze=False)
    plane = None
    for (above, below), (stage, codes) in zip(axes.T, stages.items(), strict=True):
        codes = np.asarray(codes, "float64")[chosen]
        plane, crosses, share = _plane(codes, (centres or {}).get(stage), plane)
        for axis, points in zip((above, below), (plane, _neighbours(codes, plane, seed)), strict=True):
            finite = np.isfinite(points).all(axis=-1)
            axis.scatter(*points[finite].T, s=11, c=palette[groups[stage][finite]], alpha=0.75, linewidths=0)
            axis.set_aspect("equal", adjustable="datalim")
            axis.margins(0.06)
        words = "codes alike or not finite" if np.isnan(share) else f"{100 * share:.0f} % of the variance"
        above.set_title(f"{stage}: {words}", fontsize="medium")
        above.tick_params(labelsize="x-small")
        above.locator_params(nbins=5)
        above.set_xlabel("axes of largest variance, no unit", fontsize="small")
        below.set(xticks=[], yticks=[], xlabel=stage)
        if crosses is not None:
            _draw_centres(above, crosses)

    # The legend and what it means.
    axes[0, 0].set_ylabel("PCA", fontsize="large")
    axes[1, 0].set_ylabel("t-SNE", fontsize="large")
    shown = np.unique(np.concatenate(list(groups.values())))
    handles = []
    for k in shown:
        label = names[k] if k >= 0 else "no label"
        handles.append(base.line(palette[k], label, linestyle="none", marker="o"))
    if centres:
        handles.append(base.line("black", "centre and its cluster's number", linestyle="none", marker="X"))
    base.legend(figure, handles)
    colour = "true class" if labelled else "cluster"
    base.heading(figure, f"{len(chosen):,} of {count:,} examples; colour: {colour}\n{CAVEAT}", "small")
    return figure


def _draw_centres(axis, places):
    """Black crosses (K, 2), numbered where the numbers can be read."""
    look = {"linestyle": "none", "marker": "X", "markersize": 9, "color": "black", "markeredgecolor": "white"}
    axis.plot(*places.T, **look, zorder=4)
    if len(places) > READABLE:
        return
    look = {"textcoords": "offset points", "fontsize": "small", "path_effects": HALO}
    for k, place in enumerate(places):
        axis.annotate(str(k), place, (6, 4), **look, zorder=5)


def _colours(count: int) -> np.ndarray:
    """RGB (count, 3) in 0..1, none of them grey."""
    if count <= len(HUES):
        return np.array([to_rgb(hue) for hue in HUES[:count]]).reshape(-1, 3)
    return base.class_colours([str(k) for k in range(count)])


def _plane(codes, centres, before) -> tuple[np.ndarray, np.ndarray | None, float]:
    """Codes (N, d) -> (N, 2) in their plane of largest variance; centres likewise; share of the variance.

    The plane is turned onto `before` (N, 2).
    """
    finite = np.isfinite(codes).all(axis=-1)
    plane = np.full((len(codes), 2), np.nan)
    if not finite.any() or not np.ptp(codes[finite], axis=0).any():  # all alike: no plane
        return np.where(finite[:, None], 0.0, plane), None, np.nan
    pca = PCA(min(2, codes.shape[1]), random_state=0).fit(codes[finite])
    missing = ((0, 0), (0, 2 - pca.n_components_))
    plane[finite] = np.pad(pca.transform(codes[finite]), missing)
    crosses = None if centres is None else np.pad(pca.transform(np.asarray(centres, "float64")), missing)
    if before is not None:
        both = finite & np.isfinite(before).all(axis=-1)
        left, _, right = np.linalg.svd(plane[both].T @ before[both])
        plane = plane @ left @ right
        crosses = None if crosses is None else crosses @ left @ right
    return plane, crosses, pca.explained_variance_ratio_.sum()


def _neighbours(codes, plane, seed: int) -> np.ndarray:
    """t-SNE (N, 2) of codes (N, d), begun at the plane (N, 2)."""
    finite = np.isfinite(plane).all(axis=-1)
    result = plane.copy()
    if finite.sum() < 3 or not plane[finite].any():
        return result
    start = (1e-4 * plane[finite] / plane[finite].std(axis=0).max()).astype("float32")
    tsne = TSNE(2, perplexity=min(30, (finite.sum() - 1) / 3), init=start, random_state=seed)
    result[finite] = tsne.fit_transform(codes[finite].astype("float32"))
    return result


def mosaic(images: dict, titles: dict) -> Figure:
    """The pictures of each cluster, a row a cluster, its title at the left.

    A cluster without pictures keeps an empty row.

    Args:
        images: cluster -> (n, H, W, 3) uint8, in the order in which they are shown; n may differ.
        titles: cluster -> string.
    """
    # All pictures on one canvas.
    height, width = next(iter(images.values())).shape[1:3]
    gap = 1 + max(height, width) // 32  # pixels of the pictures
    columns = max(1, *(len(pictures) for pictures in images.values()))
    canvas = np.full((len(images) * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, "uint8")
    for row, pictures in enumerate(images.values()):
        for column, picture in enumerate(pictures):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = picture

    # Its figure, with the titles as ticks.
    inches = np.clip(max(height, width) / 100, 0.5, 1.0) / max(height, width)  # of one pixel
    size = inches * np.array([canvas.shape[1], canvas.shape[0]])
    words = ["\n".join(base.shortened(part, 40) for part in titles[cluster].split("\n")) for cluster in images]
    longest = max(map(len, "\n".join(words).split("\n")))
    figure = Figure(figsize=(size[0] + 0.085 * longest + 0.4, size[1] + 0.3), layout="constrained")
    axis = figure.subplots()
    axis.imshow(canvas, interpolation="nearest" if 100 * inches >= 1 else "antialiased")
    middles = np.arange(len(images)) * (height + gap) + (height - 1) / 2
    axis.set_yticks(middles, words, fontsize="medium")
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_anchor("W")  # centred, the layout would cut the titles off
    return figure


def _displayed(pictures) -> np.ndarray:
    """Floats (N, H, W), (N, H, W, 1) or (N, H, W, 3) -> (N, H, W, 3) clipped to 0..1; no number becomes grey."""
    pictures = np.asarray(pictures, "float64")
    pictures = pictures[..., None] if pictures.ndim == 3 else pictures
    shown = np.nan_to_num(np.clip(pictures, 0, 1), nan=0.5)
    return np.broadcast_to(shown, (*pictures.shape[:3], 3))


def _show(axis, picture, title=""):
    axis.imshow(picture, interpolation="nearest" if max(picture.shape) < 100 else "antialiased")
    axis.set_title(title, fontsize="small")


def _tiles(rows: int, columns: int, shape, titled: int) -> tuple[Figure, np.ndarray]:
    """shape: (H, W) of the pictures; titled: how many of the rows have titles."""
    size = (1.25 * columns + 0.1, 1.25 * rows * shape[0] / shape[1] + 0.25 * titled + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def centroids_figure(images, titles) -> Figure:
    """The decoder's picture of each centre.

    Args:
        images: (K, H, W), (K, H, W, 1) or (K, H, W, 3) floats, pixels in 0..1; values beyond are cut off, and the
            picture says so.
        titles: K strings.
    """
    shown = _displayed(images)
    columns = min(len(images), 10)
    rows = -(-len(shown) // columns)
    figure, axes = _tiles(rows, columns, shown.shape[1:3], rows)
    for axis, picture, title in zip(axes.flat, shown, titles, strict=False):
        _show(axis, picture, title)
    low, high = np.nanmin(images, initial=0), np.nanmax(images, initial=1)
    if low < 0 or high > 1:
        figure.supxlabel(f"values from {low:.2g} to {high:.2g}, cut to 0…1", fontsize="small")
    return figure


def reconstructions(images, reconstructed, titles) -> Figure:
    """Pictures and, below each, what the auto-encoder makes of it.

    Args:
        images: (N, H, W, 3) uint8.
        reconstructed: (N, H, W, 1 or 3) floats, pixels in 0..1, cut off beyond.
        titles: N strings.
    """
    shown = _displayed(reconstructed)
    columns = min(len(images), 10)
    bands = -(-len(images) // columns)
    figure, axes = _tiles(2 * bands, columns, images.shape[1:3], bands)
    for i, title in enumerate(titles):
        row, column = 2 * (i // columns), i % columns
        _show(axes[row, column], images[i], title)
        _show(axes[row + 1, column], shown[i])
    for axis, word in zip(axes[:, 0], itertools.cycle(("input", "output")), strict=False):
        axis.text(-0.06, 0.5, word, transform=axis.transAxes, rotation=90, ha="right", va="center", fontsize="small")
    return figure


def cluster_confusion(confusion, names, titles) -> Figure:
    """Classes in rows, clusters in columns, each row in per cent of its class; matched pairs are outlined.

    The matching is one to one and of the most examples in all. Clusters stand in the order of their classes, those left
    over at the right.

    Args:
        confusion: (C, K) counts.
        names: C strings.
        titles: K strings.

    Reference: Kuhn, the Hungarian method for the assignment problem, 1955.
    """
    # What is matched with what.
    confusion = np.asarray(confusion, "float64")
    classes, clusters = linear_sum_assignment(confusion, maximize=True)  # sorted by class
    order = [*clusters, *sorted(set(range(len(titles))) - set(clusters))]
    matched = confusion[classes, clusters].sum()
    total = confusion.sum()
    share = (100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1))[:, order]

    # The map, its axes and its outlines.
    cell = 0.5 if max(share.shape) <= READABLE else 0.25
    figure = Figure(figsize=(max(5.5, cell * len(titles) + 2.8), max(4.0, cell * len(names) + 2)), layout="constrained")
    axis = figure.subplots()
    figure.colorbar(axis.imshow(share, cmap="Blues", vmin=0, vmax=100, aspect="auto"), label="% of the true class")
    names, titles = ([base.shortened(text) for text in texts] for texts in (names, titles))
    axis.set_xticks(range(len(order)), [titles[k] for k in order], rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="cluster", ylabel="true class")
    title = f"accuracy {100 * matched / total:.1f} % (outlined: matched)" if total else "accuracy: nothing is labelled"
    axis.set_title(title)
    for column, row in enumerate(classes):
        axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="tab:red", linewidth=1.2))
    if max(share.shape) <= READABLE:
        for (i, j), value in np.ndenumerate(share):
            if value >= 0.5:
                colour = "white" if value > 60 else "black"
                axis.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize="small", color=colour)
    return figure


def cluster_curves(rows: list[dict], *, tol: float | None = None, clusters: int | None = None) -> Figure:
    """How the training went: losses over the epochs; scores, changed labels and perplexity over the rounds.

    A column that no row has gets no panel (scores without labels); a panel without a number so far says so.

    Args:
        rows: of the history: "epoch", "round" (0 = pretraining) and any of "reconstruction", "kl", "acc", "nmi", "ari",
            "label_change", "perplexity"; NaN or missing where not measured. Of several values of a round the last is
            drawn.
        tol: share of changed labels below which the training ends.
        clusters: their number, the highest perplexity. Both as lines.
    """
    # The panels that have something to show, and their axes.
    measured = set().union(*rows)
    panels = [panel for panel in PANELS if measured & set(panel[0])] or PANELS[:1]
    wide = 1 + len(panels) % 2  # of an odd number of panels the first is twice as wide
    cells = len(panels) + wide - 1
    across = 3 if cells == 6 else 2
    figure = Figure(figsize=(4.4 * across, 3.4 * cells / across), layout="constrained")
    grid = figure.add_gridspec(cells // across, across)
    axes = [figure.add_subplot(grid[0, :wide])]
    axes += [figure.add_subplot(grid[i // across, i % across]) for i in range(wide, cells)]

    # Each with its curves, and the bound that matters to it.
    bounds = {"label_change": (tol, f"tol {tol}"), "perplexity": (clusters, f"{clusters} clusters")}
    begin = max((row["epoch"] for row in rows if not row.get("round")), default=0) + 0.5
    for axis, (columns, name, over, scale) in zip(axes, panels, strict=True):
        axis.set_yscale(scale)
        axis.set_ylabel(name)
        bound, words = bounds.get(columns[0], (None, ""))
        if scale == "log":  # one value alone has no range
            values = (bound or np.nan, *_measured(rows, columns[0], over)[1])
            drawn = [value for value in values if value > 0] or [1.0]
            axis.set_ylim(min(drawn) / 1.6, max(drawn) * 1.6)
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        for number, column in enumerate(columns):
            _draw_column(axis, *_measured(rows, column, over), SCORES.get(column), f"C{number}")
        if not axis.lines:
            axis.text(0.5, 0.3, "not measured yet", transform=axis.transAxes, ha="center", va="center", color="grey")
        if columns == ("reconstruction",) and any(row.get("round") for row in rows):
            axis.axvline(begin, color="grey", linestyle="--", linewidth=1, label="pretraining | rounds")
        if columns == tuple(SCORES):
            axis.set_ylim(min(0, axis.get_ylim()[0]), 1.02)  # ARI may be negative
        if bound:
            axis.axhline(bound, color="black", linestyle="--", linewidth=1, label=words)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
        axis.grid(alpha=0.3)
        measured_at = np.concatenate([_measured(rows, column, over)[0] for column in columns])
        base.over_epochs(axis, measured_at, over)
    return figure


def _measured(rows, column: str, over: str) -> tuple[np.ndarray, np.ndarray]:
    """Where and what was measured, the last of each place: (n,), (n,)."""
    points = {row.get(over, 0): row[column] for row in rows if np.isfinite(row.get(column, np.nan))}
    return np.array(list(points), "float64"), np.array(list(points.values()), "float64")


def _draw_column(axis, x, y, label: str | None, colour: str):
    """A curve, its last value in the legend if it has a label; zeros on a log axis are triangles at its bottom."""
    above = y > 0 if axis.get_yscale() == "log" else np.ones(len(y), bool)
    if above.any():
        label = f"{label} {y[-1]:.3f}" if label else None
        axis.plot(x, np.where(above, y, np.nan), marker="." if len(x) < 40 else "", color=colour, label=label)
    if not above.all():
        bottom = np.full(np.sum(~above), 0.03)
        transform = axis.get_xaxis_transform()
        axis.plot(x[~above], bottom, "v", color=colour, label="exactly 0", transform=transform)
