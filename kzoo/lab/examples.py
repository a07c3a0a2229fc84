"""Examples to look at: persons with their latent maps, failures by cause, the same pictures by three networks."""

import pathlib

import numpy as np

from kzoo import cli, files, runs
from kzoo.data import builders
from kzoo.evaluation import scoring
from kzoo.inference import predictors
from kzoo.metrics import pose_scores, seg_scores

QUANTILES = (0.1, 0.5, 0.9)  # of the persons by error: neither the best nor the worst
PICTURE_QUANTILES = (0.1, 0.4, 0.6, 0.9)  # of the pictures by U-Net's
SPREAD_OF = 256  # persons whose maps are measured
FAILURES = 2  # pictures of each cause
LARGE = 0.05  # share of a picture that persons cover, to be shown


class Opened:
    """A run with its data and its network."""

    def __init__(self, folder, data_dir: str | None):
        self.folder, self.run = pathlib.Path(folder), runs.describe(folder)
        flags = self.run["flags"]
        self.task, self.shape, self.split = runs.task_of(self.run), cli.shape_of(flags["size"]), flags["val_split"]
        self.builder = builders.prepare(flags["dataset"], data_dir or flags["data_dir"])
        scoring.check_same_data(self.run, builders.describe(self.builder))
        model = runs.load_model(folder)
        self.predictor = (
            scoring.dense_predictor(
                self.folder, self.run, self.task, self.builder, self.shape, model, tta="none", tile=None, overlap=None
            )
            if self.task.input.dense
            else predictors.Mirrored(
                self.task, model, builders.metadata_of(self.builder), decoders=predictors.decoders_of(model, None)
            )
        )
        self.pipeline = scoring.batches(self.task, self.builder, self.split, self.shape, 32, ("image",))

    def predictions(self) -> tuple[np.ndarray, dict]:
        """Labels (N, …) and decoded answers {name: (N, …)} of the whole split."""
        labels, answers, _ = scoring.predict_all(
            self.predictor, self.pipeline, builders.size_of(self.builder, self.split)
        )
        return labels, next(iter(answers.values()))


def at_quantiles(errors, quantiles) -> list[int]:
    """Indices of the examples at these quantiles of the error; not finite ones are left out."""
    order = np.argsort(errors)[: np.isfinite(errors).sum()]
    return list(dict.fromkeys(int(order[round(q * (len(order) - 1))]) for q in quantiles)) if len(order) else []


def spread(maps, labels) -> float:
    """How wide latent maps are: standard deviation along an axis in px of a 256-px crop, mean over the labelled joints.

    Args:
        maps: (N, h, w, J) of non-negative numbers, each map sums to 1; labels: (N, J, 3).
    """
    _, height, width, _ = maps.shape
    y, x = ((np.arange(n) + 0.5) / n for n in (height, width))
    rows, columns = maps.sum(axis=2), maps.sum(axis=1)  # (N, h, J), (N, w, J)
    variance = 0.0
    for mass, place in ((rows, y), (columns, x)):
        mean = np.einsum("naj,a->nj", mass, place)
        variance = variance + np.einsum("naj,naj->nj", mass, (place[None, :, None] - mean[:, None]) ** 2) / 2
    return float(pose_scores.FRAME * np.sqrt(variance)[labels[..., 2] > 0].mean())


def map_spread(opened: Opened) -> float:
    """`spread` of the first persons of the split."""
    maps, labels = [], []
    for inputs, truth, _ in opened.pipeline.take(-(-SPREAD_OF // 32)).as_numpy_iterator():
        maps.append(opened.predictor(inputs, ("latent_heatmaps",))["latent_heatmaps"])
        labels.append(truth["label"])
    return spread(np.concatenate(maps), np.concatenate(labels))


def maps_of(opened: Opened, images) -> np.ndarray:
    """Latent maps (N, h, w, J), each of sum 1, of pictures (N, H, W, 3) uint8."""
    return opened.predictor(np.stack(images), ("latent_heatmaps",))["latent_heatmaps"]


def poses(folder, data_dir: str | None) -> dict:
    """Persons of a run of soft-argmax.

    Returns:
        {"names": J strings, "persons": [{"title", "image" (H, W, 3) uint8, "label" (J, 3), "coords" (J, 2), "maps" (h,
        w, J)}], "failures": [the same, and "cause", "joint", "error" px]}.
    """
    opened = Opened(folder, data_dir)
    labels, answers = opened.predictions()
    errors = opened.task.evaluator.errors(labels, answers)
    joint_errors = pose_scores.joint_errors(labels, answers["coords"])
    titles = {
        index: f"{100 * q:.0f}th percentile: {errors[index]:.0f} px"
        for q, index in zip(QUANTILES, at_quantiles(errors, QUANTILES), strict=False)
    }
    found = files.read_json(opened.folder / "report.json")
    shares = found["tables"].get("Share of labelled joints by cause", {})
    causes = sorted((cause for cause, picks in found["failures"].items() if picks), key=lambda cause: -shares[cause])
    failures = [(cause, index, joint) for cause in causes for index, joint in found["failures"][cause][:FAILURES]]
    images = scoring.inputs_at(opened.pipeline, {*titles, *(index for _, index, _ in failures)})

    def example(index):
        return {"image": images[index], "label": labels[index], "coords": answers["coords"][index]}

    maps = maps_of(opened, [images[index] for index in titles])
    return {
        "names": opened.run["names"],
        "persons": [
            {**example(i), "title": title, "maps": m} for (i, title), m in zip(titles.items(), maps, strict=True)
        ],
        "failures": [
            {**example(i), "cause": cause, "joint": joint, "error": float(joint_errors[i, joint])}
            for cause, i, joint in failures
        ],
    }


def segmentations(folders: dict, data_dir: str | None) -> dict:
    """The same pictures by several networks, chosen by the errors of the first one.

    Args:
        folders: name -> run folder.
    Returns:
        {"names": C strings, "pictures": [{"image", "truth" (H, W), "answers": {name: (H, W)}, "iou": {name: IoU of
        class 1}}]}.
    """
    answers, chosen, images = {}, [], {}
    for name, folder in folders.items():
        opened = Opened(folder, data_dir)
        labels, predicted = opened.predictions()
        answers[name] = predicted["classes"]
        if not chosen:
            names, errors = opened.run["names"], opened.task.evaluator.errors(labels, predicted)
            errors = np.where((labels == 1).mean(axis=(1, 2)) >= LARGE, errors, np.nan)
            chosen = at_quantiles(errors, PICTURE_QUANTILES)
            images = scoring.inputs_at(opened.pipeline, set(chosen))
    return {
        "names": names,
        "pictures": [
            {
                "image": images[i],
                "truth": labels[i],
                "answers": {name: found[i] for name, found in answers.items()},
                "iou": {
                    name: float(
                        seg_scores.iou_per_class(seg_scores.confusion_matrix(labels[i], found[i], len(names)))[1]
                    )
                    for name, found in answers.items()
                },
            }
            for i in chosen
        ],
    }
