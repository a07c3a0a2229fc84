"""The zoo at a glance: a model names its outputs, a task is a table from output name to (label, losses, metrics)."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

from kzoo.data import augment
from kzoo.figures import cluster as cluster_figures
from kzoo.figures import loc as loc_figures
from kzoo.figures import pose as pose_figures
from kzoo.figures import pose3d as pose3d_figures
from kzoo.figures import seg as seg_figures
from kzoo.losses import base as loss_base
from kzoo.losses import cluster as cluster_losses
from kzoo.losses import loc as loc_losses
from kzoo.losses import pose as pose_losses
from kzoo.losses import pose3d as pose3d_losses
from kzoo.losses import seg as seg_losses
from kzoo.metrics import cluster_scores, loc_scores, pose3d_scores, pose_scores, seg_scores
from kzoo.metrics import loc as loc_metrics
from kzoo.metrics import pose as pose_metrics
from kzoo.metrics import pose3d as pose3d_metrics
from kzoo.metrics import seg as seg_metrics
from kzoo.models.compositional import compositional
from kzoo.models.conv_lstm import conv_lstm
from kzoo.models.cpm import cpm
from kzoo.models.dcec import dcec
from kzoo.models.dec import dec
from kzoo.models.deeplabv3 import deeplabv3
from kzoo.models.deeplabv3plus import deeplabv3plus
from kzoo.models.deeppose import deeppose
from kzoo.models.dual_input import dual_input
from kzoo.models.encdec import encdec
from kzoo.models.encoder_gru import encoder_gru
from kzoo.models.fcae import fcae
from kzoo.models.fcn import fcn
from kzoo.models.fcn8s import fcn8s
from kzoo.models.fcn16s import fcn16s
from kzoo.models.fcn32s import fcn32s
from kzoo.models.fpn import fpn
from kzoo.models.frrn_a import frrn_a
from kzoo.models.frrn_b import frrn_b
from kzoo.models.heatmap import heatmap
from kzoo.models.hourglass import hourglass
from kzoo.models.hourglass_attention import hourglass_attention
from kzoo.models.idec import idec
from kzoo.models.lift import lift
from kzoo.models.mapnet import mapnet
from kzoo.models.multitask import multitask
from kzoo.models.part_heatmap import part_heatmap
from kzoo.models.posenet import posenet
from kzoo.models.pyranet import pyranet
from kzoo.models.regression import regression
from kzoo.models.resnet34_unet import resnet34_unet
from kzoo.models.segnet import segnet
from kzoo.models.simple_baseline import simple_baseline
from kzoo.models.softargmax import softargmax
from kzoo.models.temporal import temporal
from kzoo.models.unet import unet
from kzoo.models.unet2015 import unet2015
from kzoo.nn import decoding
from kzoo.tasks import nearness
from kzoo.tasks import recipes as recipes_module
from kzoo.training import clustering


@dataclasses.dataclass(frozen=True)
class Output:
    """How one named model output is trained and scored."""

    label: str  # feature of the data set it is compared with
    losses: Mapping[
        str, Callable
    ]  # --loss name -> (**keywords of --loss_set) -> keras.losses.Loss; the first is the default
    metrics: tuple[Callable, ...] = ()  # factories n -> metric: a metric has state, so every compile gets new ones
    weight: float = 1.0  # --loss_weights=<output>=<number> overrides it
    # (answer for the mirrored picture, permutation) -> answer for the picture; None: not averaged, and dropped where
    # answers are
    unflip: Callable | None = decoding.unflip_maps
    activate: Callable = lambda outputs: outputs  # applied before answers are averaged
    follows: Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )  # keyword of the loss -> output whose weight it is
    trained_by: str = (
        ""  # the output whose loss trains this one too; where a network emits it, this one has no loss of its own
    )
    served: bool = True  # part of an export


@dataclasses.dataclass(frozen=True)
class Task:
    """Everything the trainer must know that a network does not."""

    archs: Mapping[str, Callable]  # --arch -> model function
    outputs: Mapping[str, Output]  # output name -> row
    main: tuple[str, ...]  # the outputs that can be scored; of those that a network emits, the first one is
    score: tuple[str, str]  # metric that picks the best epoch, and "min" or "max"
    # key of `builders.metadata_of` that names the units of the last axis; their number is the model's `num_outputs`
    names: str
    recipes: Mapping[
        tuple[str, str], Mapping
    ]  # (dataset or "", arch or "") -> default flags; all apply, the last one wins
    decode: Callable  # batch of outputs -> {name: small array}, the predictions below
    report: Callable  # (labels, predictions, extras, names) -> {"scores", "tables", "notes", …}: exact, NumPy
    errors: Callable  # (labels, predictions) -> (N,), small is good: picks the best, median and worst pictures
    figures: Callable  # (pictures, labels, outputs, titles, names) -> {file name: figure or animation}
    dense: bool = False  # answers each pixel: may be shown at any size, in tiles, scaled and cropped
    square: bool = False  # its labels are scored as fractions of a square
    charts: Callable = (
        lambda result, names, labels, predictions: {}
    )  # (content of report.json, …, of all examples) -> {file name: figure}
    baselines: Callable | None = (
        None  # (labels and features of the training set, of the scored one) -> {name: scores} without training
    )
    beside: tuple[str, ...] = ()  # outputs that `decode` reads with the main one, where a network emits them
    looks_for: Callable | None = None  # labels -> (outputs -> (B,) score), whose Grad-CAM++ is drawn
    terms: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict
    )  # layer of learned loss weights -> names of its numbers
    inside: Callable | None = (
        None  # (network, run folder, pictures, titles, names) -> {file name: figure} of what it is inside
    )
    train: Callable | None = None  # in place of `fit` by labels, see `clustering.train`
    without: tuple[str, ...] = ()  # flags of train.py that mean nothing here
    turns_only: bool = (
        False  # augmentation may roll the camera, and not move, scale or mirror the picture: no pose would go with that
    )
    middle_frame: bool = False  # of clips the answer is for the middle frame alone
    extras: tuple[str, ...] = ()  # features that `report` needs where the data set has them
    geometric: augment.Geometric = augment.Geometric()
    photometric: augment.Photometric = augment.Photometric()

    def main_of(self, outputs) -> str:
        """The scored one of a network's outputs."""
        return next(name for name in self.main if name in outputs)


