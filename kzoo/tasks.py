"""The zoo at a glance: a model names its outputs, a task is a table from output name to (label, losses, metrics)."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

from kzoo import augment, decoding, figures, figures3d, losses, metrics, metrics3d, scores, scores3d
from kzoo.models.compositional import compositional
from kzoo.models.conv_lstm import conv_lstm
from kzoo.models.cpm import cpm
from kzoo.models.deeplabv3 import deeplabv3
from kzoo.models.deeplabv3plus import deeplabv3plus
from kzoo.models.deeppose import deeppose
from kzoo.models.encdec import encdec
from kzoo.models.encoder_gru import encoder_gru
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
from kzoo.models.lift import lift
from kzoo.models.part_heatmap import part_heatmap
from kzoo.models.pyranet import pyranet
from kzoo.models.regression import regression
from kzoo.models.resnet34_unet import resnet34_unet
from kzoo.models.segnet import segnet
from kzoo.models.simple_baseline import simple_baseline
from kzoo.models.softargmax import softargmax
from kzoo.models.temporal import temporal
from kzoo.models.unet import unet
from kzoo.models.unet2015 import unet2015


@dataclasses.dataclass(frozen=True)
class Output:
    """How one named model output is trained and scored."""

    label: str  # feature of the data set it is compared with
    losses: Mapping[str, Callable]  # --loss name -> (**keywords of --loss_set) -> keras.losses.Loss; the first is the default
    metrics: tuple[Callable, ...] = ()  # factories n -> metric: a metric has state, so every compile gets new ones
    weight: float = 1.0  # --loss_weights=<output>=<number> overrides it
    # (answer for the mirrored picture, permutation) -> answer for the picture; None: not averaged, and dropped where answers are
    unflip: Callable | None = decoding.unflip_maps
    activate: Callable = lambda outputs: outputs  # applied before answers are averaged


@dataclasses.dataclass(frozen=True)
class Task:
    """Everything the trainer must know that a network does not."""

    archs: Mapping[str, Callable]  # --arch -> model function
    outputs: Mapping[str, Output]  # output name -> row
    main: tuple[str, ...]  # the outputs that can be scored; of those that a network emits, the first one is
    score: tuple[str, str]  # metric that picks the best epoch, and "min" or "max"
    names: str  # key of the data set's metadata that names the units of the last axis; their number is the model's `num_outputs`
    recipes: Mapping[tuple[str, str], Mapping]  # (dataset, arch or "") -> default flags; both apply, the arch's wins
    decode: Callable  # batch of outputs -> {name: small array}, the predictions below
    report: Callable  # (labels, predictions, extras, names) -> {"scores", "tables", "notes", …}: exact, NumPy
    errors: Callable  # (labels, predictions) -> (N,), small is good: picks the best, median and worst pictures
    figures: Callable  # (pictures, labels, outputs, titles, names) -> {file name: figure or animation}
    dense: bool = False  # answers each pixel: may be shown at any size, in tiles, scaled and cropped
    square: bool = False  # its labels are scored as fractions of a square
    charts: Callable = lambda result, names: {}  # (content of report.json, names) -> {file name: figure}
    extras: tuple[str, ...] = ()  # features that `report` needs where the data set has them
    geometric: augment.Geometric = augment.Geometric()
    photometric: augment.Photometric = augment.Photometric()

    def main_of(self, outputs) -> str:
        """The scored one of a network's outputs."""
        return next(name for name in self.main if name in outputs)


COMMON = {"schedule": "cosine", "optimizer": "adam", "weight_decay": 1e-4}  # of every recipe

