"""Scores of clustering against scikit-learn, SciPy and cases by hand; the target distribution against its formula."""

import itertools
import json

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from kzoo import UserError
from kzoo.metrics import cluster_scores

NAMES = ["cat", "dog", "owl"]


def soft(assigned, clusters, confidence=0.7):
    """(N, K) float32 soft assignments with `confidence` (a number or (N,)) for the given cluster."""
    confidence = np.broadcast_to(confidence, len(assigned))[:, None]
    rest = (1 - confidence) / max(clusters - 1, 1)
    return np.where(np.arange(clusters) == np.asarray(assigned)[:, None], confidence, rest).astype("float32")


def random_q(seed, examples=40, clusters=5):
    return np.random.default_rng(seed).dirichlet(np.full(clusters, 0.5), examples)


# target distribution


@pytest.mark.parametrize("seed", range(3))
def test_target_distribution_against_loops(seed):
    q = random_q(seed)
    expected = np.zeros_like(q)
    for i, j in np.ndindex(*q.shape):
        terms = [q[i, k] ** 2 / sum(q[n, k] for n in range(len(q))) for k in range(q.shape[1])]
        expected[i, j] = terms[j] / sum(terms)
    found = cluster_scores.target_distribution(q.astype("float32"))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(cluster_scores.target_distribution(q), expected, rtol=1e-12)


def test_target_distribution_sharpens():
    """Where all clusters are as large, rows come nearer to one cluster, and their order stays."""
    first = random_q(0, 30, 4)
    q = np.concatenate([np.roll(first, shift, axis=1) for shift in range(4)])
    p = cluster_scores.target_distribution(q)
    assert (p.max(axis=1) > q.max(axis=1)).all() and (entropy(p, axis=1) < entropy(q, axis=1)).all()
    np.testing.assert_array_equal(p.argsort(axis=1), q.argsort(axis=1))


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (np.full((6, 3), 1 / 3), np.full((6, 3), 1 / 3)),  # nothing to sharpen
        (np.eye(3)[[0, 1, 2, 2]], np.eye(3)[[0, 1, 2, 2]]),  # nothing left to sharpen
        ([[0.5, 0.5, 0], [0.5, 0.5, 0]], [[0.5, 0.5, 0], [0.5, 0.5, 0]]),  # a cluster that nobody is in
        (
            [[0.5, 0.5], [0.9, 0.1]],
            [[0.3, 0.7], [0.81 / 1.4 / (0.81 / 1.4 + 0.01 / 0.6), 0.01 / 0.6 / (0.81 / 1.4 + 0.01 / 0.6)]],
        ),
    ],
)
def test_target_distribution_by_hand(q, p):
    with np.errstate(all="raise"):
        np.testing.assert_allclose(cluster_scores.target_distribution(q), p, atol=1e-12)


# matching and accuracy


def best_by_trying(labels, assigned, classes, clusters):
    """Most examples that any one-to-one matching puts right."""
    counts = np.array([[np.sum((labels == c) & (assigned == k)) for k in range(clusters)] for c in range(classes)])
    counts = counts if classes <= clusters else counts.T
    return max(
        sum(counts[i, j] for i, j in enumerate(order))
        for order in itertools.permutations(range(counts.shape[1]), counts.shape[0])
    )