COORDINATE_LOSSES = {name: functools.partial(pose_losses.CoordinateLoss, norm=name) for name in loss_base.NORMS}
HEATMAP_LOSSES = {"mse": pose_losses.HeatmapMSE}
JOINT_METRICS = (lambda n: pose_metrics.MPJPE(joints=n), lambda n: pose_metrics.PCK(threshold=0.1))

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
    outputs={
        "coords": Output(
            label="keypoints", losses=COORDINATE_LOSSES, metrics=JOINT_METRICS, unflip=decoding.unflip_coords
        ),
        "aux_coords": Output(label="keypoints", losses=COORDINATE_LOSSES, unflip=None),
        "heatmaps": Output(label="keypoints", losses=HEATMAP_LOSSES, metrics=JOINT_METRICS),
        "aux_heatmaps": Output(label="keypoints", losses=HEATMAP_LOSSES, unflip=None),
        "disc_logits": Output(
            label="keypoints",
            losses={"cross_entropy": pose_losses.DiscCrossEntropy},
            metrics=JOINT_METRICS,
            activate=decoding.sigmoid,
        ),
        "limb_heatmaps": Output(
            label="keypoints", losses={"mse": functools.partial(pose_losses.PartMSE, level="limbs")}, unflip=None
        ),
        "group_heatmaps": Output(
            label="keypoints", losses={"mse": functools.partial(pose_losses.PartMSE, level="groups")}, unflip=None
        ),
        "attention": Output(label="keypoints", losses={}, weight=0.0, unflip=None),  # for pictures
        "latent_heatmaps": Output(
            label="keypoints",
            losses={"js": pose_losses.HeatmapDivergence},
            weight=0.0,
            activate=decoding.spatial_softmax,
        ),
    },
    main=("coords", "heatmaps", "disc_logits"),
    score=("mpjpe", "min"),
    names="joints",
    square=True,
    extras=("image_id", "ann_id", "bbox", "area", "crop_to_image", "head_box"),
    recipes=recipes_module.POSE,
    decode=decoding.decode_pose,
    report=pose_scores.pose_report,
    errors=pose_scores.pose_errors,
    figures=pose_figures.pose_figures,
    geometric=augment.Geometric(zoom=0.25, rotation_deg=30.0, translate=0.05, flip=0.5),
)

SEG = Task(
    archs={
        "fcn": fcn,
        "encdec": encdec,
        "unet": unet,
        "fcn32s": fcn32s,
        "fcn16s": fcn16s,
        "fcn8s": fcn8s,
        "segnet": segnet,
        "unet2015": unet2015,
        "frrn_a": frrn_a,
        "frrn_b": frrn_b,
        "fpn": fpn,
        "deeplabv3": deeplabv3,
        "deeplabv3plus": deeplabv3plus,
        "resnet34_unet": resnet34_unet,
    },
    outputs={
        "logits": Output(
            label="mask",
            losses={
                "cross_entropy": seg_losses.PixelCrossEntropy,
                "cross_entropy_dice": lambda **k: seg_losses.PixelCrossEntropy(**{"dice": 1.0, **k}),
                "dice": lambda **k: seg_losses.PixelCrossEntropy(**{"cross_entropy": 0.0, "dice": 1.0, **k}),
                "bootstrapped": lambda **k: seg_losses.PixelCrossEntropy(**{"bootstrap": 0.25, **k}),
            },
            metrics=(lambda n: seg_metrics.MeanIoU(classes=n), lambda n: seg_metrics.PixelAccuracy()),
            activate=decoding.softmax,
        )
    },
    main=("logits",),
    dense=True,
    score=("miou", "max"),
    names="classes",
    extras=("image_id",),
    recipes=recipes_module.SEG,
    decode=decoding.decode_seg,
    report=seg_scores.seg_report,
    errors=seg_scores.seg_errors,
    figures=seg_figures.seg_figures,
    charts=seg_figures.seg_charts,
    geometric=augment.Geometric(zoom=0.4, rotation_deg=15.0, translate=0.1, flip=0.5),
)

