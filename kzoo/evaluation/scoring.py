"""Scoring a trained run: what `eval.py` does, and `train.py` at its end."""

import pathlib
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, cli, files, runs
from kzoo.data import builders, statistics, transforms
from kzoo.data import pipeline as input_pipeline
from kzoo.evaluation import model_card, report, retrieval
from kzoo.figures import attention
from kzoo.figures import base as figures
from kzoo.figures import cluster as cluster_figures
from kzoo.figures import pose as pose_figures
from kzoo.figures import pose3d as pose3d_figures
from kzoo.inference import grad_cam, predictors
from kzoo.nn import decoding, feature_maps
from kzoo.tasks import Task
from kzoo.training import cluster_state
from kzoo.training.networks import reads

SAVERS = {".png": figures.save, ".gif": pose3d_figures.save_animation}
COLOUR_VARIANTS = 4  # colours that --tta=color_pca shows


def evaluate(
    folder,
    *,
    split: str | None,
    size: str | None = None,
    tta: str = "none",
    decoder: str | None = None,
    tile: str | None = None,
    overlap: int | None = None,
    pictures: int = 0,
    export: tuple[str, ...] = (),
    export_raw: bool = False,
    export_examples: int = 64,
    batch_size: int = 32,
    data_dir: str | None = None,
    out=None,
) -> dict:
    """Score the best network of a run on a split and write `report.json`, `report.md` and `pictures/`.

    Args:
        folder: run folder; out: where to write (default: there); split: of its data set; size: as --size (both by
        default the run's);
        tta: of `predictors.MIRRORED_TTA` or `kzoo.inference.tta.TTA`; decoder: see `predictors.decoders_of`; tile: as
        --size, put the answers together from tiles; overlap: of the tiles in pixels (default: half of the shorter side
        of a tile);
        pictures: how many examples to draw; export: keys of `kzoo.export.formats.EXPORTS`, written to `folder`;
        export_raw: with the network's outputs as they are, see `kzoo.export.exporting.export`; export_examples: of
        the split, that exports are scored on; data_dir: of prepared data sets (default: the run's).
    Returns:
        the content of `report.json`.
    """
    started, folder = time.time(), pathlib.Path(folder)
    run = runs.describe(folder)
    task, out, split = runs.task_of(run), pathlib.Path(out or folder), split or run["flags"].get("val_split") or "val"
    if decoder not in (None, "all", decoding.OWN):
        cli.pick(decoding.DECODERS, decoder, "decoder")  # before anything slow
    shape = cli.shape_of(size or run["flags"]["size"])
    if task.square and shape[0] != shape[1]:
        raise UserError(f"--size={size}: {run['flags']['task']} works on square crops")
    if tile and not task.dense:
        raise UserError(f"--tile is for networks that answer each pixel, not for {run['flags']['task']}")
    if tile and overlap is None:
        overlap = min(cli.shape_of(tile)) // 2
    for form in export:
        cli.pick(exporting().formats.EXPORTS, form, "export")
        exporting().formats.check_backend()
    at = (predictors.rounded(shape) if task.dense else shape) if size else None
    if export and at not in (None, shape):
        raise UserError(f"--export={','.join(export)} needs a --size of multiples of {predictors.STRIDE}, got {size}")
    model = runs.load_model(folder, at)
    decoders = predictors.decoders_of(model, decoder)
    builder = builders.prepare(run["flags"]["dataset"], data_dir or run["flags"]["data_dir"])
    check_same_data(run, builders.describe(builder))
    if task.dense:
        predictor = dense_predictor(folder, run, task, builder, shape, model, tta=tta, tile=tile, overlap=overlap)
    else:
        predictor = predictors.Mirrored(task, model, builders.metadata_of(builder), tta=tta, decoders=decoders)
    pipeline = batches(task, builder, split, shape, 1 if tile else batch_size, reads(model))
    labels, answers, extras = predict_all(predictor, pipeline, builders.size_of(builder, split))
    extras = builders.named(builder, extras)
    predictions = next(iter(answers.values()))
    result = {
        **task.report(labels, predictions, extras, run["names"]),
        "run": folder.name,
        "split": split,
        "tta": tta,
        **({"tile": tile, "overlap": overlap} if tile else {}),
        "crop": size or run["flags"]["size"],
        **({"decoder": decoders[0]} if decoders[0] else {}),
        "examples": len(labels),
        "flags": run["flags"],
        "parameters": run["parameters"],
        "dataset": run["dataset"]["name"],
        "fingerprint": run["dataset"]["fingerprint"],
    }
    if (folder / cluster_state.RESULT).exists():
        result |= as_trained(folder, run["flags"], split)
    if task.baselines:
        result |= without_training(task, builder, run["flags"], split, shape, batch_size)
    if decoder == "all":
        result["decoders"] = {
            name: task.report(labels, found, extras, run["names"])["scores"] for name, found in answers.items()
        }
    if task.dense and tta == "all":
        scores = {name: task.report(labels, found, extras, run["names"])["scores"] for name, found in answers.items()}
        result["gains"] = {name: {"passes": passes, **scores[name]} for name, passes in predictor.passes.items()}
    if export:
        inputs, truth, more = first(pipeline, export_examples)
        examples = inputs, truth["label"], builders.named(builder, more)
        result["export"], result["export_failed"] = exporting().export(
            runs.Run.open(folder), export, shape=at, decoder=decoders[0], examples=examples, raw=export_raw
        )
    result["seconds"] = round(time.time() - started, 1)
    report.write(out, result)
    files.write_text(out / "README.md", model_card.card(run, result))
    if pictures:
        shown, source = pipeline, transforms.source_of(builder.info.features)
        if reads(model) != (source,):
            shown = batches(task, builder, split, shape, batch_size, (source,))
        known = {name: extras[name] for name in ("mask", "class_names") if name in extras}
        draw(
            task,
            predictor,
            pipeline,
            shown,
            labels,
            predictions,
            known,
            run["names"],
            pictures,
            out / "pictures",
            result,
            folder,
        )
    _save(task.charts(result, run["names"], labels, predictions), out / "pictures")
    return result