@pytest.mark.parametrize(("classes", "clusters"), [(4, 4), (3, 5), (5, 3), (1, 4), (4, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_matching_is_the_best_one(classes, clusters, seed):
    rng = np.random.default_rng(seed)
    labels, assigned = rng.integers(-1, classes, 60), rng.integers(0, clusters, 60)
    found = cluster_scores.matching(labels, assigned, classes, clusters)
    matched = found[found >= 0]
    assert found.shape == (clusters,) and len(set(matched)) == len(matched) and found.max() < classes
    best = best_by_trying(labels, assigned, classes, clusters)
    assert np.sum((found[assigned] == labels) & (labels >= 0)) == best
    assert cluster_scores.accuracy(labels, assigned) == pytest.approx(best / np.sum(labels >= 0))


MATCHINGS = [  # labels, assigned, classes, clusters, class of each cluster, accuracy
    ([0, 0, 1, 1, 2, 2], [2, 2, 0, 0, 1, 1], 3, 3, [1, 2, 0], 1),
    ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], 2, 2, [0, 1], 5 / 6),
    ([0, 0, 0, 0], [0, 0, 1, 2], 1, 3, [0, -1, -1], 0.5),  # more clusters than classes
    ([0, 0, 1, 2], [0, 0, 0, 0], 3, 2, [0, -1], 0.5),  # collapsed; the empty cluster gets no class
    ([0, 1, -1, -1], [1, 0, 0, 2], 2, 3, [1, 0, -1], 1),  # examples without label do not count
    ([-1, -1], [0, 1], 2, 2, [-1, -1], float("nan")),
    ([-1, -1], [0, 1], 0, 2, [-1, -1], float("nan")),
]


@pytest.mark.parametrize(("labels", "assigned", "classes", "clusters", "expected", "accuracy"), MATCHINGS)
def test_matching_by_hand(labels, assigned, classes, clusters, expected, accuracy):
    assert cluster_scores.matching(labels, assigned, classes, clusters).tolist() == expected
    assert cluster_scores.accuracy(labels, assigned) == pytest.approx(accuracy, nan_ok=True)


@pytest.mark.parametrize("clusters", [4, 6, 8])
def test_scores_do_not_depend_on_the_clusters_numbers(clusters):
    rng = np.random.default_rng(clusters)
    labels, codes = rng.integers(0, 6, 200), rng.normal(size=(200, 3))
    assigned = np.where(rng.random(200) < 0.6, labels % clusters, rng.integers(0, clusters, 200))
    scores = cluster_scores.cluster_scores(labels, assigned, codes, clusters)
    assert 0.3 < scores["acc"] < 0.9
    for _ in range(5):
        renamed = rng.permutation(clusters)[assigned]
        assert cluster_scores.cluster_scores(labels, renamed, codes, clusters) == pytest.approx(scores)


# scores


def test_scores_against_scikit_learn():
    rng = np.random.default_rng(0)
    labels, assigned, codes = (
        rng.integers(0, 4, 150),
        rng.integers(0, 5, 150),
        rng.normal(size=(150, 3)).astype("float32"),
    )
    assigned = np.where(rng.random(150) < 0.5, labels, assigned)
    found = cluster_scores.cluster_scores(labels, assigned, codes, 5)
    contingency = metrics.cluster.contingency_matrix(labels, assigned)
    mutual = metrics.mutual_info_score(labels, assigned)
    entropies = [entropy(contingency.sum(axis=axis)) for axis in (0, 1)]
    assert found["nmi"] == pytest.approx(mutual / np.mean(entropies))
    assert abs(found["nmi"] - mutual / np.sqrt(np.prod(entropies))) > 1e-6, "not the geometric mean"
    assert found["ari"] == pytest.approx(metrics.adjusted_rand_score(labels, assigned))
    assert found["silhouette"] == pytest.approx(metrics.silhouette_score(codes, assigned))
    assert found["perplexity"] == pytest.approx(np.exp(entropy(np.bincount(assigned))))
    np.testing.assert_array_equal(cluster_scores.contingency(labels, assigned, 4, 5), contingency)


def test_unlabelled_examples_count_only_where_no_label_is_needed():
    rng = np.random.default_rng(1)
    labels, assigned, codes = rng.integers(0, 3, 90), rng.integers(0, 3, 90), rng.normal(size=(90, 2))
    some, none = np.where(np.arange(90) < 40, labels, -1), np.full(90, -1)
    part, whole = (
        cluster_scores.cluster_scores(labels[:40], assigned[:40], codes[:40], 3),
        cluster_scores.cluster_scores(labels, assigned, codes, 3),
    )
    expected = {name: (part if name in ("acc", "nmi", "ari") else whole)[name] for name in whole}
    assert list(whole) == ["acc", "nmi", "ari", "silhouette", "perplexity"]
    assert cluster_scores.cluster_scores(some, assigned, codes, 3) == pytest.approx(expected)
    assert cluster_scores.cluster_scores(none, assigned, codes, 3) == {
        name: whole[name] for name in ("silhouette", "perplexity")
    }


@pytest.mark.parametrize(
    ("assigned", "clusters", "expected"),
    [
        (np.arange(60) % 6, 6, 6),
        (np.zeros(60, int), 6, 1),
        (np.full(60, 5), 6, 1),
        (np.arange(60) % 2, 6, 2),
        ([0, 0, 0, 1], 2, 1.754765),
    ],
)
def test_perplexity(assigned, clusters, expected):
    assert cluster_scores.perplexity(assigned, clusters) == pytest.approx(expected)


@pytest.mark.parametrize("assigned", [[0, 0, 0, 0], [0, 1, 2, 3]])
def test_silhouette_is_nan_where_it_is_not_defined(assigned):
    assert np.isnan(cluster_scores.silhouette(np.arange(8.0).reshape(4, 2), assigned))


def test_silhouette_of_codes_that_are_not_finite():
    assert np.isnan(cluster_scores.silhouette(np.array([[0.0], [1], [2], [np.nan]]), [0, 0, 1, 1]))


def test_silhouette_of_many_is_that_of_a_sample():
    rng = np.random.default_rng(0)
    assigned = rng.integers(0, 3, 3000)
    codes = rng.normal(size=(3000, 2)) + 2 * np.array([[0, 0], [1, 0], [0, 1]])[assigned]
    found = cluster_scores.silhouette(codes, assigned)
    assert found == cluster_scores.silhouette(codes, assigned)
    whole = metrics.silhouette_score(codes, assigned)
    assert found != whole and found == pytest.approx(whole, abs=0.02)


# k-means


def test_kmeans_finds_groups():
    rng = np.random.default_rng(0)
    truth, middles = np.arange(90) % 3, np.array([[0, 0, 0, 0], [9, 0, 9, 0], [0, 9, 0, 9]])
    values = middles[truth] + rng.normal(size=(90, 4))
    assigned, centres = cluster_scores.kmeans(values.reshape(90, 2, 2), 3, seed=0)
    assert (assigned.dtype, centres.dtype, centres.shape) == (np.int64, np.float32, (3, 4))
    assert cluster_scores.accuracy(truth, assigned) == 1
    means = [values[assigned == cluster].mean(axis=0) for cluster in range(3)]
    np.testing.assert_allclose(centres, means, atol=1e-5)
    again = cluster_scores.kmeans(values.reshape(90, 2, 2), 3, seed=0)
    np.testing.assert_array_equal(again[0], assigned)


def test_kmeans_on_digits_is_the_baseline_that_the_readme_states():
    digits = load_digits()
    assigned, _ = cluster_scores.kmeans(digits.images, 10, seed=0)
    found = cluster_scores.cluster_scores(digits.target, assigned, digits.data, 10)
    expected = KMeans(10, n_init=20, random_state=0).fit(digits.data).labels_
    assert found["nmi"] == pytest.approx(metrics.normalized_mutual_info_score(digits.target, expected), abs=0.01)
    assert (found["acc"], found["nmi"], found["ari"]) == pytest.approx((0.793, 0.743, 0.667), abs=0.012)


@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        (np.zeros((3, 2)), 4, "1 to 3 clusters for 3 examples, got 4"),
        (np.zeros((3, 2)), 0, "got 0"),
        (np.array([[0.0, np.nan], [1, 1], [np.inf, 2]]), 2, "2 of 3 examples hold NaN or infinity"),
    ],
)
def test_kmeans_refuses(values, clusters, message):
    with pytest.raises(UserError, match=message):
        cluster_scores.kmeans(values, clusters, seed=0)


