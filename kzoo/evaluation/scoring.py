"""Exact scores of a run on a split: its answers by one pass, and what the task makes of them."""

import dataclasses
import time

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, cli
from kzoo.data import builders
from kzoo.evaluation import baselines
from kzoo.inference import predictors
from kzoo.metrics import calibration
from kzoo.nn import decoding
from kzoo.runs import Run, report_files


@dataclasses.dataclass(frozen=True)
class Result:
    """Content of `report.json`: scores, the conditions they were taken under, and what they are to be compared with.

    scores, tables, notes: of the task's own score, and details: what else it gives, for figures (confusion …);
    run, flags, parameters, dataset, network: of the run, see `Run.network`; fingerprint: of the data; split, examples,
    crop (px), tta, decoder, tile and overlap (px), boxes: conditions; condition: what these are called together, "" and
    `Run.condition` for the training's own; baselines: scores of what needs no training, by name, and retrieval: how
    pictures were compared there; stopped: why a clustering ended; decoders, gains: scores by decoder or by test-time
    augmentation;
    export, export_failed: see `kzoo.export`; seconds: that all this took.
    """

    scores: dict[str, float]
    tables: dict[str, dict]
    notes: list[str]
    run: str
    flags: dict
    parameters: int
    dataset: str
    fingerprint: str
    split: str
    examples: int
    crop: int | str
    tta: str
    decoder: str | None = None
    tile: str | None = None
    overlap: int | None = None
    boxes: str | None = None
    baselines: dict | None = None
    retrieval: str | None = None
    stopped: str | None = None
    decoders: dict | None = None
    gains: dict | None = None
    export: dict | None = None
    export_failed: dict | None = None
    seconds: float | None = None
    condition: str = ""
    network: str | None = None
    details: dict = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict:
        """Details beside the rest; what is not there is left out."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "details"}
        return {**{name: value for name, value in own.items() if value not in (None, "")}, **self.details}


@dataclasses.dataclass(frozen=True)
class Scored:
    """A result and what it was made of, for figures and exports.

    labels: (N, …); predictions: {name: (N, …)}; extras: {name: (N, …)}, and "class_names" where there are masks;
    predictor: what answered; batches: see `Run.data`; builder: of the data set, in data_dir; shape: (height, width)
    of the pictures; calibrated: what was made of its raw scores, None where nothing was asked for.
    """

    result: Result
    labels: np.ndarray
    predictions: dict
    extras: dict
    predictor: object
    batches: object
    builder: object
    shape: tuple[int, int]
    data_dir: str | None = None
    calibrated: calibration.Calibration | None = None

    def first(self, count: int) -> tuple:
        """Inputs, labels and extras of the first `count` examples."""
        batches, examples = [], 0
        for batch in self.batches.as_numpy_iterator():
            batches.append(batch)
            examples += len(batch[1]["label"])
            if examples >= count:
                break
        inputs, truth, extras = keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:count], *batches)
        return inputs, truth["label"], builders.named(self.builder, extras)


def score(
    run: Run,
    *,
    split: str | None = None,
    size: str | None = None,
    tta: str = "none",
    decoder: str | None = None,
    tile: str | None = None,
    overlap: int | None = None,
    batch_size: int = 32,
    data_dir: str | None = None,
) -> Scored:
    """Score the best network of a run on a split.

    Args:
        split: of its data set; size: of the pictures, 128 or 192x256 (both by default the run's).
        tta: of `predictors.MIRRORED_TTA` or `kzoo.inference.tta.TTA`; decoder: see `predictors.decoders_of`.
        tile: as size, put the answers together from tiles; overlap: of these in pixels (default: see
        `predictors.overlap_of`); data_dir: of prepared data sets (default: the run's).
    Raises:
        UserError: an argument that does not fit the run, before anything slow.
    """
    # Mistakes are told before anything slow
    started, task = time.time(), run.task
    shape = check(run, size, decoder, tile)
    split = split or run.val_split
    tile_shape = cli.shape_of(tile) if tile else None
    if tile and overlap is None:
        overlap = predictors.overlap_of(tile_shape)
    network = run.network

    # All answers, by one pass
    predictor = run.predictor(
        tta=tta, decoder=decoder, shape=shape, tile=tile_shape, overlap=overlap, data_dir=data_dir
    )
    builder = run.builder(data_dir)
    batches = run.data(split, shape=shape, batch_size=1 if tile else batch_size, data_dir=data_dir)
    fingerprint = fingerprint_of(run, builder, data_dir)
    labels, answers, extras = predict_all(predictor, batches, builders.size_of(builder, split))
    extras = builders.named(builder, extras)
    scored = {
        name: task.evaluator.score(labels, predictions, extras, run.names) for name, predictions in answers.items()
    }
    main = next(iter(scored))

    # What stands beside the scores
    more = {}
    if run.clustering:
        more |= as_trained(run, split)
    if task.evaluator.baselines:
        more |= baselines.scores(run, labels, extras, split=split, shape=shape, data_dir=data_dir)
    if decoder == "all":
        more["decoders"] = {name: found["scores"] for name, found in scored.items()}
    if task.input.dense and tta == "all":
        more["gains"] = {name: {"passes": n, **scored[name]["scores"]} for name, n in predictor.passes.items()}

    # What is said of it
    notes = list(scored[main]["notes"])
    if task.evaluator.collapsed:
        said = task.evaluator.collapsed(labels, answers[main], run.names, run.flags, predictor.scored)
        notes = [said, *notes] if said else notes
    default = None if task.input.dense else predictors.decoders_of(predictor.model, None)[0]
    calibrated = None
    if (split, shape, main, fingerprint) == (run.val_split, run.shape, default, run.config.dataset.fingerprint):
        calibrated = calibration_of(run, labels, answers[main], split, network)
    if calibrated:
        notes.append(
            f"Scores of joints for your own pictures are probabilities that a joint is right, {calibrated.right}: "
            f"expected calibration error {calibrated.ece:.3f}, of the peaks' heights {calibrated.ece_raw:.3f}, both on "
            f"halves of {split} that were held out."
        )

    own = {field.name for field in dataclasses.fields(Result)} - {"notes"}
    result = Result(
        **{name: value for name, value in scored[main].items() if name in own},
        details={name: value for name, value in scored[main].items() if name not in own | {"notes"}},
        notes=notes,
        run=run.name,
        flags=run.flags,
        parameters=run.config.parameters,
        dataset=run.config.dataset.name,
        fingerprint=fingerprint,
        split=split,
        examples=len(labels),
        crop=report_files.size_text(size or run.flags["size"]),
        tta=tta,
        tile=tile and report_files.size_text(tile),
        overlap=overlap if tile else None,
        decoder=None if task.input.dense else main,
        network=network or None,
        **more,
        seconds=round(time.time() - started, 1),
    )
    name = report_files.name_of(
        result.to_json(), run.flags, fingerprint=run.config.dataset.fingerprint, decoder=default
    )
    result = dataclasses.replace(result, condition=name)
    return Scored(result, labels, answers[main], extras, predictor, batches, builder, shape, data_dir, calibrated)


def calibration_of(run: Run, labels, predictions, split: str, network: str) -> calibration.Calibration | None:
    """What the raw scores of answers mean; None where they have none, or where there are too few answers."""
    right = run.task.evaluator.right
    if right is None:
        return None
    judged = right.judge(labels, predictions)
    return calibration.fit(predictions["scores"], judged, right.words, split=split, network=network)


def fingerprint_of(run: Run, builder, data_dir: str | None) -> str:
    """Of the data that are scored: the run's where these are what it saw."""
    same = data_dir is None or data_dir == run.flags.get("data_dir")
    return run.config.dataset.fingerprint if same else builders.describe(builder).fingerprint


def check(run: Run, size: str | None, decoder: str | None, tile: str | None) -> tuple[int, int]:
    """(height, width) of the pictures; UserError for what does not fit the run."""
    if decoder not in (None, "all", decoding.OWN):
        cli.pick(decoding.DECODERS, decoder, "decoder")
    shape = cli.shape_of(size or run.flags["size"])
    if run.task.input.square and shape[0] != shape[1]:
        raise UserError(f"--size={size}: {run.flags['task']} works on square crops")
    if tile and not run.task.input.dense:
        raise UserError(f"--tile is for networks that answer each pixel, not for {run.flags['task']}")
    return shape


def as_trained(run: Run, split: str) -> dict:
    """Why a clustering ended, and scores of what was there before it, if the split is the one it was for."""
    found = run.clustering
    return {"stopped": found["stopped"], "baselines": found["baselines"] if split == run.flags["train_split"] else None}


def predict_all(predictor, batches, examples: int) -> tuple[np.ndarray, dict, dict]:
    """Labels (N, …), predictions {decoder or augmentation: {name: (N, …)}}, and extras {name: (N, …)}, by one pass."""
    labels, predictions, extras = [], {}, []
    with tqdm(total=examples, unit="img", desc="predict", dynamic_ncols=True) as bar:
        for inputs, truth, extra in batches.as_numpy_iterator():
            labels.append(truth["label"])
            for name, answer in predictor.answers(inputs).items():
                predictions.setdefault(name, []).append(answer)
            extras.append(extra)
            bar.update(len(truth["label"]))
    joined = {name: _concatenate(answers) for name, answers in predictions.items()}
    return np.concatenate(labels), joined, _concatenate(extras)


def _concatenate(dicts: list[dict]) -> dict:
    return {name: np.concatenate([each[name] for each in dicts]) for name in dicts[0]}
