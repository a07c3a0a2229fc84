"""Scores of what needs no training, by the task's own evaluator: the mean pose, background everywhere, retrieval."""

import itertools

import numpy as np

from kzoo.data import builders, pipeline, transforms
from kzoo.evaluation import retrieval
from kzoo.runs import Run

EXAMPLES = 5000  # of the training split, whose labels are read for a mean


def scores(run: Run, labels, extras, *, split: str, shape: tuple[int, int], data_dir: str | None) -> dict:
    """{"baselines": {name: scores}}, and with retrieval "retrieval": how pictures were compared.

    Args:
        labels, extras: of the split that is scored; the others: see `kzoo.evaluation.scoring.score`.
    """
    evaluator = run.task.evaluator
    how = {}
    if evaluator.baselines.retrieval:
        known = compared(run, split, shape, data_dir)
        how = {"retrieval": known.pop("how")}
        answers = evaluator.baselines.answers(**known)
    else:
        answers = evaluator.baselines.answers(training_labels(run, data_dir), labels, run.names)
    # what a network answers besides, the classes of one that segments too, these do not
    found = {name: evaluator.score(labels, answer, extras, run.names)["scores"] for name, answer in answers.items()}
    return {"baselines": found, **how}


def training_labels(run: Run, data_dir: str | None) -> np.ndarray | None:
    """Of the first examples of the training split, without their pictures; None where the task needs none."""
    label = run.task.evaluator.baselines.label
    if not label:
        return None
    values = pipeline.values(run.builder(data_dir), run.flags.get("train_split", "train"), label)
    return np.stack(list(itertools.islice(values, EXAMPLES)))


def compared(run: Run, split: str, shape: tuple[int, int], data_dir: str | None) -> dict:
    """Labels and features of the training split and of the one that is scored, and how pictures are compared."""
    how, function = retrieval.method(shape, encoder=run.flags.get("encoder"), weights=run.flags.get("encoder_weights"))
    builder, found = run.builder(data_dir), []
    for name in (run.flags.get("train_split", "train"), split):
        reads = (transforms.source_of(builder.info.features),)
        pictures = run.data(name, shape=shape, reads=reads, data_dir=data_dir)
        found.append(retrieval.features(function, pictures, builders.size_of(builder, name)))
    (train_features, train_labels), (asked, labels) = found
    known = {"train_poses": train_labels, "labels": labels, "train_features": train_features, "features": asked}
    return {**known, "how": how}
