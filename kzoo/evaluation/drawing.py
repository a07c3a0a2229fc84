"""Figures of a scored run: its best, middle and worst examples, those that its report names, and its charts."""

import keras
import numpy as np

from kzoo import UserError
from kzoo.data import transforms
from kzoo.evaluation.scoring import Scored
from kzoo.figures import attention
from kzoo.figures import cluster as cluster_figures
from kzoo.figures import pose as pose_figures
from kzoo.inference import grad_cam
from kzoo.nn import feature_maps
from kzoo.runs import Run


def draw(run: Run, scored: Scored, count: int, out=None):
    """Write the figures of a scored split, beside the report of its condition.

    Args:
        count: examples to draw, best, middle and worst; 0 for charts alone; out: folder in place of the run's.
    """
    place = {"condition": scored.result.condition, "out": out}
    if count:
        run.save_figures(examples(run, scored, count), **place)
    result = scored.result.to_json()
    run.save_figures(run.task.figures.charts(result, run.names, scored.labels, scored.predictions), **place)


def chosen(errors: np.ndarray, count: int) -> list[tuple[int, str]]:
    """Up to `count` examples: a third each of the best, the middle and the worst, as (index, title)."""
    order = np.argsort(errors)[: np.isfinite(errors).sum()]
    count = min(count, len(order))
    best, worst = -(-count // 3), count // 3
    middle = count - best - worst
    start = min(max((len(order) - middle) // 2, best), len(order) - worst - middle)
    picks = [("best", order[:best]), ("median", order[start : start + middle]), ("worst", order[len(order) - worst :])]
    return [(int(index), kind) for kind, indices in picks for index in indices]


def examples(run: Run, scored: Scored, count: int) -> dict:
    """{file name: figure} of the best, median and worst examples, and of those that the report names: "failures" (of
    2-D pose), "cluster_examples". Only these are kept in memory."""
    task, labels, predictions, details = run.task, scored.labels, scored.predictions, scored.result.details
    errors = task.evaluator.errors(labels, predictions)
    picks = chosen(errors, count)
    indices = [index for index, _ in picks]
    if not indices:
        print("no pictures: no example has a finite error")
        return {}

    # The pictures, and where the network reads something else that too
    failures, groups = details.get("failures", {}), details.get("cluster_examples", {})
    others = {example for joints in failures.values() for example, _ in joints}
    others |= {example for group in groups.values() for example in group}
    source = (transforms.source_of(scored.builder.info.features),)
    shown = scored.batches
    if run.reads != source:
        shown = run.data(scored.result.split, shape=scored.shape, reads=source, data_dir=scored.data_dir)
    images = inputs = inputs_at(shown, {*indices, *others})
    if shown is not scored.batches:
        inputs = inputs_at(scored.batches, set(indices))
    pictures, inputs = (
        keras.tree.map_structure(lambda *some: np.stack(some), *(each[index] for index in indices))
        for each in (images, inputs)
    )

    # The task's own figures
    titles = [f"{kind}: #{index}, {task.figures.error(errors[index])}" for index, kind in picks]
    # decoded, so that networks without `coords` have some here
    answers = {name: value[indices] for name, value in predictions.items()}
    known = {name: scored.extras[name] for name in ("mask", "class_names") if name in scored.extras}
    known = {name: value[indices] if isinstance(value, np.ndarray) else value for name, value in known.items()}
    outputs = {**scored.predictor(inputs), **answers, **known}
    drawn = task.figures.examples(pictures, labels[indices], outputs, titles, run.names)

    # What lies inside of the network, and what the report names
    if task.figures.inside:
        drawn |= task.figures.inside(scored.predictor.model, run.rounds, pictures, titles, run.names)
    if task.figures.looks_for:
        drawn |= look(scored.predictor.model, inputs, task.figures.looks_for(labels[indices]), pictures, titles)
    if any(failures.values()):
        coords = predictions["coords"]
        drawn["failures.png"] = pose_figures.failure_gallery(images, labels, coords, failures, run.names)
    if groups:
        drawn["mosaic.png"] = cluster_figures.mosaic(images, details, run.names)
    return drawn


def look(model, inputs, score, pictures, titles) -> dict:
    """{"attention.png": figure}, or a printed line where the encoder is out of reach, inside a network within the
    network."""
    try:
        layers = feature_maps.feature_maps(model)
    except UserError as error:
        print(f"no attention.png: {error}")
        return {}
    maps = grad_cam.attention_maps(model, inputs, score, layers)
    return {"attention.png": attention.attention_figure(pictures, maps, titles)}


def inputs_at(batches, wanted: set[int]) -> dict[int, np.ndarray]:
    """{index: (H, W, 3) uint8, or what else the batches give} of these examples."""
    found, start = {}, 0
    for batch, truth, _ in batches.as_numpy_iterator():
        for index in wanted & set(range(start, start + len(truth["label"]))):
            found[index] = keras.tree.map_structure(lambda values, at=index - start: values[at], batch)
        start += len(truth["label"])
    return found
