"""Scoring a trained run: what `eval.py` does, and `train.py` at its end."""

import pathlib
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, cli, data, figures, report, runs
from kzoo.geometry import flip_permutation
from kzoo.tasks import Task


class Predictor:
    """A network's activated outputs for a batch of pictures, averaged with those for the mirrored pictures if `flip`."""

    def __init__(self, task: Task, model: keras.Model, metadata, *, flip: bool):
        self.rows, self.model, self.flip = {name: task.outputs[name] for name in model.output_names}, model, flip
        self.permutation = flip_permutation(len(metadata[task.names]), metadata[f"flip_{task.names}"])

    def _outputs(self, images) -> dict:
        return {name: self.rows[name].activate(np.asarray(value)) for name, value in self.model.predict_on_batch(images).items()}

    def __call__(self, images: np.ndarray) -> dict:
        """(B, H, W, 3) uint8 -> {output name: array}."""
        outputs = self._outputs(images)
        if not self.flip:
            return outputs
        mirrored = self._outputs(images[:, :, ::-1])
        return {name: 0.5 * (outputs[name] + self.rows[name].unflip(mirrored[name], self.permutation)) for name in outputs}


def evaluate(
    folder,
    *,
    split: str,
    flip: bool = False,
    pictures: int = 0,
    export: str | None = None,
    batch_size: int = 32,
    data_dir: str | None = None,
    out=None,
) -> dict:
    """Score the best network of a run on a split and write `report.json`, `report.md` and `pictures/`.

    Args:
        folder: run folder; out: where to write (default: there); split: of the run's data set; flip: average with the mirrored picture;
        pictures: how many examples to draw; export: key of `kzoo.export.EXPORTS`; data_dir: of prepared data sets (default: the run's).
    Returns:
        the content of `report.json`.
    """
    started, folder = time.time(), pathlib.Path(folder)
    run = runs.describe(folder)
    task, out = runs.task_of(run), pathlib.Path(out or folder)
    model = runs.load_model(folder)
    builder = data.prepare(run["flags"]["dataset"], data_dir or run["flags"]["data_dir"])
    check_same_data(run, data.describe(builder))
    predictor = Predictor(task, model, builder.info.metadata, flip=flip)
    pipeline = batches(task, builder, split, run["flags"]["size"], batch_size)
    labels, predictions, extras = predict_all(task, predictor, pipeline, data.size_of(builder, split))
    result = {
        **task.report(labels, predictions, extras, run["names"]),
        "run": folder.name,
        "split": split,
        "tta": "flip" if flip else "none",
        "examples": len(labels),
        "flags": run["flags"],
        "parameters": run["parameters"],
        "dataset": run["dataset"]["name"],
        "fingerprint": run["dataset"]["fingerprint"],
    }
    if export:
        result["export"] = {export: _export(export, model, folder, next(pipeline.as_numpy_iterator())[0][:4])}
    result["seconds"] = round(time.time() - started, 1)
    report.write(out, result)
    if pictures:
        draw(task, predictor, pipeline, labels, predictions, run["names"], pictures, out / "pictures")
    if "confusion" in result:
        figures.save(figures.confusion(result["confusion"], run["names"]), out / "pictures" / "confusion.png")
    return result


def _export(name: str, model, folder, example) -> float:
    from kzoo.export import EXPORTS  # loads TensorFlow, which other backends do without

    return cli.pick(EXPORTS, name, "export")(model, folder / name, example)


def check_same_data(run: dict, found: dict):
    """A score on other data than the run's is a mistake worth stopping for."""
    if found["name"] != run["dataset"]["name"] or found["splits"] != run["dataset"]["splits"]:
        raise UserError(
            f"the run saw {run['dataset']['name']} {run['dataset']['splits']}, --data_dir holds {found['name']} {found['splits']}"
        )


def batches(task: Task, builder, split: str, size: int, batch_size: int):
    """The split in order: (images, {main output: labels}, extras)."""
    extras = tuple(name for name in task.extras if name in builder.info.features)
    view = data.View(size, {"label": task.outputs[task.main[0]].label}, extras=extras or ("image_id",))
    return data.pipeline(builder, split, view, batch_size=batch_size)


def predict_all(task: Task, predictor: Predictor, pipeline, examples: int) -> tuple[np.ndarray, dict, dict]:
    """Labels (N, …), predictions {name: (N, …)} after the task's `decode`, and extras {name: (N, …)}."""
    labels, predictions, extras = [], [], []
    with tqdm(total=examples, unit="img", desc="predict", dynamic_ncols=True) as bar:
        for images, truth, extra in pipeline.as_numpy_iterator():
            labels.append(truth["label"])
            predictions.append(task.decode(predictor(images)))
            extras.append(extra)
            bar.update(len(images))
    return np.concatenate(labels), _concatenate(predictions), _concatenate(extras)


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


def draw(task: Task, predictor: Predictor, pipeline, labels, predictions, names, count: int, folder):
    """Pictures of the best, median and worst examples; only these are kept in memory."""
    errors = task.errors(labels, predictions)
    picks = chosen(errors, count)
    wanted, images, start = {index for index, _ in picks}, {}, 0
    for batch, _, _ in pipeline.as_numpy_iterator():
        images.update({index: batch[index - start] for index in wanted if start <= index < start + len(batch)})
        start += len(batch)
    stack = np.stack([images[index] for index, _ in picks])
    titles = [f"{kind}: #{index}, error {errors[index]:.3g}" for index, kind in picks]
    drawn = task.figures(stack, labels[[index for index, _ in picks]], predictor(stack), titles, names)
    for name, figure in drawn.items():
        figures.save(figure, pathlib.Path(folder) / name)