# report


def test_decode():
    outputs = {"assignment": soft([0, 1], 2), "reconstruction": np.zeros((2, 8, 8, 1)), "code": np.ones((2, 3))}
    found = cluster_scores.decode_cluster(outputs)
    assert list(found) == ["assignment", "code"] and found["code"].dtype == np.float32
    np.testing.assert_array_equal(found["assignment"], outputs["assignment"])


def test_errors_are_small_where_the_network_is_sure():
    predictions = {"assignment": np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])}
    np.testing.assert_allclose(cluster_scores.cluster_errors(None, predictions), [0.1, 0.5, 0.2])


def report(labels, assigned, clusters, confidence=0.7, names=NAMES):
    codes = np.random.default_rng(0).normal(size=(len(labels), 2)) + np.asarray(assigned)[:, None]
    result = cluster_scores.cluster_report(
        np.array(labels), {"assignment": soft(assigned, clusters, confidence), "code": codes}, {}, names
    )
    assert json.loads(json.dumps(result))["scores"] == pytest.approx(result["scores"], nan_ok=True), "plain numbers"
    assert result["scores"] == pytest.approx(
        cluster_scores.cluster_scores(labels, assigned, codes, clusters), nan_ok=True
    )
    return result


def test_report():
    """Clusters 2, 0, 3 are cats, dogs and owls; one owl is among the dogs, one cat in cluster 1, one example has no
    label."""
    labels, assigned = [0, 0, 0, 1, 1, 2, 2, 2, 2, -1], [2, 2, 1, 0, 0, 3, 3, 3, 0, 1]
    result = report(labels, assigned, 4)
    assert result["matching"] == [1, -1, 0, 2] and result["cluster_order"] == [2, 0, 3, 1]
    assert result["confusion"] == [[2, 0, 0, 1], [0, 2, 0, 0], [0, 1, 3, 0]]
    assert result["scores"]["acc"] == pytest.approx(7 / 9)
    assert result["tables"]["Accuracy after matching"] == pytest.approx({"cat": 2 / 3, "dog": 1, "owl": 3 / 4})
    assert result["tables"]["Cluster sizes"] == {"2 (cat)": 2, "0 (dog)": 3, "3 (owl)": 3, "1": 2}
    assert list(result["tables"]["Cluster sizes"])[-1] == "1"
    text = " ".join(result["notes"])
    assert (
        "arithmetic" in text
        and "9 of 10 examples" in text
        and "not labelled" not in text
        and " 0 of them empty" in text
    )