COORDINATE_LOSSES = {name: functools.partial(losses.CoordinateLoss, norm=name) for name in losses.NORMS}
HEATMAP_LOSSES = {"mse": losses.HeatmapMSE}
JOINT_METRICS = (lambda n: metrics.MPJPE(joints=n), lambda n: metrics.PCK(threshold=0.1))

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
        "coords": Output(label="keypoints", losses=COORDINATE_LOSSES, metrics=JOINT_METRICS, unflip=decoding.unflip_coords),
        "aux_coords": Output(label="keypoints", losses=COORDINATE_LOSSES, unflip=None),
        "heatmaps": Output(label="keypoints", losses=HEATMAP_LOSSES, metrics=JOINT_METRICS),
        "aux_heatmaps": Output(label="keypoints", losses=HEATMAP_LOSSES, unflip=None),
        "disc_logits": Output(
            label="keypoints", losses={"cross_entropy": losses.DiscCrossEntropy}, metrics=JOINT_METRICS, activate=decoding.sigmoid
        ),
        "limb_heatmaps": Output(label="keypoints", losses={"mse": functools.partial(losses.PartMSE, level="limbs")}, unflip=None),
        "group_heatmaps": Output(label="keypoints", losses={"mse": functools.partial(losses.PartMSE, level="groups")}, unflip=None),
        "attention": Output(label="keypoints", losses={}, weight=0.0, unflip=None),  # for pictures
        "latent_heatmaps": Output(
            label="keypoints", losses={"js": losses.HeatmapDivergence}, weight=0.0, activate=decoding.spatial_softmax
        ),
    },
    main=("coords", "heatmaps", "disc_logits"),
    score=("mpjpe", "min"),
    names="joints",
    square=True,
    extras=("image_id", "ann_id", "bbox", "area", "crop_to_image", "head_box"),
    recipes={
        ("people", ""): dict(
            COMMON, size=128, encoder="small", encoder_weights="none", epochs=10, batch_size=16, lr=2e-3, warmup=0.5, augment=0.4
        ),
        ("people", "regression"): dict(epochs=24),
        ("people", "softargmax"): dict(set=["widths=(64,64,64)", "skips=True"], loss_weights=["latent_heatmaps=0.5"]),
        ("people", "heatmap"): dict(set=["width=64"]),
        ("people", "simple_baseline"): dict(set=["widths=(64,64,64)"], loss_set=["sigma=1.5"]),
        ("people", "cpm"): dict(norm="batch", set=["width=12", "stages=3"], epochs=5, loss_set=["sigma=1"]),
        ("people", "deeppose"): dict(set=["sigma=1.0", "crop=32", "refine_widths=(16,32,64)", "refine_features=128"]),
        ("people", "part_heatmap"): dict(set=["variant='hourglass'", "width=8", "fc_width=128"], epochs=9, loss_set=["sigma=1.5"]),
        ("people", "hourglass"): dict(set=["stacks=2", "width=64"], epochs=8, loss_set=["sigma=1.5"]),
        ("people", "hourglass_attention"): dict(set=["stacks=2", "width=32", "depth=3"], epochs=6, loss_set=["sigma=1.5"]),
        ("people", "pyranet"): dict(set=["stacks=2", "width=48", "depth=3"], epochs=7, loss_set=["sigma=1.5"]),
        ("people", "compositional"): dict(set=["width=48", "depth=3"], epochs=8, loss_set=["sigma=1.5"]),
        ("coco_subset/pose", ""): dict(
            COMMON, size=256, encoder="resnet50", encoder_weights="imagenet", epochs=40, batch_size=32, lr=5e-4, warmup=1, augment=1.0
        ),
        ("coco_subset/pose", "softargmax"): dict(set=["skips=True"], loss_weights=["latent_heatmaps=0.5"]),
        ("coco_subset/pose", "part_heatmap"): dict(encoder="vgg16", loss_set=["sigma=5"]),  # the maps have the picture's size
    },
    decode=decoding.decode_pose,
    report=scores.pose_report,
    errors=scores.pose_errors,
    figures=figures.pose_figures,
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
                "cross_entropy": losses.PixelCrossEntropy,
                "cross_entropy_dice": lambda **k: losses.PixelCrossEntropy(**{"dice": 1.0, **k}),
                "dice": lambda **k: losses.PixelCrossEntropy(**{"cross_entropy": 0.0, "dice": 1.0, **k}),
                "bootstrapped": lambda **k: losses.PixelCrossEntropy(**{"bootstrap": 0.25, **k}),
            },
            metrics=(lambda n: metrics.MeanIoU(classes=n), lambda n: metrics.PixelAccuracy()),
            activate=decoding.softmax,
        )
    },
    main=("logits",),
    dense=True,
    score=("miou", "max"),
    names="classes",
    extras=("image_id",),
    recipes={
        ("people", ""): dict(
            COMMON,
            size=128,
            encoder="small",
            encoder_weights="none",
            epochs=4,
            batch_size=8,
            lr=2e-3,
            warmup=0.3,
            augment=0.2,
            loss="cross_entropy_dice",
        ),
        ("people", "fcn"): dict(size=256, epochs=3),  # one answer for 32x32 pixels: at 128 px there would be 4x4
        ("people", "encdec"): dict(set=["widths=(96,64,48)"], epochs=7),
        ("people", "unet"): dict(set=["widths=(96,64,48)"]),
        ("people", "fcn32s"): dict(size=256, epochs=2, norm="batch", set=["fc_width=256", "upsampling_trainable='all'"]),
        ("people", "fcn16s"): dict(size=256, norm="batch", epochs=3, set=["fc_width=256", "upsampling_trainable='all'"]),
        ("people", "fcn8s"): dict(norm="batch", set=["fc_width=256", "upsampling_trainable='all'"], epochs=5),
        ("people", "segnet"): dict(set=["width=16"], epochs=4),
        ("people", "unet2015"): dict(norm="batch", set=["width=16"], epochs=4),
        ("people", "frrn_a"): dict(size=96, set=["width=12", "lanes=8"], epochs=2),
        ("people", "frrn_b"): dict(size=96, set=["width=12", "lanes=8"], epochs=3),
        ("people", "fpn"): dict(set=["width=64", "branch_width=48"], epochs=4),
        ("people", "deeplabv3"): dict(set=["width=64", "output_stride=8", "rates=(1,2,3)"], epochs=5),
        ("people", "deeplabv3plus"): dict(set=["width=64", "low_width=24", "rates=(1,2,3)"], epochs=4),
        ("people", "resnet34_unet"): dict(encoder="resnet34", size=96, set=["widths=(96,64,48,32)"], epochs=2),
        **{
            (f"coco_subset/{config}", ""): dict(
                COMMON, size=256, encoder="resnet50", encoder_weights="imagenet", epochs=30, batch_size=16, lr=5e-4, warmup=1, augment=1.0
            )
            for config in ("seg", "things")
        },
        ("camvid", ""): dict(
            COMMON,
            size="384x512",
            encoder="resnet50",
            encoder_weights="imagenet",
            epochs=100,
            batch_size=8,
            lr=5e-4,
            warmup=2,
            augment=1.0,
            zoom=0.4,
            rotation=8.0,
            translate=0.0,
            loss="cross_entropy_dice",
        ),
    },
    decode=decoding.decode_seg,
    report=scores.seg_report,
    errors=scores.seg_errors,
    figures=figures.seg_figures,
    charts=figures.seg_charts,
    geometric=augment.Geometric(zoom=0.4, rotation_deg=15.0, translate=0.1, flip=0.5),
)

