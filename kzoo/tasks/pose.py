"""2-D pose of one person: where each joint is in the picture."""

import functools

import numpy as np
from keras import ops

from kzoo.data import augment
from kzoo.figures import overlays
from kzoo.figures import pose as figures
from kzoo.losses import base as loss_base
from kzoo.losses import pose as losses
from kzoo.metrics import pose as metrics
from kzoo.metrics import pose_scores
from kzoo.models.compositional import compositional
from kzoo.models.cpm import cpm
from kzoo.models.deeppose import deeppose
from kzoo.models.heatmap import heatmap
from kzoo.models.hourglass import hourglass
from kzoo.models.hourglass_attention import hourglass_attention
from kzoo.models.part_heatmap import part_heatmap
from kzoo.models.pyranet import pyranet
from kzoo.models.regression import regression
from kzoo.models.simple_baseline import simple_baseline
from kzoo.models.softargmax import softargmax
from kzoo.nn import decoding, geometry, graph_decoders
from kzoo.tasks.base import COMMON, Answers, Baselines, Evaluator, Example, Figures, Input, Output, Results, Right, Task
from kzoo.tasks.explained import Explained, numbers, peak

RECIPES = {
    ("people", ""): dict(
        COMMON,
        size=128,
        encoder="small",
        encoder_weights="none",
        epochs=10,
        batch_size=16,
        lr=2e-3,
        warmup=0.5,
        augment=0.4,
    ),
    ("people", "regression"): dict(epochs=24),
    ("people", "softargmax"): dict(set=["widths=(64,64,64)", "skips=True"], loss_weights=["latent_heatmaps=0.5"]),
    ("people", "heatmap"): dict(set=["width=64"]),
    ("people", "simple_baseline"): dict(set=["widths=(64,64,64)"], loss_set=["sigma=1.5"]),
    ("people", "cpm"): dict(norm="batch", set=["width=12", "stages=3"], epochs=5, loss_set=["sigma=1"]),
    ("people", "deeppose"): dict(set=["sigma=1.0", "crop=32", "refine_widths=(16,32,64)", "refine_features=128"]),
    ("people", "part_heatmap"): dict(
        set=["variant='hourglass'", "width=8", "fc_width=128"], epochs=9, loss_set=["sigma=1.5"]
    ),
    ("people", "hourglass"): dict(set=["stacks=2", "width=64"], epochs=8, loss_set=["sigma=1.5"]),
    ("people", "hourglass_attention"): dict(set=["stacks=2", "width=32", "depth=3"], epochs=6, loss_set=["sigma=1.5"]),
    ("people", "pyranet"): dict(set=["stacks=2", "width=48", "depth=3"], epochs=7, loss_set=["sigma=1.5"]),
    ("people", "compositional"): dict(set=["width=48", "depth=3"], epochs=8, loss_set=["sigma=1.5"]),
    ("coco_subset/pose", ""): dict(
        COMMON,
        size=256,
        encoder="resnet50",
        encoder_weights="imagenet",
        epochs=40,
        batch_size=32,
        lr=5e-4,
        warmup=1,
        augment=1.0,
    ),
    ("coco_subset/pose", "softargmax"): dict(set=["skips=True"], loss_weights=["latent_heatmaps=0.5"]),
    # the maps have the picture's size
    ("coco_subset/pose", "part_heatmap"): dict(encoder="vgg16", loss_set=["sigma=5"]),
}

