"""Deep clustering but for the networks, in NumPy and scikit-learn.

Target distribution, k-means, matching of clusters with classes, scores.

Labels are read for scores alone, never for training: (N,) integers, -1 = none. `assigned` (N,) integers are the numbers
of clusters.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn import metrics
from sklearn.cluster import KMeans

from kzoo import UserError

STARTS = 20  # of k-means, of which the best one is kept: as in DEC's experiments
SILHOUETTE_EXAMPLES = 2000  # its cost grows with their square
EXAMPLES = 16  # of each cluster that a report names


def target_distribution(q) -> np.ndarray:
    """What a cluster network is trained towards: confident assignments count more, large clusters less.

    Args:
        q: (N, K) soft assignments of the whole training set, rows sum to 1.
    Returns:
        (N, K) float64, rows sum to 1; zeros where q is 0.

    Reference: Xie et al., Unsupervised Deep Embedding for Clustering Analysis, ICML 2016, eq. 3:
    p_ij ∝ q_ij^2 / sum_i q_ij.
    """
    q = np.asarray(q, "float64")
    frequency = q.sum(axis=0)
    weight = q**2 / np.where(frequency > 0, frequency, 1)
    return weight / weight.sum(axis=1, keepdims=True)


def kmeans(values, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The best of 20 runs of k-means.

    Args:
        values: (N, …) numbers, one row an example, flattened and compared as float32.
        seed: of the 20 starts.
    Returns:
        assigned (N,) int64 and centres (clusters, D) float32.
    Raises:
        UserError: fewer examples than clusters, or numbers that are not finite.

    Reference: Lloyd, IEEE Trans. Information Theory 1982; starts: k-means++, Arthur and Vassilvitskii, SODA 2007.
    """
    values = np.asarray(values, "float32").reshape(len(values), -1)
    if not 1 <= clusters <= len(values):
        raise UserError(f"k-means needs 1 to {len(values)} clusters for {len(values)} examples, got {clusters}")
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        broken = int((~finite).sum())
        raise UserError(f"k-means needs finite numbers; {broken} of {len(values)} examples hold NaN or infinity")
    fitted = KMeans(clusters, n_init=STARTS, random_state=seed).fit(values)
    return fitted.labels_.astype("int64"), fitted.cluster_centers_


def contingency(labels, assigned, classes: int, clusters: int) -> np.ndarray:
    """Counts (classes, clusters) int64 of the labelled examples."""
    labels, assigned = np.asarray(labels, "int64"), np.asarray(assigned, "int64")
    labelled = labels >= 0
    counts = np.bincount(labels[labelled] * clusters + assigned[labelled], minlength=classes * clusters)
    return counts.reshape(classes, clusters)


def matching(labels, assigned, classes: int, clusters: int) -> np.ndarray:
    """The class of each cluster, one to one: most labelled examples lie in the cluster of their class.

    Args:
        labels: (N,) 0..classes-1, -1 = none.
        assigned: (N,) 0..clusters-1.
    Returns:
        (clusters,) int64; -1 for a cluster without class: there are more clusters than classes, or none of its examples
        is of a class that is left. A class may be without cluster.

    Reference: Kuhn, The Hungarian Method for the Assignment Problem, 1955, in scipy.optimize.linear_sum_assignment.
    """
    counts = contingency(labels, assigned, classes, clusters)
    matched_classes, matched_clusters = linear_sum_assignment(counts, maximize=True)
    shared = counts[matched_classes, matched_clusters] > 0
    class_of = np.full(clusters, -1)
    class_of[matched_clusters[shared]] = matched_classes[shared]
    return class_of


def accuracy(labels, assigned) -> float:
    """Share of the labelled examples that lie in the cluster of their class, see `matching`; NaN without labels.

    Reference: ACC of Xie et al., ICML 2016, eq. 10.
    """
    labels, assigned = np.asarray(labels, "int64"), np.asarray(assigned, "int64")
    labelled = labels >= 0
    if not labelled.any():
        return float("nan")
    class_of = matching(labels, assigned, labels.max() + 1, assigned.max() + 1)
    return float((class_of[assigned] == labels)[labelled].mean())


def perplexity(assigned, clusters: int) -> float:
    """How many clusters are in use, 1 to `clusters`: exp(entropy of the clusters' shares).

    1: all collapsed into one; K: all as large.
    """
    shares = np.bincount(assigned, minlength=clusters) / len(assigned)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def silhouette(codes, assigned) -> float:
    """Mean silhouette coefficient, -1 to 1, by Euclidean distance over at most 2,000 examples.

    These are the same ones each time.

    Args:
        codes: (N, d).
    Returns:
        NaN where it is not defined: one cluster, as many clusters as examples, or codes that are not finite.

    Reference: Rousseeuw, J. Computational and Applied Mathematics 1987, in scikit-learn.
    """
    codes, assigned = np.asarray(codes), np.asarray(assigned)
    if len(codes) > SILHOUETTE_EXAMPLES:
        chosen = np.random.default_rng(0).choice(len(codes), SILHOUETTE_EXAMPLES, replace=False)
        codes, assigned = codes[chosen], assigned[chosen]
    if not 1 < len(np.unique(assigned)) < len(codes) or not np.isfinite(codes).all():
        return float("nan")
    return float(metrics.silhouette_score(codes, assigned))


