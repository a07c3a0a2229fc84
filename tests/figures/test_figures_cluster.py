"""Pictures of clustering: points keep their distances and colours, pictures lie in their rows, curves begin where they
were measured."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.spatial.distance import pdist

from kzoo.figures import base as figures
from kzoo.figures import embeddings
from kzoo.figures import seg as seg_figures

NAN = float("nan")


def codes(count=60, dimensions=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype("float32") * np.arange(1, 1 + dimensions)


def points(axis):
    return np.asarray(axis.collections[0].get_offsets())


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def colours(axis):
    return axis.collections[0].get_facecolor()[:, :3]


def drawn(figure, tmp_path):
    """Savable, and nothing was written outside of the picture."""
    figures.save(figure, tmp_path / "figure.png")
    edge = np.array(Image.open(tmp_path / "figure.png").convert("L"))
    assert (edge[:, [0, -1]] > 250).all()


@pytest.mark.parametrize("angle", [0, 100, 200, 300])
def test_a_plane_keeps_distances_and_is_turned_onto_the_stage_before(angle, tmp_path):
    start, angle = codes(), np.radians(angle)
    turned = (
        start @ np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]]) * 0.1 + 5
    )  # turned, mirrored, scaled, moved
    stages = {"start": start, "end": turned}
    figure = embeddings.embedding_figure(stages, None, {}, [], {"start": start[:3], "end": turned[:3]})
    above, below = figure.axes[:2], figure.axes[2:]
    assert len(below) == 2 and [axis.get_title() for axis in above] == [
        f"{stage}: 100 % of the variance" for stage in stages
    ]
    order = np.random.default_rng(0).permutation(60)
    for axis, stage in zip(above, stages.values(), strict=True):
        np.testing.assert_allclose(pdist(points(axis)), pdist(stage[order]), rtol=1e-4)
        crosses = axis.lines[0].get_xydata()
        np.testing.assert_allclose(crosses, points(axis)[np.argsort(order)[:3]], atol=1e-4)
        assert axis.lines[0].get_color() == "black" and axis.get_aspect() == 1
        assert [text.get_text() for text in axis.texts] == ["0", "1", "2"]
    np.testing.assert_allclose(points(above[1]), 0.1 * points(above[0]), atol=1e-4)
    assert not any(axis.lines for axis in below)
    drawn(figure, tmp_path)


def test_each_stage_has_its_own_plane():
    """The first stage differs along the third dimension alone, the last along the first two: neither is flattened."""
    start, end = np.zeros((2, 50, 3))
    start[:, 2], end[:, :2] = np.arange(50), codes(50)
    figure = embeddings.embedding_figure({"start": start, "end": end}, None, {}, [])
    assert np.ptp(points(figure.axes[0]), axis=0).max() == pytest.approx(49)
    many = embeddings.embedding_figure({"only": codes(200, 3)}, None, {}, [])
    variances = np.sort(codes(200, 3)[np.random.default_rng(0).permutation(200)].var(axis=0))
    assert int(many.axes[0].get_title().split()[1]) == pytest.approx(100 * variances[1:].sum() / variances.sum(), abs=2)


LABELS = np.arange(60) % 3
ASSIGNED = {"start": LABELS % 2, "end": 1 - LABELS % 2}


@pytest.mark.parametrize(
    ("labels", "legend_", "groups"),
    [
        (LABELS, ["cat", "dog", "elk"], (LABELS, LABELS)),
        (np.where(LABELS == 1, -1, LABELS), ["no label", "cat", "elk"], (np.where(LABELS == 1, -1, LABELS),) * 2),
        (None, ["cluster 0", "cluster 1"], tuple(ASSIGNED.values())),
        (np.full(60, -1), ["cluster 0", "cluster 1"], tuple(ASSIGNED.values())),
    ],
    ids=["labelled", "partly", "unlabelled", "no label at all"],
)
def test_colours_are_classes_or_else_clusters(labels, legend_, groups):
    figure = embeddings.embedding_figure(
        {"start": codes(), "end": codes(seed=1)}, labels, ASSIGNED, ["cat", "dog", "elk"]
    )
    order = np.random.default_rng(0).permutation(60)
    palette = np.array([to_rgb(hue) for hue in ("tab:blue", "tab:orange", "tab:green")] + [seg_figures.IGNORE_GREY])
    for column in range(2):
        for axis in figure.axes[column::2]:
            np.testing.assert_allclose(colours(axis), palette[groups[column][order]], atol=1e-6)
    assert legend(figure) == legend_
    assert ("true class" in figure.get_suptitle()) == ("cluster 0" not in legend_)


@pytest.mark.parametrize("count", [9, 10, 11, 50])
def test_no_two_classes_look_alike_or_grey(count):
    shades = np.concatenate([embeddings._colours(count), [seg_figures.IGNORE_GREY]])
    assert shades.shape == (count + 1, 3)
    assert min(np.abs(a - b).max() for a, b in itertools.combinations(shades, 2)) > (0.1 if count < 20 else 0.02)


def test_at_most_so_many_points_the_same_in_all_stages_and_seeded(monkeypatch):
    monkeypatch.setattr(embeddings, "POINTS", 40)
    stages = {"start": codes(70), "end": codes(70)}
    first, again, other = (
        embeddings.embedding_figure(stages, np.arange(70), {}, list("x" * 70), seed=seed) for seed in (1, 1, 2)
    )
    assert [len(points(axis)) for axis in first.axes] == [40] * 4
    assert "40 of 70 examples" in first.get_suptitle()
    for axis, same in zip(first.axes, again.axes, strict=True):
        np.testing.assert_array_equal(points(axis), points(same))
        np.testing.assert_array_equal(colours(axis), colours(first.axes[0]))
    assert not np.array_equal(colours(first.axes[0]), colours(other.axes[0]))


def test_t_sne_keeps_groups_together():
    groups = np.arange(60) % 3
    far = codes(60, 5) / 10 + 50 * np.eye(3, 5)[groups]
    figure = embeddings.embedding_figure({"only": far}, groups, {}, ["a", "b", "c"])
    found, order = points(figure.axes[1]), groups[np.random.default_rng(0).permutation(60)]
    middles = np.stack([found[order == k].mean(axis=0) for k in range(3)])
    assert (np.argmin(np.linalg.norm(found[:, None] - middles, axis=-1), axis=1) == order).all()


def test_t_sne_begins_at_the_plane(monkeypatch):
    class Beginning:
        def __init__(self, dimensions, *, init, perplexity, random_state):
            self.init = init
            assert (dimensions, init.dtype, random_state) == (2, "float32", 3) and perplexity == pytest.approx(59 / 3)

        def fit_transform(self, codes):
            return self.init

    monkeypatch.setattr(embeddings, "TSNE", Beginning)
    above, below = embeddings.embedding_figure({"only": codes(60, 5)}, None, {}, [], seed=3).axes
    np.testing.assert_allclose(points(below), 1e-4 * points(above) / points(above).std(axis=0).max(), rtol=1e-5)


@pytest.mark.parametrize(
    ("stage", "count", "words"),
    [
        (np.full((20, 4), NAN), 0, "codes alike or not finite"),
        (np.ones((20, 4)), 20, "codes alike or not finite"),
        (np.where(np.arange(20)[:, None] < 5, np.inf, codes(20, 4)), 15, "of the variance"),
        (codes(20, 4) * 1e30, 20, "of the variance"),
        (codes(20, 1), 20, "100 % of the variance"),
    ],
    ids=["not finite", "alike", "partly finite", "huge", "one dimension"],
)
def test_a_network_that_diverged_leaves_the_other_stages_readable(stage, count, words, tmp_path):
    centres = {"end": np.zeros((2, stage.shape[1]))}
    figure = embeddings.embedding_figure({"start": codes(20), "end": stage, "later": codes(20)}, None, {}, [], centres)
    assert [len(points(axis)) for axis in figure.axes] == [20, count, 20] * 2
    assert words in figure.axes[1].get_title()
    assert all(np.isfinite(points(axis)).all() for axis in figure.axes)
    drawn(figure, tmp_path)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_examples(count, tmp_path):
    drawn(embeddings.embedding_figure({"only": codes(count, 5)}, None, {"only": np.arange(count)}, []), tmp_path)


@pytest.mark.parametrize(
    ("height", "width", "counts", "gap"),
    [(8, 8, (3, 0, 2), 1), (28, 28, (1,), 1), (128, 128, (2, 2), 5), (8, 16, (2,) * 50, 1), (8, 8, (0,), 1)],
)
def test_mosaic_lays_each_cluster_in_its_row(height, width, counts, gap, tmp_path):
    rng = np.random.default_rng(0)
    clusters = [7 * k for k in range(len(counts))]
    images = {
        k: rng.integers(0, 256, (n, height, width, 3), dtype="uint8") for k, n in zip(clusters, counts, strict=True)
    }
    titles = {k: f"cluster {k}: mostly something\n{len(images[k])} pictures, 12.3 %" for k in clusters}
    figure = embeddings.mosaic(images, titles)
    (axis,) = figure.axes
    canvas = np.asarray(axis.images[0].get_array())
    assert [tick.get_text() for tick in axis.get_yticklabels()] == list(titles.values())
    for middle, pictures in zip(axis.get_yticks(), images.values(), strict=True):
        top = round(middle - (height - 1) / 2)
        row = canvas[top : top + height]
        for i, picture in enumerate(pictures):
            np.testing.assert_array_equal(row[:, i * (width + gap) : i * (width + gap) + width], picture)
        assert (row[:, len(pictures) * (width + gap) :] == 255).all()
    assert canvas.shape[:2] == (len(counts) * (height + gap) - gap, max(1, *counts, 1) * (width + gap) - gap)
    assert axis.images[0].get_interpolation() == ("nearest" if height < 100 else "antialiased")
    drawn(figure, tmp_path)
    pixels = axis.get_window_extent().height / canvas.shape[0]
    assert pixels > (0.7 if height == 128 else 2.5) and max(figure.get_size_inches()) < 40
    assert pixels == pytest.approx(axis.get_window_extent().width / canvas.shape[1], rel=0.02)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_pictures_of_centres_are_cut_to_the_range(channels, tmp_path):
    images = np.random.default_rng(0).uniform(-0.5, 1.5, (12, 8, 6, *channels))
    images[1, 2, 3] = NAN
    figure = embeddings.centroids_figure(images, [f"cluster {k}" for k in range(12)])
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == [f"cluster {k}" for k in range(12)] and len(figure.axes) == 20
    expected = np.broadcast_to(np.clip(images if channels else images[..., None], 0, 1), (12, 8, 6, 3)).copy()
    expected[1, 2, 3] = 0.5
    for axis, picture in zip(shown, expected, strict=True):
        np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), picture)
    low, high = np.nanmin(images), np.nanmax(images)
    assert figure.get_supxlabel() == f"values from {low:.2g} to {high:.2g}, cut to 0…1"
    assert not embeddings.centroids_figure(np.clip(images, 0, 1), "x" * 12).get_supxlabel()
    drawn(figure, tmp_path)


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (4, 3), (13, 1)])
def test_reconstructions_lie_below_their_pictures(count, channels, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 8, 8, 3), dtype="uint8")
    found = rng.uniform(-0.1, 1.1, (count, 8, 8, channels)).astype("float32")
    figure = embeddings.reconstructions(images, found, [f"#{i}" for i in range(count)])
    drawn(figure, tmp_path)
    inputs = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title() for axis in inputs] == [f"#{i}" for i in range(count)]
    outputs = [axis for axis in figure.axes if axis.images and not axis.get_title()]
    for i, (above, below) in enumerate(zip(inputs, outputs, strict=True)):
        np.testing.assert_array_equal(np.asarray(above.images[0].get_array()), images[i])
        np.testing.assert_allclose(
            np.asarray(below.images[0].get_array()), np.broadcast_to(np.clip(found[i], 0, 1), (8, 8, 3))
        )
        upper, lower = above.get_position(), below.get_position()
        assert lower.x0 == pytest.approx(upper.x0, abs=1e-6) and 0 < upper.y0 - lower.y1 < upper.height / 2


CONFUSIONS = {  # counts, the order of the clusters, those matched as (row, column of the picture), accuracy
    "permuted": ([[0, 9, 1], [8, 0, 2], [0, 0, 5]], [1, 0, 2], [(0, 0), (1, 1), (2, 2)], "88.0 %"),
    "more clusters": ([[6, 0, 4], [0, 10, 0]], [0, 1, 2], [(0, 0), (1, 1)], "80.0 %"),
    "left over in between": ([[4, 0, 6], [0, 10, 0]], [2, 1, 0], [(0, 0), (1, 1)], "80.0 %"),
    "fewer clusters": ([[1, 0], [9, 1], [0, 9]], [0, 1], [(1, 0), (2, 1)], "90.0 %"),
    "greedy is worse": ([[10, 9], [9, 0]], [1, 0], [(0, 0), (1, 1)], "64.3 %"),
}


@pytest.mark.parametrize("case", CONFUSIONS)
def test_confusion_is_ordered_by_the_best_matching(case, tmp_path):
    counts, order, matched, accuracy = CONFUSIONS[case]
    names, titles = ["cat", "dog", "elk"][: len(counts)], [f"cluster {k}" for k in range(len(counts[0]))]
    figure = embeddings.cluster_confusion(counts, names, titles)
    axis = figure.axes[0]
    share = 100 * np.array(counts) / np.sum(counts, axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), share[:, order])
    assert [tick.get_text() for tick in axis.get_xticklabels()] == [titles[k] for k in order]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == names
    assert [(patch.get_y() + 0.5, patch.get_x() + 0.5) for patch in axis.patches] == matched
    assert axis.get_title() == f"accuracy {accuracy} (outlined: matched)"
    cells = {text.get_position()[::-1]: text.get_text() for text in axis.texts}
    assert cells == {place: f"{value:.0f}" for place, value in np.ndenumerate(share[:, order]) if value}
    drawn(figure, tmp_path)


@pytest.mark.parametrize(
    ("counts", "title"),
    [(np.eye(30, 40), "accuracy 100.0 % (outlined: matched)"), (np.zeros((30, 40)), "accuracy: nothing is labelled")],
)
def test_confusion_of_many_clusters_has_no_numbers(counts, title):
    axis = embeddings.cluster_confusion(counts, ["x"] * 30, ["y"] * 40).axes[0]
    assert not axis.texts and axis.get_title() == title and np.isfinite(np.asarray(axis.images[0].get_array())).all()


def history(pretraining=4, rounds=3, scores=("acc", "nmi", "ari")):
    """Two epochs a round, of which the second measures, as does the last of the pretraining; in the last round no label
    changes."""
    unknown = dict.fromkeys(("kl", *scores, "label_change", "perplexity"), NAN)
    rows = [{"epoch": e, "round": 0, "reconstruction": 1 / e, **unknown} for e in range(1, 1 + pretraining)]
    for k in range(2 * rounds):
        number, measured = 1 + k // 2, k % 2
        row = {"epoch": pretraining + 1 + k, "round": number, "reconstruction": 0.2, **unknown, "kl": 0.1 * k}
        if measured:
            row |= {name: 0.5 + 0.1 * number for name in scores}
            row |= {"label_change": 0.1 / number if number < rounds else 0.0, "perplexity": 2.0 + number}
        rows.append(row)
    if rounds:
        rows[pretraining - 1] |= {**dict.fromkeys(scores, 0.5), "perplexity": 2.0}
    return rows


def named(figure):
    return {axis.get_ylabel().split(",")[0]: axis for axis in figure.axes}


def curves(axis):
    return {line.get_label().split()[0]: line.get_xydata() for line in axis.lines}


def test_curves_lie_over_their_epochs_and_rounds(tmp_path):
    figure = embeddings.cluster_curves(history(), tol=0.01, clusters=6)
    panels = named(figure)
    assert list(panels) == [
        "reconstruction",
        "KL(P‖Q)",
        "score",
        "share of changed labels",
        "perplexity of the clusters",
    ]
    assert [axis.get_yscale() for axis in panels.values()] == ["log", "linear", "linear", "log", "linear"]
    assert [axis.get_xlabel() for axis in panels.values()] == ["epoch", "epoch", "round", "round", "round"]
    lines = [[line.get_xydata() for line in axis.lines] for axis in panels.values()]
    np.testing.assert_allclose(
        lines[0][0], [(1, 1), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4), *((e, 0.2) for e in range(5, 11))]
    )
    np.testing.assert_allclose(lines[0][1][:, 0], 4.5, err_msg="between pretraining and rounds")
    np.testing.assert_allclose(lines[1][0], [(5 + k, 0.1 * k) for k in range(6)])
    for line in lines[2]:
        np.testing.assert_allclose(line, [(0, 0.5), (1, 0.6), (2, 0.7), (3, 0.8)])
    assert [text.get_text() for text in panels["score"].get_legend().get_texts()] == [
        "ACC 0.800",
        "NMI 0.800",
        "ARI 0.800",
    ]
    np.testing.assert_allclose(lines[3][0], [(1, 0.1), (2, 0.05), (3, NAN)])
    assert lines[3][1].tolist() == [[3, 0.03]] and curves(panels["share of changed labels"]).keys() >= {
        "exactly",
        "tol",
    }
    np.testing.assert_allclose(lines[3][2][:, 1], 0.01)
    np.testing.assert_allclose(lines[4][0], [(0, 2), (1, 3), (2, 4), (3, 5)])
    np.testing.assert_allclose(lines[4][1][:, 1], 6)
    low, high = panels["share of changed labels"].get_ylim()
    assert low < 0.01 and high > 0.1
    drawn(figure, tmp_path)


@pytest.mark.parametrize(
    ("rows", "panels", "empty"),
    [
        ([], 1, 1),
        (history(1, 0), 5, 4),
        (history(3, 0, ()), 4, 3),
        (history(2, 1), 5, 0),
        (history(3, 3, ()), 4, 0),
        ([{"epoch": 1, "reconstruction": 0.5}], 1, 0),
        ([{"epoch": 1, "round": 0, "reconstruction": NAN, "kl": NAN}], 2, 2),
        (history(0, 2), 5, 0),
    ],
    ids=[
        "no epoch",
        "first epoch",
        "unlabelled, early",
        "first round",
        "unlabelled",
        "one column",
        "diverged",
        "no pretraining",
    ],
)
@pytest.mark.parametrize("tol", [None, 0.001])
def test_curves_of_any_history(rows, panels, empty, tol, tmp_path, recwarn):
    figure = embeddings.cluster_curves(rows, tol=tol)
    assert len(figure.axes) == panels
    assert sum(any(text.get_text() == "not measured yet" for text in axis.texts) for axis in figure.axes) == empty
    assert ("score" in named(figure)) == any("acc" in row for row in rows)
    drawn(figure, tmp_path)
    assert not recwarn.list, [str(warning.message) for warning in recwarn]


def test_rows_as_they_come_from_the_file():
    """A csv file gives rounds as floats; ARI may be negative and stays in sight."""
    rows = [
        {"epoch": 1, "round": 0.0, "reconstruction": 0.5, "ari": NAN},
        {"epoch": 2, "round": 1.0, "reconstruction": 0.4, "ari": -0.1},
    ]
    panels = named(embeddings.cluster_curves(rows))
    np.testing.assert_allclose(panels["reconstruction"].lines[1].get_xdata(), 1.5)
    assert panels["score"].get_ylim()[0] < -0.1 and panels["score"].get_ylim()[1] > 1