def test_report_examples_are_the_most_confident_ones():
    rng = np.random.default_rng(0)
    assigned, confidence = np.arange(60) % 3, rng.uniform(0.5, 1, 60)
    found = report(assigned, assigned, 4, confidence)["cluster_examples"]
    for cluster in range(3):
        members = np.flatnonzero(assigned == cluster)
        assert found[cluster] == members[np.argsort(-confidence[members])][:16].tolist()
    assert found[3] == [] and list(found) == [0, 1, 2, 3]


def test_report_without_labels():
    result = report([-1] * 6, [0, 0, 1, 1, 2, 2], 3, names=[])
    assert list(result["scores"]) == ["silhouette", "perplexity"] and result["scores"]["perplexity"] == pytest.approx(3)
    assert result["tables"] == {"Cluster sizes": {"0": 2, "1": 2, "2": 2}} and "confusion" not in result
    assert result["matching"] == [-1, -1, -1] and result["cluster_order"] == [0, 1, 2]
    assert any("not labelled" in note for note in result["notes"])


def test_report_of_collapsed_clusters_and_missing_classes():
    """All in one cluster; no owl in the truth; dogs get no cluster."""
    result = report([0, 0, 0, 1], [1, 1, 1, 1], 2)
    assert (
        result["scores"]["acc"] == 0.75
        and result["scores"]["perplexity"] == 1
        and np.isnan(result["scores"]["silhouette"])
    )
    assert result["scores"]["nmi"] == result["scores"]["ari"] == 0
    assert result["tables"]["Accuracy after matching"] == pytest.approx(
        {"cat": 1, "dog": 0, "owl": np.nan}, nan_ok=True
    )
    assert result["confusion"] == [[3, 0], [1, 0], [0, 0]] and result["cluster_order"] == [1, 0]
    assert " 1 of them empty" in result["notes"][0] and any(
        "2 of 3 classes have no cluster" in note for note in result["notes"]
    )
