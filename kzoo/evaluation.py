"""Scoring a trained run: what `eval.py` does, and `train.py` at its end."""

import pathlib
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, cli, data, decoding, figures, report, runs
from kzoo.geometry import flip_permutation
from kzoo.tasks import Task


def shift_right(maps) -> np.ndarray:
    """Maps (B, h, w, J) moved by one cell to the right, the first column kept (Xiao et al., ECCV 2018, released code, SHIFT_HEATMAP).

    It makes up for a pipeline that aligns the corners of picture and map, where the mirrored map lies a cell to the left. Ours aligns the
    centres, see `kzoo.geometry`, and needs no shift.
    """
    return np.concatenate([maps[:, :, :1], maps[:, :, :-1]], axis=2)


TTA = ("none", "flip", "flip_shift")  # --tta: nothing; average with the answer for the mirrored picture; and shift its maps first


class Predictor:
    """A network's activated outputs for a batch of pictures, for `tta` averaged with those for the mirrored pictures.

    Outputs that are no answers (a row without `unflip`) are kept for pictures if nothing is averaged, and dropped otherwise.
    """

    def __init__(self, task: Task, model: keras.Model, metadata, *, tta: str = "none"):
        if tta not in TTA:
            raise UserError(f"unknown --tta={tta!r}; allowed: {', '.join(TTA)}")
        if tta == "flip_shift" and not set(decoding.MAPS) & set(model.output_names):
            raise UserError(f"--tta=flip_shift shifts heat maps, and this network emits {', '.join(model.output_names)}; use --tta=flip")
        self.rows, self.model, self.tta = {name: task.outputs[name] for name in model.output_names}, model, tta
        self.scored = decoding.sources(model.output_names) or (task.main_of(model.output_names),)
        self.permutation = flip_permutation(len(metadata[task.names]), metadata[f"flip_{task.names}"])

    def _outputs(self, images, names) -> dict:
        outputs = self.model.predict_on_batch(images)
        return {name: self.rows[name].activate(np.asarray(outputs[name])) for name in names}

    def _unflipped(self, name, value):
        value = self.rows[name].unflip(value, self.permutation)
        return shift_right(value) if self.tta == "flip_shift" and name in decoding.MAPS else value

    def __call__(self, images: np.ndarray, names=None) -> dict:
        """(B, H, W, 3) uint8 -> {output name: array} of the outputs `names`, by default of all."""
        names = names or tuple(self.rows)
        if self.tta == "none":
            return self._outputs(images, names)
        names = [name for name in names if self.rows[name].unflip]
        outputs, mirrored = self._outputs(images, names), self._outputs(images[:, :, ::-1], names)
        return {name: 0.5 * (outputs[name] + self._unflipped(name, mirrored[name])) for name in names}


def decoders_of(model: keras.Model, wanted: str | None) -> tuple[str | None, ...]:
    """Names of the decoders to score, the one that counts first; (None,) for networks that need none.

    Args:
        wanted: of DECODERS, "coords", "all", or None for the network's default.
    """
    allowed = decoding.applicable(model.output_names)
    if wanted and not allowed:
        raise UserError(f"--decoder={wanted} is for joints and heat maps, and this network emits {', '.join(model.output_names)}")
    if wanted not in (None, "all", *allowed):
        emitted = ", ".join(model.output_names)
        raise UserError(f"--decoder={wanted!r} is not for a network that emits {emitted}; allowed: {', '.join(allowed)}")
    return allowed if wanted == "all" else (wanted or next(iter(allowed), None),)