def cluster_scores(labels, assigned, codes, clusters: int) -> dict[str, float]:
    """Scores of one way to cluster.

    Args:
        labels: (N,), -1 = none.
        assigned: (N,) 0..clusters-1.
        codes: (N, d), what the clusters were found in.
    Returns:
        {"acc", "nmi", "ari", "silhouette", "perplexity"}; without any label only the last two. acc and nmi 0..1, ari at
        most 1 and 0 by chance, see also `silhouette` and `perplexity`.

    Reference: NMI: Strehl and Ghosh, JMLR 2002, but normalised by the arithmetic mean of both entropies; ARI: Hubert
    and Arabie, 1985.
    """
    labels, assigned = np.asarray(labels), np.asarray(assigned)
    labelled = labels >= 0
    scores = {}
    if labelled.any():
        truth, answers = labels[labelled], assigned[labelled]
        scores = {
            "acc": accuracy(labels, assigned),
            "nmi": float(metrics.normalized_mutual_info_score(truth, answers, average_method="arithmetic")),
            "ari": float(metrics.adjusted_rand_score(truth, answers)),
        }
    return {**scores, "silhouette": silhouette(codes, assigned), "perplexity": perplexity(assigned, clusters)}


def decode_cluster(outputs: dict) -> dict:
    """{"assignment": (B, K), "code": (B, d)} float32 of a batch of outputs."""
    return {name: np.asarray(outputs[name], "float32") for name in ("assignment", "code")}


def cluster_errors(labels, predictions) -> np.ndarray:
    """One number per example, small is good: 1 - its largest soft assignment (N,). Labels are not used."""
    return 1 - np.asarray(predictions["assignment"]).max(axis=1)


def most_confident(assignment, count: int = EXAMPLES) -> dict[int, list[int]]:
    """{cluster: up to `count` examples, most confident first} of (N, K) soft assignments; [] for an empty one."""
    assigned = assignment.argmax(axis=1)
    order = np.argsort(-assignment.max(axis=1), kind="stable")
    return {cluster: order[assigned[order] == cluster][:count].tolist() for cluster in range(assignment.shape[1])}


def cluster_report(labels, predictions, extras, names) -> dict:
    """Scores of clustering.

    Args:
        labels: (N,) class numbers, -1 = none.
        predictions: {"assignment": (N, K), "code": (N, d)}.
        names: C class names.
    Returns:
        {"scores": see `cluster_scores`, "tables": {title: {row: number}}, "notes": [text],
        "matching": (K,) class of each cluster or -1, see `matching`,
        "cluster_order": (K,) clusters, first those with a class in the order of the classes,
        "confusion": (C, K) counts of the labelled examples, classes in rows, columns in `cluster_order`; not without
        labels, "cluster_examples": {cluster: its up to 16 most confident examples}}, all as plain lists.
    """
    # The clusters, and the class of each.
    labels, assignment = np.asarray(labels, "int64"), np.asarray(predictions["assignment"])
    assigned = assignment.argmax(axis=1)
    clusters = assignment.shape[1]
    labelled = labels >= 0
    counts = contingency(labels, assigned, len(names), clusters)
    class_of = matching(labels, assigned, len(names), clusters)
    order = np.lexsort([class_of, class_of < 0])
    sizes = np.bincount(assigned, minlength=clusters)
    titles = [f"{cluster} ({names[of]})" if of >= 0 else str(cluster) for cluster, of in enumerate(class_of)]

    # What needs no labels.
    notes = [
        f"{len(labels)} examples in {clusters} clusters, {int((sizes == 0).sum())} of them empty. Perplexity: "
        f"exp(entropy of the clusters' shares), {clusters} where all are as large, 1 where all examples fell into one.",
        f"Silhouette: mean over {min(len(labels), SILHOUETTE_EXAMPLES)} examples, by Euclidean distance of their "
        "codes.",
    ]
    result = {
        "scores": cluster_scores(labels, assigned, predictions["code"], clusters),
        "tables": {"Cluster sizes": {titles[cluster]: int(sizes[cluster]) for cluster in order}},
        "notes": notes,
        "matching": class_of.tolist(),
        "cluster_order": order.tolist(),
        "cluster_examples": most_confident(assignment),
    }
    if not labelled.any():
        notes.append(
            "The data are not labelled: there is no accuracy, NMI or ARI, and nothing says what a cluster means."
        )
        return result

    # What the labels say of them.
    right = np.bincount(labels[labelled & (class_of[assigned] == labels)], minlength=len(names))
    of_class = counts.sum(axis=1)
    shares = np.where(of_class > 0, right / np.maximum(of_class, 1), np.nan)
    result["tables"] = {
        "Accuracy after matching": dict(zip(names, map(float, shares), strict=True)),
        **result["tables"],
    }
    result["confusion"] = counts[:, order].tolist()
    unmatched = len(names) - int((class_of >= 0).sum())
    left_over = f"; {unmatched} of {len(names)} classes have no cluster" if unmatched else ""
    notes += [
        "ACC: share of examples in the cluster that is matched with their class, one to one by the Hungarian method"
        f"{left_over}.",
        "NMI: mutual information over the arithmetic mean of both entropies (some tables use the geometric one). "
        "ARI: 0 by chance.",
        f"Labels ({int(labelled.sum())} of {len(labels)} examples have one) are read for these scores only.",
    ]
    return result
