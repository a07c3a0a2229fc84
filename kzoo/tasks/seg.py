"""Semantic segmentation: the class of each pixel."""

from keras import ops

from kzoo.data import augment
from kzoo.figures import overlays
from kzoo.figures import seg as figures
from kzoo.losses import seg as losses
from kzoo.metrics import seg as metrics
from kzoo.metrics import seg_scores
from kzoo.models.deeplabv3 import deeplabv3
from kzoo.models.deeplabv3plus import deeplabv3plus
from kzoo.models.encdec import encdec
from kzoo.models.fcn import fcn
from kzoo.models.fcn8s import fcn8s
from kzoo.models.fcn16s import fcn16s
from kzoo.models.fcn32s import fcn32s
from kzoo.models.fpn import fpn
from kzoo.models.frrn_a import frrn_a
from kzoo.models.frrn_b import frrn_b
from kzoo.models.resnet34_unet import resnet34_unet
from kzoo.models.segnet import segnet
from kzoo.models.unet import unet
from kzoo.models.unet2015 import unet2015
from kzoo.nn import decoding, graph_decoders
from kzoo.tasks.base import COMMON, MASKS, Answers, Baselines, Evaluator, Example, Figures, Input, Output, Results, Task
from kzoo.tasks.explained import Explained, pixels

COCO = dict(
    COMMON,
    size=256,
    encoder="resnet50",
    encoder_weights="imagenet",
    epochs=30,
    batch_size=16,
    lr=5e-4,
    warmup=1,
    augment=1.0,
)
RECIPES = {
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
    ("coco_subset/seg", ""): COCO,
    ("coco_subset/things", ""): COCO,
    ("room", ""): dict(
        COMMON,
        size="96x128",
        encoder="small",
        encoder_weights="none",
        epochs=8,
        batch_size=8,
        lr=2e-3,
        warmup=0.3,
        loss="cross_entropy_dice",
        augment=0.2,
    ),
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
}

OUTPUTS = {
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
}


def classes_in_graph(outputs: dict, decoder: None) -> dict:
    """{"classes": (B, H, W) uint8}."""
    return {"classes": ops.cast(graph_decoders.first_highest(outputs["logits"]), "uint8")}


def mask_rows(picture, _) -> list[list]:
    return [[picture.name, f"{MASKS}/{picture.stem}.png"]]


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
    default="unet",
    outputs=OUTPUTS,
    main=("logits",),
    score=("miou", "max"),
    names="classes",
    recipes=RECIPES,
    example=Example(units=7),
    input=Input(geometric=augment.Geometric(zoom=0.4, rotation_deg=15.0, translate=0.1, flip=0.5), dense=True),
    evaluator=Evaluator(
        decode=decoding.decode_seg,
        score=seg_scores.seg_report,
        errors=seg_scores.seg_errors,
        extras=("image_id",),
        baselines=Baselines(seg_scores.one_class),
        collapsed=seg_scores.collapsed,
    ),
    figures=Figures(
        error=lambda error: f"mIoU {1 - error:.2f}", examples=figures.seg_figures, charts=figures.seg_charts
    ),
    answers=Answers(
        graph=classes_in_graph,
        meanings={"classes": "class of each pixel, its place in `names`"},
        writer=Results("masks.csv", mask_rows, overlays.draw_seg, ("file", "mask"), masks=True),
        limits=(
            "Every pixel gets one of the classes above, whatever it shows; "
            "nothing marks what the network has never seen.",
        ),
        explained={"logits": Explained(pixels, "classes")},
    ),
)