def evaluate(
    folder,
    *,
    split: str,
    tta: str = "none",
    decoder: str | None = None,
    pictures: int = 0,
    export: str | None = None,
    batch_size: int = 32,
    data_dir: str | None = None,
    out=None,
) -> dict:
    """Score the best network of a run on a split and write `report.json`, `report.md` and `pictures/`.

    Args:
        folder: run folder; out: where to write (default: there); split: of the run's data set; tta: of TTA; decoder: see `decoders_of`;
        pictures: how many examples to draw; export: key of `kzoo.export.EXPORTS`; data_dir: of prepared data sets (default: the run's).
    Returns:
        the content of `report.json`.
    """
    started, folder = time.time(), pathlib.Path(folder)
    run = runs.describe(folder)
    task, out = runs.task_of(run), pathlib.Path(out or folder)
    if decoder not in (None, "all", decoding.OWN):
        cli.pick(decoding.DECODERS, decoder, "decoder")  # before anything slow
    model = runs.load_model(folder)
    decoders = decoders_of(model, decoder)
    builder = data.prepare(run["flags"]["dataset"], data_dir or run["flags"]["data_dir"])
    check_same_data(run, data.describe(builder))
    predictor = Predictor(task, model, builder.info.metadata, tta=tta)
    pipeline = batches(task, builder, split, run["flags"]["size"], batch_size)
    labels, answers, extras = predict_all(task, predictor, pipeline, data.size_of(builder, split), decoders)
    predictions = answers[decoders[0]]
    result = {
        **task.report(labels, predictions, extras, run["names"]),
        "run": folder.name,
        "split": split,
        "tta": tta,
        "crop": run["flags"]["size"],
        **({"decoder": decoders[0]} if decoders[0] else {}),
        "examples": len(labels),
        "flags": run["flags"],
        "parameters": run["parameters"],
        "dataset": run["dataset"]["name"],
        "fingerprint": run["dataset"]["fingerprint"],
    }
    if decoder == "all":
        result["decoders"] = {name: task.report(labels, found, extras, run["names"])["scores"] for name, found in answers.items()}
    if export:
        result["export"] = {export: _export(export, model, folder, next(pipeline.as_numpy_iterator())[0][:4])}
    result["seconds"] = round(time.time() - started, 1)
    report.write(out, result)
    if pictures:
        draw(task, predictor, pipeline, labels, predictions, run["names"], pictures, out / "pictures", result.get("failures", {}))
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


def predict_all(task: Task, predictor: Predictor, pipeline, examples: int, decoders=(None,)) -> tuple[np.ndarray, dict, dict]:
    """Labels (N, …), predictions {decoder: {name: (N, …)}} after the task's `decode`, and extras {name: (N, …)}, by one pass."""
    labels, predictions, extras = [], {decoder: [] for decoder in decoders}, []
    with tqdm(total=examples, unit="img", desc="predict", dynamic_ncols=True) as bar:
        for images, truth, extra in pipeline.as_numpy_iterator():
            labels.append(truth["label"])
            outputs = predictor(images, predictor.scored)
            for decoder in decoders:
                predictions[decoder].append(task.decode(outputs, **({"decoder": decoder} if decoder else {})))
            extras.append(extra)
            bar.update(len(images))
    return np.concatenate(labels), {decoder: _concatenate(found) for decoder, found in predictions.items()}, _concatenate(extras)


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


def draw(task: Task, predictor: Predictor, pipeline, labels, predictions, names, count: int, folder, failures):
    """Pictures of the best, median and worst examples, and of `failures`, see `scores.pose_report`; only these are kept in memory."""
    errors, folder = task.errors(labels, predictions), pathlib.Path(folder)
    picks = chosen(errors, count)
    indices = [index for index, _ in picks]
    images = images_at(pipeline, {*indices, *(example for joints in failures.values() for example, _ in joints)})
    stack = np.stack([images[index] for index in indices])
    titles = [f"{kind}: #{index}, error {errors[index]:.3g}" for index, kind in picks]
    answers = {name: value[indices] for name, value in predictions.items()}  # decoded, so that networks without `coords` have some here
    drawn = task.figures(stack, labels[indices], {**predictor(stack), **answers}, titles, names)
    if any(failures.values()):
        drawn["failures.png"] = figures.failure_gallery(images, labels, predictions["coords"], failures, names)
    for name, figure in drawn.items():
        figures.save(figure, folder / name)


def images_at(pipeline, wanted: set[int]) -> dict[int, np.ndarray]:
    """{index: (H, W, 3) uint8} of these examples."""
    images, start = {}, 0
    for batch, _, _ in pipeline.as_numpy_iterator():
        images.update({index: batch[index - start] for index in wanted if start <= index < start + len(batch)})
        start += len(batch)
    return images