POSE3D = Task(
    archs={"conv_lstm": conv_lstm, "encoder_gru": encoder_gru, "lift": lift, "temporal": temporal},
    outputs={
        "joints": Output(
            label="joints",
            losses={name: functools.partial(pose3d_losses.JointLoss, norm=name) for name in ("euclidean", "mse", "l1")},
            metrics=(lambda n: pose3d_metrics.MPJPE3D(joints=n), lambda n: pose3d_metrics.PCK3D()),
            unflip=pose3d_scores.unflip_joints,
        )
    },
    main=("joints",),
    score=("mpjpe_mm", "min"),
    names="joints",
    extras=("subject", "action", "camera"),
    recipes=recipes_module.POSE3D,
    decode=pose3d_scores.decode_pose3d,
    report=pose3d_scores.pose3d_report,
    errors=pose3d_scores.pose3d_errors,
    figures=pose3d_figures.pose3d_figures,
    charts=pose3d_figures.pose3d_charts,
    geometric=augment.Geometric(zoom=0.1, rotation_deg=10.0, translate=0.05, flip=0.5),
)

POSE_LOSSES = {
    name: functools.partial(loc_losses.PoseLoss, weighting=name) for name in ("geometric", "uncertainty", "none")
}
LOC = Task(
    archs={"posenet": posenet, "mapnet": mapnet, "dual_input": dual_input, "multitask": multitask},
    outputs={
        "position": Output(
            label="pose",
            losses={"euclidean": loc_losses.PositionLoss},
            metrics=(lambda n: loc_metrics.PositionError(),),
            unflip=None,
            trained_by="pose_terms",
        ),
        "rotation": Output(
            label="pose",
            losses={"euclidean": functools.partial(loc_losses.RotationLoss, nearest=True)},
            metrics=(lambda n: loc_metrics.RotationError(),),
            weight=500.0,  # beta
            unflip=None,
            trained_by="pose_terms",
        ),
        "aux_pose": Output(
            label="pose",
            losses={"euclidean": functools.partial(loc_losses.AuxPoseLoss, nearest=True)},
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
        "logits_terms": Output(
            label="mask", losses={"uncertainty": loc_losses.SemanticsLoss}, unflip=None, served=False
        ),
    },
    main=("position",),
    beside=("rotation", "logits"),
    score=("position_error", "min"),
    names="pose",
    terms={"pose_weights": loc_losses.TERMS, "semantics_weight": ("semantics",)},
    extras=("sequence", "frame", "mask"),
    recipes=recipes_module.LOC,
    decode=loc_scores.decode_loc,
    report=loc_scores.loc_report,
    errors=loc_scores.loc_errors,
    figures=loc_figures.loc_figures,
    charts=loc_figures.loc_charts,
    baselines=loc_scores.baselines,
    looks_for=nearness.nearness,
    turns_only=True,
    middle_frame=True,
    geometric=augment.Geometric(zoom=0.0, rotation_deg=10.0, translate=0.0, flip=0.0),
)

CLUSTER = Task(
    archs={"dec": dec, "idec": idec, "dcec": dcec, "fcae": fcae},
    outputs={
        "assignment": Output(
            label="label", losses={"kl": cluster_losses.ClusterKL}, weight=0.1, unflip=None
        ),  # gamma of IDEC and DCEC
        "reconstruction": Output(label="image", losses={"mse": cluster_losses.ReconstructionMSE}, unflip=None),
        "code": Output(label="label", losses={}, weight=0.0, unflip=None),
    },
    main=("assignment",),
    beside=("code",),
    score=("acc", "max"),
    names="labels",
    recipes=recipes_module.CLUSTER,
    decode=cluster_scores.decode_cluster,
    report=cluster_scores.cluster_report,
    errors=cluster_scores.cluster_errors,
    figures=lambda *_: {},
    charts=cluster_figures.cluster_charts,
    inside=cluster_figures.inside,
    train=clustering.train,
    without=(
        "augment",
        *("zoom", "rotation", "translate", "crop", "flip"),
        "color_pca",
        "ema",
        "l2",
        "find_lr",
        "lr_base_batch",
        "loss",
        "border",
        "cache",
    ),
)

TASKS: dict[str, Task] = {"pose": POSE, "seg": SEG, "pose3d": POSE3D, "loc": LOC, "cluster": CLUSTER}