def first(pipeline, count: int) -> tuple:
    """Inputs, labels and extras of the first `count` examples."""
    batches, found = [], 0
    for batch in pipeline.as_numpy_iterator():
        batches.append(batch)
        found += len(batch[1]["label"])
        if found >= count:
            break
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:count], *batches)


def exporting():
    from kzoo.export import exporting  # loads TensorFlow, which other backends do without

    return exporting


def _save(drawn: dict, folder):
    for name, figure in drawn.items():
        SAVERS[pathlib.Path(name).suffix](figure, folder / name)


def check_same_data(run: dict, found: dict):
    """A score on other data than the run's is a mistake worth stopping for."""
    if found["name"] != run["dataset"]["name"] or found["splits"] != run["dataset"]["splits"]:
        raise UserError(
            f"the run saw {run['dataset']['name']} {run['dataset']['splits']}, --data_dir holds {found['name']} {found['splits']}"
        )


def batches(task: Task, builder, split: str, shape: tuple[int, int], batch_size: int, features: tuple[str, ...]):
    """The split in order: (what a network reads, {"label": (B, …)}, extras); labels are -1 where they are optional and
    there are none."""
    label = task.outputs[task.main[0]].label
    if label in builders.LABELS:
        label = builders.label_of(builder)
    found = builder.info.features
    number = next(name for name in ("image_id", "frame", "clip_id", label) if name in found)
    extras = tuple(name for name in task.extras if name in found) or (number,)
    view = transforms.View(shape, {"label": label} if label else {}, extras=extras, reads=features)
    batches = input_pipeline.pipeline(builder, split, view, batch_size=batch_size)
    return batches if label else batches.map(input_pipeline.without_label)


def as_trained(folder, flags: dict, split: str) -> dict:
    """{"stopped": why a clustering ended, "baselines": scores of what was there before it, if the split is the one it
    was for}."""
    found = files.read_json(folder / cluster_state.RESULT)
    return {"stopped": found["stopped"], **({"baselines": found["baselines"]} if split == flags["train_split"] else {})}


def without_training(task: Task, builder, flags: dict, split: str, shape: tuple[int, int], batch_size: int) -> dict:
    """{"baselines": scores of what needs no training, by name, "retrieval": how pictures were compared}."""
    source = transforms.source_of(builder.info.features)
    how, function = retrieval.method(shape, encoder=flags["encoder"], weights=flags["encoder_weights"])
    (known, train_labels), (asked, labels) = (
        retrieval.features(
            function, batches(task, builder, name, shape, batch_size, (source,)), builders.size_of(builder, name)
        )
        for name in (flags["train_split"], split)
    )
    return {"baselines": task.baselines(train_labels, labels, known, asked), "retrieval": how}


def dense_predictor(
    folder, run: dict, task: Task, builder, shape, model, *, tta: str, tile: str | None, overlap: int | None
):
    """The predictor of a segmentation run, see `evaluate`."""
    known = {tuple(model.input_shape[1:3]): model}
    tile_shape = cli.shape_of(tile) if tile else None
    network_at = predictors.sized(
        task,
        lambda at: known[at] if at in known else runs.load_model(folder, at),
        tile=tile_shape,
        overlap=overlap,
        classes=len(run["names"]),
    )
    shifts = ()
    if tta in ("color_pca", "all"):
        colours = run.get("colours")
        colours = (
            statistics.ColourStatistics(**colours)
            if colours
            else statistics.fit_colours(
                image for image, _ in input_pipeline.pictures(builder, run["flags"]["train_split"])
            )
        )
        shifts = statistics.colour_pca_variants(colours, COLOUR_VARIANTS)
    return predictors.Dense(task, network_at, builder.info.metadata, shape, mode=tta, shifts=shifts)


