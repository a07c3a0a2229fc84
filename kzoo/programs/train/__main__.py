"""Train one architecture: flags -> task -> data -> model -> compile -> fit -> report.

python train.py --task=seg --arch=unet
python train.py --task=pose --arch=softargmax --dataset=coco_subset --data_source=<COCO folder or lab zip>
"""

import sys

from absl import flags

from kzoo import cli
from kzoo.datasets import registry
from kzoo.datasets.about import OFFICIAL
from kzoo.programs.train import phases, settling
from kzoo.training import catalogue, resolving

FLAGS = flags.FLAGS
SOURCED = [name for name in registry.NAMES if registry.about(name).source]
DOWNLOADABLE = [name for name in SOURCED if registry.about(name).downloadable]


def define_flags():
    """Defaults of None come from the task's recipe for the data set (kzoo/tasks/)."""
    flags.DEFINE_string("task", "seg", ", ".join(catalogue.tasks()))
    flags.DEFINE_string(
        "arch",
        None,
        "architecture of the task (default: "
        + ", ".join(f"{task.default} of {name}" for name, task in catalogue.tasks().items())
        + ")",
    )
    flags.DEFINE_string(
        "dataset",
        None,
        f"{', '.join(registry.NAMES)}, or one of their configurations, people/clips for instance (see python -m "
        "kzoo.list "
        "datasets); a name alone means the task's configuration (default: the built-in one of the task)",
    )
    cli.DEFINE_path("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
    cli.DEFINE_path(
        "data_source",
        None,
        f"raw data of {', '.join(SOURCED)}: the folder of your copy (for what must lie in it see "
        "datasets/*/README.md); "
        f"{OFFICIAL} downloads {', '.join(DOWNLOADABLE)}",
    )
    cli.DEFINE_max_pixels("max_pixels")
    flags.DEFINE_boolean(
        "refresh",
        False,
        "prepare the data set again, from the present state of its source; the old one stays till then",
    )
    flags.DEFINE_string(
        "train_split",
        None,
        "TFDS split to train on; slices like train[:100] are allowed (default: train, or the recipe's)",
    )
    flags.DEFINE_string("val_split", None, "TFDS split to validate on (default: val; cluster: the one trained on)")
    flags.DEFINE_string("encoder", None, "see kzoo/nn/encoders.py")
    cli.DEFINE_path("encoder_weights", None, "imagenet, none or a weights file")
    flags.DEFINE_string(
        "init",
        None,
        "kernel initialiser of everything without weights: he_normal, glorot_uniform, … (default: the network's)",
    )
    flags.DEFINE_enum(
        "norm", None, ["batch", "group", "none"], "normalisation inside the network (default: the network's)"
    )
    flags.DEFINE_float("bias", None, "where the values added before ReLUs start; small and positive keeps them alive")
    flags.DEFINE_float(
        "dropout", None, "share of features switched off (default: the network's)", lower_bound=0.0, upper_bound=0.99
    )
    flags.DEFINE_enum(
        "normalise",
        None,
        ["none", "mean", "zscore", "whiten"],
        "of the input, by statistics of the training split that are kept in the network (default: what the encoder was "
        "trained with)",
    )
    flags.DEFINE_multi_string("set", None, "hyperparameter of the architecture, --set=width=32; may be repeated")
    flags.DEFINE_string(
        "size", None, "of the input in pixels: the side of a square, or <height>x<width>; mostly multiples of 32"
    )
    flags.DEFINE_integer("batch_size", None, "examples a step", lower_bound=1, upper_bound=cli.LARGEST_BATCH)
    flags.DEFINE_integer("epochs", None, "passes over the training split", lower_bound=1, upper_bound=cli.LARGEST_COUNT)
    flags.DEFINE_float("lr", None, "peak learning rate", lower_bound=0.0)
    flags.DEFINE_integer(
        "lr_base_batch",
        None,
        "linear scaling: --lr is for this batch size, times --batch_size over it is used",
        lower_bound=1,
        upper_bound=cli.LARGEST_BATCH,
    )
    flags.DEFINE_boolean(
        "find_lr", False, "try rates from 1e-6 to 1 instead of training: lr_range.png and .json in the run folder"
    )
    flags.DEFINE_string("schedule", None, "constant, step, cosine, poly or plateau (a tenth when the score rests)")
    flags.DEFINE_list("milestones", [], "epochs after which --schedule=step divides the rate by 10")
    flags.DEFINE_integer(
        "patience",
        5,
        "epochs without a better score after which --schedule=plateau divides the rate by 10",
        lower_bound=1,
        upper_bound=cli.LARGEST_COUNT,
    )
    flags.DEFINE_float("warmup", None, "epochs of linear warm-up", lower_bound=0.0)
    flags.DEFINE_string("optimizer", None, "adam, sgd or rmsprop")
    flags.DEFINE_float("weight_decay", None, "decoupled weight decay", lower_bound=0.0)
    flags.DEFINE_float("l2", 0.0, "L2 penalty in the loss, of all kernels", lower_bound=0.0)
    flags.DEFINE_float(
        "ema",
        None,
        "score and keep the moving average of the weights, for instance 0.999",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_string(
        "loss",
        None,
        "of the scored output; coordinates: l1, l2, euclidean; heat maps: mse; pose3d: euclidean, mse, l1; loc: "
        "geometric, uncertainty, none; "
        "seg: cross_entropy, cross_entropy_dice, dice, bootstrapped (the hardest quarter of the pixels, or "
        "--loss_set=bootstrap=<number>)",
    )
    flags.DEFINE_multi_string("loss_set", None, "keyword of the loss, --loss_set=label_smoothing=0.1; may be repeated")
    flags.DEFINE_enum(
        "class_weights",
        None,
        ["none", "median_frequency"],
        "of seg losses, by the classes' frequency in the training split",
    )
    flags.DEFINE_list("border", None, "weight and sigma of U-Net's border map, 10,5 in the paper (seg)")
    flags.DEFINE_multi_string(
        "loss_weights", None, "weight of an output's loss, --loss_weights=latent_heatmaps=0.1; may be repeated"
    )
    flags.DEFINE_enum(
        "precision",
        "auto",
        ["auto", "float32", "mixed_bfloat16", "mixed_float16"],
        "auto: float32 on CPU, mixed elsewhere",
    )
    flags.DEFINE_enum(
        "jit", "auto", ["auto", "on", "off"], "XLA; auto: off on TensorFlow's CPU, where it is slower, on elsewhere"
    )
    flags.DEFINE_integer("seed", 0, "of weights, shuffle and augmentation", lower_bound=0, upper_bound=cli.LARGEST_SEED)
    flags.DEFINE_float(
        "augment", None, "strength of the random affine and colour jitter: 1 as in kzoo/tasks/, 0 none", lower_bound=0.0
    )
    flags.DEFINE_float(
        "zoom",
        None,
        "scale is drawn from 1 / (1 + zoom) to 1 + zoom (default of these five: kzoo/tasks/)",
        lower_bound=0.0,
    )
    flags.DEFINE_float("rotation", None, "degrees, to either side", lower_bound=0.0, upper_bound=180.0)
    flags.DEFINE_float("translate", None, "share of each side, to either side", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float(
        "crop", None, "share of each side that a window at a random place leaves out", lower_bound=0.0, upper_bound=0.9
    )
    flags.DEFINE_float("flip", None, "probability of mirroring", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float("color_pca", None, "sigma of Color PCA (Krizhevsky 2012): 0.1 in the paper", lower_bound=0.0)
    flags.DEFINE_enum("color_pca_of", "train", ["train", "imagenet"], "whose principal colours")
    flags.DEFINE_integer(
        "rounds",
        None,
        "cluster: updates of the target distribution, at most",
        lower_bound=0,
        upper_bound=cli.LARGEST_COUNT,
    )
    flags.DEFINE_integer(
        "update_interval", None, "cluster: steps between two of them", lower_bound=1, upper_bound=cli.LARGEST_COUNT
    )
    flags.DEFINE_float(
        "tol",
        None,
        "cluster: stop once fewer labels than this share change in a round",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_float(
        "cluster_lr",
        None,
        "cluster: learning rate of the rounds; --lr and --epochs are the auto-encoder's",
        lower_bound=0.0,
    )
    flags.DEFINE_boolean("cache", False, "keep the encoded records in memory")
    cli.DEFINE_path("out", None, "run folder (default: runs/<task>-<arch>-<dataset>-<time>)")
    flags.DEFINE_boolean(
        "resume",
        False,
        "continue the run in --out with the flags stored there; --epochs may extend it (cluster: --rounds)",
    )
    flags.DEFINE_boolean(
        "show", False, "print what would be trained, every flag resolved by the recipe, and start nothing"
    )


def main():
    own = {flag.name: flag for flag in FLAGS.get_key_flags_for_module(sys.modules[__name__])}
    shown = own.pop("show").value
    given = {name: flag.value for name, flag in own.items()}
    said = {name for name, flag in own.items() if flag.present}
    if shown:  # the line that trains the same without any recipe
        print(cli.command("train", *resolving.arguments(settling.settled(given, said))))
    else:
        phases.train(given, said)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
