"""Clustering: groups of pictures that are alike, found without labels."""

from keras import ops

from kzoo.figures import cluster as figures
from kzoo.figures import overlays
from kzoo.losses import cluster as losses
from kzoo.metrics import cluster_scores
from kzoo.models.dcec import dcec
from kzoo.models.dec import dec
from kzoo.models.fcae import fcae
from kzoo.models.idec import idec
from kzoo.nn import graph_decoders
from kzoo.tasks import explained
from kzoo.tasks.base import COMMON, Answers, Evaluator, Example, Figures, Input, Output, Results, Task

RECIPES = {
    ("digits", ""): dict(size=8, train_split="train+val", epochs=200, update_interval=30),
    ("mnist", ""): dict(size=28, train_split="train+test"),
    ("fashion_mnist", ""): dict(size=28, train_split="train+test"),
    ("usps", ""): dict(size=16, train_split="train+val", update_interval=30),
    # as DEC's authors cluster, whatever the data: all examples, 256 a step, Adam in place of SGD
    ("", ""): dict(
        COMMON,
        weight_decay=0.0,
        batch_size=256,
        lr=1e-3,
        cluster_lr=1e-3,
        epochs=100,
        rounds=100,
        update_interval=140,
        tol=0.001,
    ),
    ("digits", "fcae"): dict(epochs=50),
    # its authors sum the divergence over a batch of 100
    ("", "fcae"): dict(batch_size=100, loss_weights=["assignment=100"]),
    # the auto-encoder is left alone in the second phase
    ("", "dec"): dict(loss_weights=["reconstruction=0", "assignment=1"]),
}

OUTPUTS = {
    # weight: gamma of IDEC and DCEC
    "assignment": Output(label="label", losses={"kl": losses.ClusterKL}, weight=0.1, unflip=None),
    "reconstruction": Output(label="image", losses={"mse": losses.ReconstructionMSE}, unflip=None),
    "code": Output(label="label", losses={}, weight=0.0, unflip=None),
}
AUGMENTING = ("augment", "zoom", "rotation", "translate", "crop", "flip", "color_pca")  # flags


def clusters_in_graph(outputs: dict, decoder: None) -> dict:
    """{"cluster": (B,) int32, "assignment": (B, K), "code": (B, d)}."""
    return {
        "cluster": ops.cast(graph_decoders.first_highest(outputs["assignment"]), "int32"),
        "assignment": outputs["assignment"],
        "code": outputs["code"],
    }


def cluster_rows(picture, _) -> list[list]:
    return [
        [picture.name, int(answer["assignment"].argmax()), f"{answer['assignment'].max():.5f}"]
        for answer in picture.answers
    ]


CLUSTER = Task(
    archs={"dec": dec, "idec": idec, "dcec": dcec, "fcae": fcae},
    default="fcae",
    outputs=OUTPUTS,
    main=("assignment",),
    score=("acc", "max"),
    names="labels",
    recipes=RECIPES,
    example=Example(units=10, size=(8, 8)),
    learning="clusters",
    input=Input(without=(*AUGMENTING, "ema", "l2", "find_lr", "lr_base_batch", "loss", "border", "cache")),
    evaluator=Evaluator(
        decode=cluster_scores.decode_cluster,
        score=cluster_scores.cluster_report,
        errors=cluster_scores.cluster_errors,
        beside=("code",),
    ),
    figures=Figures(
        error=lambda error: f"confidence {1 - error:.2f}", charts=figures.cluster_charts, inside=figures.inside
    ),
    answers=Answers(
        graph=clusters_in_graph,
        meanings={
            "cluster": "number of the likeliest cluster",
            "assignment": "share of each cluster in the soft assignment, sums to 1",
            "code": "the embedding that is clustered",
        },
        writer=Results("clusters.csv", cluster_rows, overlays.draw_cluster, ("file", "cluster", "confidence")),
        limits=(
            "Clusters are no classes: they were matched with the labels once, for the scores alone.",
            "The number of clusters was given, not found.",
        ),
        explained={"assignment": explained.Explained(explained.cluster, "clusters", optional=True)},
    ),
)
