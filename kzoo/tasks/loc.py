"""Localisation: where in a known place the camera stands, and how it is turned."""

import functools

import numpy as np
from keras import ops

from kzoo.data import augment
from kzoo.figures import loc as figures
from kzoo.figures import overlays
from kzoo.losses import loc as losses
from kzoo.losses import seg as seg_losses
from kzoo.metrics import loc as metrics
from kzoo.metrics import loc_scores
from kzoo.metrics import seg as seg_metrics
from kzoo.models.dual_input import dual_input
from kzoo.models.mapnet import mapnet
from kzoo.models.multitask import multitask
from kzoo.models.posenet import posenet
from kzoo.nn import camera_heads, decoding, graph_decoders
from kzoo.tasks.base import COMMON, Answers, Baselines, Evaluator, Example, Figures, Input, Output, Results, Task
from kzoo.tasks.explained import Explained, numbers, pixels

ROOM = dict(
    COMMON,
    size="96x128",
    encoder="small",
    encoder_weights="none",
    batch_size=8,
    lr=1e-3,
    warmup=0.5,
    set=["features=256", "pool=flatten", "dropout=0.2"],
)
SCENE = dict(
    COMMON, encoder="resnet34", encoder_weights="none", epochs=300, batch_size=20, lr=1e-4, warmup=1, augment=1.0
)
RECIPES = {
    ("room", ""): dict(ROOM, epochs=10, augment=0.6),
    ("room", "posenet"): dict(loss_weights=["rotation=3"]),
    ("room", "multitask"): dict(
        loss="uncertainty", set=[*ROOM["set"], "widths=(64,48,32)", "initial_weights=(-1.5,-2,0,0)"]
    ),
    ("room/labelled", "dual_input"): dict(set=[*ROOM["set"], "initial_weights=(-2,-3,0,0)"]),
    ("room/labelled", ""): dict(ROOM, epochs=10, augment=0.6),
    ("room/windows", "mapnet"): dict(set=[*ROOM["set"], "initial_weights=(-2,-3,-2,-3)"]),
    ("room/windows", ""): dict(ROOM, epochs=8, augment=0.6),
    ("seven_scenes", ""): dict(SCENE, size="224x320"),
    ("seven_scenes/windows", ""): dict(SCENE, size="224x320"),
    ("deeploc", ""): dict(SCENE, size="256x480"),
    ("deeploc/windows", ""): dict(SCENE, size="256x480"),
    ("deeploc", "multitask"): dict(loss="uncertainty"),
}

POSE_LOSSES = {
    name: functools.partial(losses.PoseLoss, weighting=name) for name in ("geometric", "uncertainty", "none")
}
OUTPUTS = {
    "position": Output(
        label="pose",
        losses={"euclidean": losses.PositionLoss},
        metrics=(lambda n: metrics.PositionError(),),
        unflip=None,
        trained_by="pose_terms",
    ),
    "rotation": Output(
        label="pose",
        losses={"euclidean": functools.partial(losses.RotationLoss, nearest=True)},
        metrics=(lambda n: metrics.RotationError(),),
        weight=500.0,  # beta
        unflip=None,
        trained_by="pose_terms",
    ),
    "aux_pose": Output(
        label="pose",
        losses={"euclidean": functools.partial(losses.AuxPoseLoss, nearest=True)},
        follows={"beta": "rotation"},
        weight=0.3,
        unflip=None,
        served=False,
    ),
    "pose_terms": Output(label="pose", losses=POSE_LOSSES, unflip=None, served=False),
    "logits": Output(
        label="mask",
        losses={"cross_entropy": seg_losses.PixelCrossEntropy},
        metrics=(lambda n: seg_metrics.PixelAccuracy(),),
        unflip=None,
        activate=decoding.softmax,
        trained_by="logits_terms",
    ),
    "logits_terms": Output(label="mask", losses={"uncertainty": losses.SemanticsLoss}, unflip=None, served=False),
}


