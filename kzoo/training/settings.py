"""From the flags that a user gives to the settings of a run: recipes, numbers of the training split, augmentation."""

import dataclasses

from kzoo import UserError, cli
from kzoo.data import builders, pipeline, statistics
from kzoo.tasks import TASKS
from kzoo.training import networks

GEOMETRIC_FLAGS = {"zoom": "zoom", "rotation": "rotation_deg", "translate": "translate", "crop": "crop", "flip": "flip"}


def without_default(dataset: str | None) -> str | None:
    """people for people/pictures: recipes know a data set's first configuration by the data set's name."""
    name, _, config = (dataset or "").partition("/")
    first = [c.name for c in builders.builder_class(name).BUILDER_CONFIGS][:1] if name in builders.DATASETS else []
    return name if [config] == first and name != "coco_subset" else dataset


def resolve(task, given) -> dict:
    """Flags of the run: the recipe of the data set, then the recipe of the arch on it, then what the user gave."""
    known = dict.fromkeys(
        name for name, _ in task.recipes if name
    )  # in the table's order: the first configuration is the task's own
    dataset = without_default(given["dataset"]) or next(
        (name for name, arch in task.recipes if name and arch == given["arch"]), next(iter(known))
    )
    if dataset not in known:
        dataset = next((name for name in known if name.startswith(f"{dataset}/")), dataset)
    recipe = task.recipe(dataset, given["arch"])
    resolved = {**given, "dataset": dataset, **{name: value for name, value in recipe.items() if given[name] is None}}
    for name in ("set", "loss_weights", "loss_set"):  # the user's assignments come on top of the recipe's
        own = cli.assignments(given[name], name)
        resolved[name] = [f"{k}={v}" for k, v in {**cli.assignments(recipe.get(name), name), **own}.items()]
    for name in networks.ENCODER_FLAGS:
        if name not in networks.hyperparameters_of(task.archs[given["arch"]]):
            if given[name] is not None:
                raise UserError(f"{given['arch']} is a network of its own: it takes no --{name}")
            resolved[name] = None
    for name in task.input.without:
        if given[name]:
            raise UserError(f"--{name} is not for --task={given['task']}")
    resolved["train_split"] = resolved["train_split"] or "train"
    resolved["val_split"] = resolved["val_split"] or ("val" if task.learning == "labels" else resolved["train_split"])
    missing = [name for name in ("size", "epochs", "batch_size", "lr") if resolved[name] is None]
    if missing:
        raise UserError(
            f"{given['task']} has no recipe for dataset {dataset!r} (it has {', '.join(sorted(known))}): give "
            f"--{missing[0]}"
        )
    border_of(resolved)  # its mistakes are told before a data set is made
    return resolved


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


def border_of(flag) -> tuple[float, float] | None:
    """Weight and sigma of --border."""
    if not flag["border"]:
        return None
    try:
        weight, sigma = map(float, flag["border"])
    except ValueError as error:
        raise UserError(
            f"--border={','.join(flag['border'])} must be a weight and a sigma in pixels, for instance 10,5"
        ) from error
    if not TASKS[flag["task"]].input.dense or weight < 0 or sigma <= 0:
        raise UserError(
            f"--border is for --task=seg, with a weight of 0 or more and a sigma above 0; got {weight:g},{sigma:g}"
        )
    return weight, sigma