COORDINATE_LOSSES = {name: functools.partial(losses.CoordinateLoss, norm=name) for name in loss_base.NORMS}
HEATMAP_LOSSES = {"mse": losses.HeatmapMSE}
JOINT_METRICS = (lambda n: metrics.MPJPE(joints=n), lambda n: metrics.PCK(threshold=0.1))
OUTPUTS = {
    "coords": Output(label="keypoints", losses=COORDINATE_LOSSES, metrics=JOINT_METRICS, unflip=decoding.unflip_coords),
    "aux_coords": Output(label="keypoints", losses=COORDINATE_LOSSES, unflip=None),
    "heatmaps": Output(label="keypoints", losses=HEATMAP_LOSSES, metrics=JOINT_METRICS),
    "aux_heatmaps": Output(label="keypoints", losses=HEATMAP_LOSSES, unflip=None),
    "disc_logits": Output(
        label="keypoints",
        losses={"cross_entropy": losses.DiscCrossEntropy},
        metrics=JOINT_METRICS,
        activate=decoding.sigmoid,
    ),
    "limb_heatmaps": Output(
        label="keypoints", losses={"mse": functools.partial(losses.PartMSE, level="limbs")}, unflip=None
    ),
    "group_heatmaps": Output(
        label="keypoints", losses={"mse": functools.partial(losses.PartMSE, level="groups")}, unflip=None
    ),
    "attention": Output(label="keypoints", losses={}, weight=0.0, unflip=None),  # for pictures
    "latent_heatmaps": Output(
        label="keypoints", losses={"js": losses.HeatmapDivergence}, weight=0.0, activate=decoding.spatial_softmax
    ),
}
# `activate` of OUTPUTS from `keras.ops`
PIXELS = f"px of a {pose_scores.FRAME}-px crop"
ACTIVATIONS = {"disc_logits": ops.sigmoid, "latent_heatmaps": geometry.spatial_softmax}


def joints_in_graph(outputs: dict, decoder: str) -> dict:
    """{"coords": (B, J, 2)} fractions, and {"score": (B, J)} in 0..1 where there are maps."""
    source = next((name for name in decoding.MAPS if name in outputs), None)
    if source is None:
        return {"coords": outputs["coords"]}
    maps = ACTIVATIONS.get(source, lambda maps: maps)(outputs[source])
    coords = outputs["coords"] if decoder == decoding.OWN else graph_decoders.DECODERS[decoder](maps)
    return {"coords": coords, "score": ops.clip(ops.max(maps, axis=(1, 2)), 0.0, 1.0)}


def coco_rows(picture, _) -> list[dict]:
    """A person each, as COCO's results have them."""
    return [
        {
            "image_id": picture.number,
            "file_name": picture.name,
            "category_id": 1,
            "keypoints": [round(float(value), 3) for value in np.column_stack([points, scores]).ravel()],
            "score": round(score, 5),
        }
        for points, scores, score in overlays.persons_of(picture)
    ]


POSE = Task(
    archs={
        "regression": regression,
        "softargmax": softargmax,
        "heatmap": heatmap,
        "simple_baseline": simple_baseline,
        "cpm": cpm,
        "deeppose": deeppose,
        "part_heatmap": part_heatmap,
        "hourglass": hourglass,
        "hourglass_attention": hourglass_attention,
        "pyranet": pyranet,
        "compositional": compositional,
    },
    default="softargmax",
    outputs=OUTPUTS,
    main=("coords", "heatmaps", "disc_logits"),
    score=("mpjpe", "min"),
    names="joints",
    recipes=RECIPES,
    example=Example(units=17),
    input=Input(
        geometric=augment.Geometric(zoom=0.25, rotation_deg=30.0, translate=0.05, flip=0.5), square=True, boxes=True
    ),
    evaluator=Evaluator(
        decode=decoding.decode_pose,
        score=pose_scores.pose_report,
        errors=pose_scores.pose_errors,
        extras=("image_id", "ann_id", "bbox", "area", "crop_to_image", "head_box"),
        baselines=Baselines(pose_scores.mean_pose, label="keypoints"),
        right=Right(pose_scores.right_joints, pose_scores.RIGHT_WORDS),
        collapsed=pose_scores.collapsed,
        units={"mpjpe": PIXELS, "median_error": PIXELS},
    ),
    figures=Figures(error="MPJPE {:.1f} px".format, examples=figures.pose_figures),
    answers=Answers(
        graph=joints_in_graph,
        meanings={
            "coords": "x and y of each joint as fractions of the picture, from the outer corner of its first pixel",
            "score": "raw: height of each joint's peak, 0..1, no probability",
        },
        writer=Results("keypoints.json", coco_rows, overlays.draw_pose),
        limits=(
            "One person a picture: it was scored on pictures that show the person as the boxes above say. "
            "With a detector's boxes errors grow.",
            "It always answers every joint, hidden ones and those outside the picture too.",
        ),
        explained={
            "coords": numbers("xy", "joints"),
            **{name: Explained(peak, "joints") for name in decoding.MAPS},
            "limb_heatmaps": Explained(peak, "limbs"),
            "group_heatmaps": Explained(peak, "groups"),
        },
    ),
)
