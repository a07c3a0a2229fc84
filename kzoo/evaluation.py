"""Scoring a trained run: what `eval.py` does, and `train.py` at its end."""

import pathlib
import time

import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, cli, data, decoding, figures, prediction, report, runs, statistics
from kzoo.tasks import Task

COLOUR_VARIANTS = 4  # colours that --tta=color_pca shows


def evaluate(
    folder,
    *,
    split: str,
    size: str | None = None,
    tta: str = "none",
    decoder: str | None = None,
    tile: str | None = None,
    overlap: int | None = None,
    pictures: int = 0,
    export: str | None = None,
    batch_size: int = 32,
    data_dir: str | None = None,
    out=None,
) -> dict:
    """Score the best network of a run on a split and write `report.json`, `report.md` and `pictures/`.

    Args:
        folder: run folder; out: where to write (default: there); split: of the run's data set; size: as --size (default: the run's);
        tta: of `prediction.MIRRORED_TTA` or `kzoo.tta.TTA`; decoder: see `prediction.decoders_of`; tile: as --size, put the answers
        together from tiles; overlap: of the tiles in pixels (default: half of the shorter side of a tile);
        pictures: how many examples to draw; export: key of `kzoo.export.EXPORTS`; data_dir: of prepared data sets (default: the run's).
    Returns:
        the content of `report.json`.
    """
    started, folder = time.time(), pathlib.Path(folder)
    run = runs.describe(folder)
    task, out = runs.task_of(run), pathlib.Path(out or folder)
    if decoder not in (None, "all", decoding.OWN):
        cli.pick(decoding.DECODERS, decoder, "decoder")  # before anything slow
    shape = cli.shape_of(size or run["flags"]["size"])
    if task.square and shape[0] != shape[1]:
        raise UserError(f"--size={size}: {run['flags']['task']} works on square crops")
    if tile and not task.dense:
        raise UserError(f"--tile is for networks that answer each pixel, not for {run['flags']['task']}")
    if tile and overlap is None:
        overlap = min(cli.shape_of(tile)) // 2
    model = runs.load_model(folder, prediction.rounded(shape) if size else None)
    decoders = prediction.decoders_of(model, decoder)
    builder = data.prepare(run["flags"]["dataset"], data_dir or run["flags"]["data_dir"])
    check_same_data(run, data.describe(builder))
    if task.dense:
        predictor = dense_predictor(folder, run, task, builder, shape, model, tta=tta, tile=tile, overlap=overlap)
    else:
        predictor = prediction.Mirrored(task, model, builder.info.metadata, tta=tta, decoders=decoders)
    pipeline = batches(task, builder, split, shape, 1 if tile else batch_size)
    labels, answers, extras = predict_all(predictor, pipeline, data.size_of(builder, split))
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
    if decoder == "all":
        result["decoders"] = {name: task.report(labels, found, extras, run["names"])["scores"] for name, found in answers.items()}
    if task.dense and tta == "all":
        scores = {name: task.report(labels, found, extras, run["names"])["scores"] for name, found in answers.items()}
        result["gains"] = {name: {"passes": passes, **scores[name]} for name, passes in predictor.passes.items()}
    if export:
        if tuple(model.input_shape[1:3]) != shape:
            raise UserError(f"--export={export} needs a --size of multiples of {prediction.STRIDE}, got {size}")
        result["export"] = {export: _export(export, model, folder, next(pipeline.as_numpy_iterator())[0][:4])}
    result["seconds"] = round(time.time() - started, 1)
    report.write(out, result)
    if pictures:
        draw(task, predictor, pipeline, labels, predictions, run["names"], pictures, out / "pictures", result.get("failures", {}))
    if "confusion" in result:
        figures.save(figures.confusion(result["confusion"], run["names"]), out / "pictures" / "confusion.png")
        bars = figures.iou_bars(result["tables"]["IoU per class"], result["scores"]["miou"])
        figures.save(bars, out / "pictures" / "iou_per_class.png")
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


def batches(task: Task, builder, split: str, shape: tuple[int, int], batch_size: int):
    """The split in order: (images, {main output: labels}, extras)."""
    extras = tuple(name for name in task.extras if name in builder.info.features)
    view = data.View(shape, {"label": task.outputs[task.main[0]].label}, extras=extras or ("image_id",))
    return data.pipeline(builder, split, view, batch_size=batch_size)


def dense_predictor(folder, run: dict, task: Task, builder, shape, model, *, tta: str, tile: str | None, overlap: int | None):
    """The predictor of a segmentation run, see `evaluate`."""
    known = {tuple(model.input_shape[1:3]): model}
    tile_shape = cli.shape_of(tile) if tile else None
    network_at = prediction.sized(
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
            else statistics.fit_colours(image for image, _ in data.pictures(builder, run["flags"]["train_split"]))
        )
        shifts = statistics.colour_pca_variants(colours, COLOUR_VARIANTS)
    return prediction.Dense(task, network_at, builder.info.metadata, shape, mode=tta, shifts=shifts)


def predict_all(predictor, pipeline, examples: int) -> tuple[np.ndarray, dict, dict]:
    """Labels (N, …), predictions {decoder or augmentation: {name: (N, …)}}, and extras {name: (N, …)}, by one pass."""
    labels, predictions, extras = [], {}, []
    with tqdm(total=examples, unit="img", desc="predict", dynamic_ncols=True) as bar:
        for images, truth, extra in pipeline.as_numpy_iterator():
            labels.append(truth["label"])
            for name, found in predictor.answers(images).items():
                predictions.setdefault(name, []).append(found)
            extras.append(extra)
            bar.update(len(images))
    return np.concatenate(labels), {name: _concatenate(found) for name, found in predictions.items()}, _concatenate(extras)


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


def draw(task: Task, predictor, pipeline, labels, predictions, names, count: int, folder, failures):
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