def predict_all(predictor, pipeline, examples: int) -> tuple[np.ndarray, dict, dict]:
    """Labels (N, …), predictions {decoder or augmentation: {name: (N, …)}}, and extras {name: (N, …)}, by one pass."""
    labels, predictions, extras = [], {}, []
    with tqdm(total=examples, unit="img", desc="predict", dynamic_ncols=True) as bar:
        for inputs, truth, extra in pipeline.as_numpy_iterator():
            labels.append(truth["label"])
            for name, found in predictor.answers(inputs).items():
                predictions.setdefault(name, []).append(found)
            extras.append(extra)
            bar.update(len(truth["label"]))
    return (
        np.concatenate(labels),
        {name: _concatenate(found) for name, found in predictions.items()},
        _concatenate(extras),
    )


def _concatenate(dicts: list[dict]) -> dict:
    return {name: np.concatenate([d[name] for d in dicts]) for name in dicts[0]}


def chosen(errors: np.ndarray, count: int) -> list[tuple[int, str]]:
    """Up to `count` examples: a third each of the best, the middle and the worst, as (index, title)."""
    order = np.argsort(errors)[: np.isfinite(errors).sum()]
    count = min(count, len(order))
    best, worst = -(-count // 3), count // 3
    middle = count - best - worst
    start = min(max((len(order) - middle) // 2, best), len(order) - worst - middle)
    picks = [("best", order[:best]), ("median", order[start : start + middle]), ("worst", order[len(order) - worst :])]
    return [(int(index), kind) for kind, indices in picks for index in indices]


def draw(
    task: Task, predictor, pipeline, shown, labels, predictions, known, names, count: int, folder, result, run_folder
):
    """Pictures of the best, median and worst examples, and of those that the report names: "failures"
    (`pose_scores.pose_report`), "cluster_examples" (`cluster_scores.cluster_report`). Only these are kept in memory.

    Args:
        pipeline: of what the network reads; shown: of the pictures, the same one for networks that read pictures;
        known: further truth, {"mask": (N, H, W), "class_names": C strings} or {}.
    """
    errors = task.errors(labels, predictions)
    picks = chosen(errors, count)
    indices = [index for index, _ in picks]
    if not indices:
        print("no pictures: no example has a finite error")
        return
    failures, groups = result.get("failures", {}), result.get("cluster_examples", {})
    others = {
        *(example for joints in failures.values() for example, _ in joints),
        *(i for examples in groups.values() for i in examples),
    }
    images = inputs = inputs_at(shown, {*indices, *others})
    if shown is not pipeline:
        inputs = inputs_at(pipeline, set(indices))
    stack, inputs = (
        keras.tree.map_structure(lambda *some: np.stack(some), *(found[i] for i in indices))
        for found in (images, inputs)
    )
    titles = [f"{kind}: #{index}, error {errors[index]:.3g}" for index, kind in picks]
    answers = {
        name: value[indices] for name, value in predictions.items()
    }  # decoded, so that networks without `coords` have some here
    known = {name: value[indices] if isinstance(value, np.ndarray) else value for name, value in known.items()}
    drawn = task.figures(stack, labels[indices], {**predictor(inputs), **answers, **known}, titles, names)
    if task.inside:
        drawn |= task.inside(predictor.model, run_folder, stack, titles, names)
    if task.looks_for:
        drawn |= look(predictor.model, inputs, task.looks_for(labels[indices]), stack, titles)
    if any(failures.values()):
        drawn["failures.png"] = pose_figures.failure_gallery(images, labels, predictions["coords"], failures, names)
    if groups:
        drawn["mosaic.png"] = cluster_figures.mosaic(images, result, names)
    _save(drawn, pathlib.Path(folder))


def look(model, inputs, score, stack, titles) -> dict:
    """{"attention.png": figure}, or a printed line where the encoder is out of reach, inside a network within the
    network."""
    try:
        layers = feature_maps.feature_maps(model)
    except UserError as error:
        print(f"no attention.png: {error}")
        return {}
    return {
        "attention.png": attention.attention_figure(
            stack, grad_cam.attention_maps(model, inputs, score, layers), titles
        )
    }


def inputs_at(pipeline, wanted: set[int]) -> dict[int, np.ndarray]:
    """{index: (H, W, 3) uint8, or what else the pipeline gives} of these examples."""
    found, start = {}, 0
    for batch, truth, _ in pipeline.as_numpy_iterator():
        for index in wanted & set(range(start, start + len(truth["label"]))):
            found[index] = keras.tree.map_structure(lambda values, at=index - start: values[at], batch)
        start += len(truth["label"])
    return found
