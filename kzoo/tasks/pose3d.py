"""3-D pose of one person in a clip: where each joint is, in metres from the hip."""

import functools

from kzoo.data import augment
from kzoo.figures import overlays
from kzoo.figures import pose3d as figures
from kzoo.losses import pose3d as losses
from kzoo.metrics import pose3d as metrics
from kzoo.metrics import pose3d_scores
from kzoo.models.conv_lstm import conv_lstm
from kzoo.models.encoder_gru import encoder_gru
from kzoo.models.lift import lift
from kzoo.models.temporal import temporal
from kzoo.tasks.base import COMMON, Answers, Baselines, Evaluator, Example, Figures, Input, Output, Results, Task
from kzoo.tasks.explained import numbers

RECIPES = {
    ("people/clips", ""): dict(
        COMMON,
        size=96,
        encoder="small",
        encoder_weights="none",
        epochs=10,
        batch_size=16,
        lr=1e-3,
        warmup=0.5,
        augment=0.0,
    ),
    ("people/clips", "conv_lstm"): dict(size=64, loss="mse", epochs=8),
    ("people/clips", "encoder_gru"): dict(
        size=64, set=["pool=flatten", "units=256"], lr=2e-3, epochs=14, augment=0.3, flip=0.0
    ),
    ("people/clips", "lift"): dict(set=["width=512", "dropout=0.1"], epochs=30, batch_size=32),
    ("people/clips", "temporal"): dict(set=["channels=256", "dropout=0.1"], epochs=30, batch_size=32),
    ("human36m", ""): dict(
        COMMON,
        size=224,
        encoder="resnet50",
        encoder_weights="imagenet",
        epochs=30,
        batch_size=16,
        lr=1e-3,
        warmup=0.5,
        augment=1.0,
    ),
    # the report's: 5 clips a step, Adam, 1e-4
    ("human36m", "conv_lstm"): dict(
        loss="mse", batch_size=5, lr=1e-4, weight_decay=0.0, schedule="constant", augment=0.0
    ),
}

OUTPUTS = {
    "joints": Output(
        label="joints",
        losses={name: functools.partial(losses.JointLoss, norm=name) for name in ("euclidean", "mse", "l1")},
        metrics=(lambda n: metrics.MPJPE3D(joints=n), lambda n: metrics.PCK3D()),
        unflip=pose3d_scores.unflip_joints,
    )
}


def joints_in_graph(outputs: dict, decoder: None) -> dict:
    """{"joints": (B, T, J, 3)} metres."""
    return {"joints": outputs["joints"]}


def joint_rows(picture, names) -> list[list]:
    return [
        [picture.name, name, *(f"{value:.5f}" for value in joint)]
        for answer in picture.answers
        for name, joint in zip(names, answer["joints"], strict=True)
    ]


POSE3D = Task(
    archs={"conv_lstm": conv_lstm, "encoder_gru": encoder_gru, "lift": lift, "temporal": temporal},
    default="encoder_gru",
    outputs=OUTPUTS,
    main=("joints",),
    score=("mpjpe_mm", "min"),
    names="joints",
    recipes=RECIPES,
    example=Example(units=17, frames=(8,)),
    input=Input(geometric=augment.Geometric(zoom=0.1, rotation_deg=10.0, translate=0.05, flip=0.5)),
    evaluator=Evaluator(
        decode=pose3d_scores.decode_pose3d,
        score=pose3d_scores.pose3d_report,
        errors=pose3d_scores.pose3d_errors,
        extras=("subject", "action", "camera"),
        baselines=Baselines(pose3d_scores.mean_pose, label="joints"),
        collapsed=pose3d_scores.collapsed,
        units={"mpjve_mm": "mm a frame", "_mm": "mm"},
    ),
    figures=Figures(error="MPJPE {:.0f} mm".format, examples=figures.pose3d_figures, charts=figures.pose3d_charts),
    answers=Answers(
        graph=joints_in_graph,
        meanings={"joints": "metres from joint 0 in camera coordinates: x right, y down, z away"},
        writer=Results("joints.csv", joint_rows, overlays.draw_pose3d, ("file", "joint", "x", "y", "z")),
        limits=(
            "Joints are relative to the hip: where the person stands is not answered. "
            "One person, centred in the frames.",
            "The cameras it was trained on are few: other focal lengths and heights were not scored.",
        ),
        explained={"joints": numbers("xyz", "joints")},
    ),
)
