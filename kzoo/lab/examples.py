"""Examples to look at: persons with their latent maps, failures by cause, the same pictures by three networks."""

import numpy as np

from kzoo.data import builders
from kzoo.evaluation import drawing, scoring
from kzoo.metrics import pose_scores, seg_scores
from kzoo.runs import Run

QUANTILES = (0.1, 0.5, 0.9)  # of the persons by error: neither the best nor the worst
PICTURE_QUANTILES = (0.1, 0.4, 0.6, 0.9)  # of the pictures by U-Net's
SPREAD_OF = 256  # persons whose maps are measured
FAILURES = 2  # pictures of each cause
LARGE = 0.05  # share of a picture that persons cover, to be shown


def pictures_of(run: Run, data_dir: str | None):
    """The pictures of the split that a run was scored on, in batches."""
    return run.data(reads=("image",), data_dir=data_dir)


def predictions(run: Run, data_dir: str | None) -> tuple[np.ndarray, dict]:
    """Labels (N, …) and decoded answers {name: (N, …)} of the whole split."""
    examples = builders.size_of(run.builder(data_dir), run.val_split)
    predictor = run.predictor(data_dir=data_dir)
    labels, answers, _ = scoring.predict_all(predictor, pictures_of(run, data_dir), examples)
    return labels, next(iter(answers.values()))


def at_quantiles(errors, quantiles) -> list[int]:
    """Indices of the examples at these quantiles of the error; not finite ones are left out."""
    order = np.argsort(errors)[: np.isfinite(errors).sum()]
    if not len(order):
        return []
    places = [round(q * (len(order) - 1)) for q in quantiles]
    return list(dict.fromkeys(order[places].tolist()))


def spread(maps, labels) -> float:
    """How wide latent maps are: standard deviation along an axis in px of a 256-px crop, mean over the labelled joints.

    Args:
        maps: (N, h, w, J) of non-negative numbers, each map sums to 1; labels: (N, J, 3).
    """
    _, height, width, _ = maps.shape
    y, x = ((np.arange(n) + 0.5) / n for n in (height, width))
    rows = maps.sum(axis=2)  # (N, h, J)
    columns = maps.sum(axis=1)  # (N, w, J)
    variance = 0.0
    for mass, place in ((rows, y), (columns, x)):
        mean = np.einsum("naj,a->nj", mass, place)
        variance = variance + np.einsum("naj,naj->nj", mass, (place[None, :, None] - mean[:, None]) ** 2) / 2
    return float(pose_scores.FRAME * np.sqrt(variance)[labels[..., 2] > 0].mean())


def map_spread(run: Run, data_dir: str | None) -> float:
    """`spread` of the first persons of the split."""
    predictor = run.predictor(data_dir=data_dir)
    maps = []
    labels = []
    for images, truth, _ in pictures_of(run, data_dir).take(-(-SPREAD_OF // 32)).as_numpy_iterator():
        maps.append(predictor(images, ("latent_heatmaps",))["latent_heatmaps"])
        labels.append(truth["label"])
    return spread(np.concatenate(maps), np.concatenate(labels))


def maps_of(run: Run, images, data_dir: str | None) -> np.ndarray:
    """Latent maps (N, h, w, J), each of sum 1, of pictures (N, H, W, 3) uint8."""
    return run.predictor(data_dir=data_dir)(np.stack(images), ("latent_heatmaps",))["latent_heatmaps"]


def poses(run: Run, data_dir: str | None) -> dict:
    """Persons of a run of soft-argmax.

    Returns:
        {"names": J strings, "persons": [{"title", "image" (H, W, 3) uint8, "label" (J, 3), "coords" (J, 2), "maps" (h,
        w, J)}], "failures": [the same, and "cause", "joint", "error" px]}.
    """
    labels, answers = predictions(run, data_dir)

    # Which persons: by their error, and by the causes of error that the report names
    errors = run.task.evaluator.errors(labels, answers)
    titles = {}
    for quantile, index in zip(QUANTILES, at_quantiles(errors, QUANTILES), strict=False):
        titles[index] = f"{100 * quantile:.0f}th percentile: {errors[index]:.0f} px"
    failures = chosen_failures(run.report)

    # What is shown of each
    shown = {*titles, *(index for _, index, _ in failures)}
    images = drawing.inputs_at(pictures_of(run, data_dir), shown)
    joint_errors = pose_scores.joint_errors(labels, answers["coords"])

    def example(index, **more):
        return {"image": images[index], "label": labels[index], "coords": answers["coords"][index], **more}

    maps = maps_of(run, [images[index] for index in titles], data_dir)
    persons = [example(i, title=title, maps=own) for (i, title), own in zip(titles.items(), maps, strict=True)]
    failed = [example(i, cause=cause, joint=j, error=float(joint_errors[i, j])) for cause, i, j in failures]
    return {"names": run.names, "persons": persons, "failures": failed}


def chosen_failures(report: dict) -> list[tuple[str, int, int]]:
    """(cause, person, joint) of the worst joints of each cause, the most frequent cause first."""
    shares = report["tables"].get("Share of labelled joints by cause", {})
    causes = [cause for cause, picks in report["failures"].items() if picks]
    causes.sort(key=lambda cause: -shares[cause])
    return [(cause, index, joint) for cause in causes for index, joint in report["failures"][cause][:FAILURES]]


def segmentations(opened: dict[str, Run], data_dir: str | None) -> dict:
    """The same pictures by several networks, chosen by the errors of the first one.

    Returns:
        {"names": C strings, "pictures": [{"image", "truth" (H, W), "answers": {name: (H, W)}, "iou": {name: IoU of
        class 1}}]}.
    """
    first = next(iter(opened.values()))
    answers = {}
    for name, run in opened.items():
        labels, predicted = predictions(run, data_dir)
        answers[name] = predicted["classes"]
        if run is first:
            errors = run.task.evaluator.errors(labels, predicted)
            errors = np.where((labels == 1).mean(axis=(1, 2)) >= LARGE, errors, np.nan)
    chosen = at_quantiles(errors, PICTURE_QUANTILES)
    images = drawing.inputs_at(pictures_of(first, data_dir), set(chosen))

    def picture(index):
        truth = labels[index]
        own = {name: found[index] for name, found in answers.items()}
        iou = {name: iou_of_class(truth, found, len(first.names)) for name, found in own.items()}
        return {"image": images[index], "truth": truth, "answers": own, "iou": iou}

    return {"names": first.names, "pictures": [picture(index) for index in chosen]}


def iou_of_class(truth, answer, classes: int, which: int = 1) -> float:
    """IoU of one class in one picture."""
    return float(seg_scores.iou_per_class(seg_scores.confusion_matrix(truth, answer, classes))[which])