POSE3D = Task(
    archs={"conv_lstm": conv_lstm, "encoder_gru": encoder_gru, "lift": lift, "temporal": temporal},
    outputs={
        "joints": Output(
            label="joints",
            losses={name: functools.partial(losses.JointLoss, norm=name) for name in ("euclidean", "mse", "l1")},
            metrics=(lambda n: metrics3d.MPJPE3D(joints=n), lambda n: metrics3d.PCK3D()),
            unflip=scores3d.unflip_joints,
        )
    },
    main=("joints",),
    score=("mpjpe_mm", "min"),
    names="joints",
    extras=("subject", "action", "camera"),
    recipes={
        ("people/clips", ""): dict(
            COMMON, size=96, encoder="small", encoder_weights="none", epochs=10, batch_size=16, lr=1e-3, warmup=0.5, augment=0.0
        ),
        ("people/clips", "conv_lstm"): dict(loss="mse"),
        ("human36m", ""): dict(
            COMMON, size=224, encoder="resnet50", encoder_weights="imagenet", epochs=30, batch_size=16, lr=1e-3, warmup=0.5, augment=1.0
        ),
        # the report's: 5 clips a step, Adam, 1e-4
        ("human36m", "conv_lstm"): dict(loss="mse", batch_size=5, lr=1e-4, weight_decay=0.0, schedule="constant", augment=0.0),
    },
    decode=scores3d.decode_pose3d,
    report=scores3d.pose3d_report,
    errors=scores3d.pose3d_errors,
    figures=figures3d.pose3d_figures,
    charts=figures3d.pose3d_charts,
    geometric=augment.Geometric(zoom=0.1, rotation_deg=10.0, translate=0.05, flip=0.5),
)

TASKS: dict[str, Task] = {"pose": POSE, "seg": SEG, "pose3d": POSE3D}
