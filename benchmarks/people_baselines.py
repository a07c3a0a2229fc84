"""What needs no network on the data set `people`: scores that a model must leave far behind.

    python benchmarks/people_baselines.py

Pose: every joint at its mean place over `train`; ridge regression from the picture averaged to 16 x 16 RGB pixels.
Segmentation: all background; one 9 x 9 convolution with softmax, trained by Adam on Dice and on cross-entropy in which
a part's pixel weighs as much as four of the background (else it answers background everywhere). MPJPE in pixels of a
256-pixel picture over the joints with v > 0, mIoU over the seven classes, both on `val`. Also the other way round: the
mIoU of the truth itself, put through maps of a few cells and back by bilinear interpolation, which is what a network
without a decoder could reach. One minute on two cores, once the data set is drawn.
"""

import pathlib
import sys

import numpy as np
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
flags.DEFINE_integer("epochs", 2, "of the convolution", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of the convolution's weights and of the shuffle", lower_bound=0)
CELLS = (4, 8, 12, 16, 32)  # stride 32 at 128, 256, 384 and 512 px, and stride 4 at 128 px
PENALTIES = (1.0, 10.0, 100.0, 1000.0)  # of the ridge regression; the best on `val` is reported, which favours it


def arrays(builder, split: str) -> dict:
    """image (N, 128, 128, 3) uint8, keypoints (N, 17, 3) float32 and mask (N, 128, 128) uint8 of a split."""
    import tensorflow_datasets as tfds

    examples = list(tfds.as_numpy(builder.as_dataset(split=split)))
    stacked = {}
    for name in ("image", "keypoints", "mask"):
        stacked[name] = np.stack([example[name] for example in examples])
    stacked["mask"] = stacked["mask"][..., 0]
    return stacked


def mpjpe(keypoints, coords) -> float:
    """Mean distance over the labelled joints, in pixels of a 256-pixel picture."""
    return 256 * np.linalg.norm(keypoints[..., :2] - coords, axis=-1)[keypoints[..., 2] > 0].mean()


def mean_pose(train):
    """(17, 2): each joint's mean place where it is labelled."""
    labelled = train["keypoints"][..., 2:] > 0
    return (train["keypoints"][..., :2] * labelled).sum(0) / labelled.sum(0)


def thumbnails(images, side: int = 16):
    """(N, side * side * 3 + 1) float64: pictures averaged to side x side pixels around 0, and a column of ones."""
    count = len(images)
    size = images.shape[1] // side
    small = images.reshape(count, side, size, side, size, 3).mean((2, 4)).reshape(count, -1) / 255 - 0.5
    return np.concatenate([small, np.ones((count, 1))], axis=1)


def linear_pose(train, val, penalty: float):
    """(N, 17, 2): ridge regression per joint, on the pictures where it is labelled."""
    inputs = thumbnails(train["image"])
    outputs = thumbnails(val["image"])
    ridge = penalty * np.diag([1.0] * (inputs.shape[1] - 1) + [0.0])
    answers = []
    for joint in range(train["keypoints"].shape[1]):
        use = train["keypoints"][:, joint, 2] > 0
        x, y = inputs[use], train["keypoints"][use, joint, :2]
        answers.append(outputs @ np.linalg.solve(x.T @ x + ridge, x.T @ y))
    return np.stack(answers, axis=1)


def one_layer_miou(train, val, classes: int, epochs: int, seed: int) -> float:
    """mIoU on `val` of one 9 x 9 convolution."""
    import keras

    from kzoo.losses import seg as seg_losses
    from kzoo.metrics import seg as seg_metrics

    keras.utils.set_random_seed(seed)
    image = keras.Input(train["image"].shape[1:], dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32")(image)
    model = keras.Model(image, keras.layers.Conv2D(classes, 9, padding="same")(scaled))
    loss = seg_losses.PixelCrossEntropy(dice=1.0, class_weights=(1.0, *[4.0] * (classes - 1)))
    model.compile(keras.optimizers.Adam(3e-3), loss=loss, metrics=[seg_metrics.MeanIoU(classes)], jit_compile=False)
    model.fit(train["image"], train["mask"], batch_size=8, epochs=epochs, verbose=0)
    return model.evaluate(val["image"], val["mask"], batch_size=8, verbose=0, return_dict=True)["miou"]


def coarse_miou(masks, classes: int, cells: int) -> float:
    """mIoU of the least-squares approximation of one-hot masks (N, H, H) by cells x cells maps, enlarged bilinearly."""
    from kzoo.metrics import seg_scores

    side = masks.shape[1]
    place = np.clip((np.arange(side) + 0.5) * cells / side - 0.5, 0, cells - 1)
    enlarge = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells)))  # (H, cells)
    project = enlarge @ np.linalg.pinv(enlarge)
    matrix = np.zeros((classes, classes), "int64")
    for mask in masks:
        answer = np.einsum("yi,ijc,xj->yxc", project, np.eye(classes)[mask], project, optimize=True).argmax(-1)
        matrix += seg_scores.confusion_matrix(mask, answer, classes)
    return float(np.nanmean(seg_scores.iou_per_class(matrix)))


def main():
    from kzoo.data import builders

    builder = builders.prepare("people", FLAGS.data_dir)
    classes = len(builder.info.metadata["classes"])
    train, val = arrays(builder, "train"), arrays(builder, "val")
    print(f"mean pose        MPJPE {mpjpe(val['keypoints'], mean_pose(train)):.1f} px", flush=True)
    error, penalty = min((mpjpe(val["keypoints"], linear_pose(train, val, penalty)), penalty) for penalty in PENALTIES)
    print(f"linear           MPJPE {error:.1f} px (ridge {penalty:g})", flush=True)
    print(f"all background   mIoU {(val['mask'] == 0).mean() / classes:.3f}", flush=True)
    for cells in CELLS:
        print(
            f"{cells:2d} x {cells:2d} cells    mIoU {coarse_miou(val['mask'][:100], classes, cells):.3f} at most",
            flush=True,
        )
    print(f"one convolution  mIoU {one_layer_miou(train, val, classes, FLAGS.epochs, FLAGS.seed):.3f}", flush=True)


if __name__ == "__main__":
    try:
        from kzoo import cli
    except ImportError:  # not installed: the package next to this folder
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
        from kzoo import cli

    cli.run(main)
