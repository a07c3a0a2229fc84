"""From the flags of a run to its settings: numbers of the training split, augmentation. Recipes: `resolving`."""

import dataclasses

from kzoo import UserError, cli
from kzoo.data import builders, pipeline, statistics
from kzoo.tasks import TASKS
from kzoo.training import networks

GEOMETRIC_FLAGS = {"zoom": "zoom", "rotation": "rotation_deg", "translate": "translate", "crop": "crop", "flip": "flip"}


def fit_keywords(builder, flag, task) -> dict:
    """Keywords of the network that are numbers of the training split, where the network has them and the user gave
    none."""
    keywords = set(networks.hyperparameters_of(task.archs[flag["arch"]])) - set(cli.assignments(flag["set"], "set"))
    split, fitted = flag["train_split"], {}
    if {"low", "high"} <= keywords:
        fitted |= statistics.fit_bounds(pipeline.values(builder, split, "joints"))
    if {"centre", "spread"} <= keywords:
        fitted |= statistics.fit_places(pipeline.values(builder, split, "position"))
    if "channels" in keywords and "image" in builder.info.features:
        fitted["channels"] = builder.info.features["image"].shape[-1]
    if "classes" in keywords:
        fitted["classes"] = len(builders.classes_of(builder))
    return fitted


def fit_statistics(builder, flag, classes: int) -> tuple:
    """Colours (`kzoo.data.statistics.ColourStatistics`) and class weights (list) of the training split, each None where
    no flag asks for it."""
    colours = weights = None
    if flag["normalise"] or (flag["color_pca"] and flag["color_pca_of"] == "train"):
        colours = statistics.fit_colours(image for image, _ in pipeline.pictures(builder, flag["train_split"]))
    if flag["class_weights"] == "median_frequency":
        if not TASKS[flag["task"]].input.dense:
            raise UserError(f"--class_weights is for --task=seg, got --task={flag['task']}")
        masks = (mask for _, mask in pipeline.pictures(builder, flag["train_split"]))
        weights = statistics.median_frequency(*statistics.fit_classes(masks, classes)).round(4).tolist()
    return colours, weights


def augmented_view(plain, task, flag, colours):
    """The `View` of training: the task's ranges times --augment, single ranges by their own flags, Color PCA."""
    if not flag["augment"]:
        return plain
    own = {field: flag[name] for name, field in GEOMETRIC_FLAGS.items() if flag[name] is not None}
    moving = [name for name in GEOMETRIC_FLAGS if name != "rotation" and flag[name]]
    if task.input.turns_only and moving:
        raise UserError(
            f"--{moving[0]}={flag[moving[0]]:g}: no camera pose of --task={flag['task']} goes with such a picture; use "
            "--rotation"
        )
    pca = {"pca": flag["color_pca"]} if flag["color_pca"] else {}
    if pca and flag["color_pca_of"] == "train":
        pca["colours"] = colours
    return dataclasses.replace(
        plain,
        geometric=dataclasses.replace(task.input.geometric.scaled(flag["augment"]), **own),
        photometric=dataclasses.replace(task.input.photometric.scaled(flag["augment"]), **pca),
    )