def nearness(labels):
    """Score of localisation, (B,): minus the distance of the camera's centre to the truth in metres.

    Its attention is on what draws the answer towards the truth.

    Args:
        labels: (B, 7) or (B, T, 7) poses; of windows the middle frame counts.
    """
    truth = loc_scores.middle_frame(labels)[:, :3].astype("float32")

    def score(outputs):
        position = outputs["position"]
        position = position if len(position.shape) == 2 else position[:, position.shape[1] // 2]
        squares = ops.square(position - ops.convert_to_tensor(truth))
        return -ops.sqrt(ops.sum(squares, axis=-1) + 1e-12)  # the root's slope at 0 is infinite

    return score


def camera_in_graph(outputs: dict, decoder: None) -> dict:
    """As `loc_scores.decode_loc`: {"position": (B, 3), "rotation": (B, 4)}, and {"classes": (B, H, W) uint8} where
    there are logits."""
    position, rotation = (
        x if len(x.shape) == 2 else x[:, x.shape[1] // 2] for x in (outputs["position"], outputs["rotation"])
    )
    length = ops.sqrt(ops.sum(ops.square(rotation), axis=-1, keepdims=True))
    unit = ops.where(length < 1e-6, np.array([1, 0, 0, 0], "float32"), rotation / ops.maximum(length, 1e-6))
    answers = {"position": position, "rotation": ops.where(unit[..., :1] < 0, -unit, unit)}
    if "logits" in outputs:
        answers["classes"] = ops.cast(graph_decoders.first_highest(outputs["logits"]), "uint8")
    return answers


def camera_rows(picture, _) -> list[list]:
    return [
        [picture.name, *(f"{value:.6f}" for name in ("position", "rotation") for value in answer[name])]
        for answer in picture.answers
    ]


LOC = Task(
    archs={"posenet": posenet, "mapnet": mapnet, "dual_input": dual_input, "multitask": multitask},
    default="posenet",
    outputs=OUTPUTS,
    main=("position",),
    score=("position_error", "min"),
    names="pose",
    recipes=RECIPES,
    example=Example(units=7, frames_of={"mapnet": (3,)}),
    terms={"pose_weights": camera_heads.TERMS, "semantics_weight": ("semantics",)},
    input=Input(
        geometric=augment.Geometric(zoom=0.0, rotation_deg=10.0, translate=0.0, flip=0.0),
        turns_only=True,
        middle_frame=True,
    ),
    evaluator=Evaluator(
        decode=loc_scores.decode_loc,
        score=loc_scores.loc_report,
        errors=loc_scores.loc_errors,
        extras=("sequence", "frame", "mask"),
        beside=("rotation", "logits"),
        baselines=Baselines(loc_scores.baselines, retrieval=True),
        collapsed=loc_scores.collapsed,
        units={"_m": "m", "_deg": "degrees"},
    ),
    figures=Figures(
        error="{:.2f} m".format, examples=figures.loc_figures, charts=figures.loc_charts, looks_for=nearness
    ),
    answers=Answers(
        graph=camera_in_graph,
        meanings={
            "position": "the camera's centre in metres; of a window that of its middle frame",
            "rotation": "the camera's unit quaternion w, x, y, z with w >= 0, camera to world",
            "classes": "class of each pixel, its place in `names`",
        },
        writer=Results("poses.csv", camera_rows, overlays.draw_loc, ("file", "x", "y", "z", "qw", "qx", "qy", "qz")),
        limits=(
            "It knows the one place it was trained in. A picture of another place gets a pose as well, "
            "and nothing warns.",
            "What has moved since the training pictures were taken, furniture or the season, was not scored.",
        ),
        explained={"logits": Explained(pixels, "classes"), "position": numbers("xyz"), "rotation": numbers("wxyz")},
        named=False,  # the parts of a pose, beside whose classes they would mislead
    ),
)
