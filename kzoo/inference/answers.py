"""A run's answers for the user's own pictures: what `kzoo.predict` writes and `Run.predict` gives."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable

from kzoo import UserError, cli
from kzoo.data import builders, image_io
from kzoo.inference import feeding
from kzoo.nn import decoding
from kzoo.nn.geometry import classes_at, transform_points

AT_ONCE = 16  # pictures in a batch


@dataclasses.dataclass(frozen=True)
class Answerer:
    """How a run answers pictures.

    answer: (B, …) uint8 -> {name: (B, …)}; group: (sequence of (picture, image), shape) -> items, see
    `kzoo.inference.feeding`; frames: pictures that one item holds; scores: a line on what its scores are where they are
    no probabilities.
    """

    answer: Callable
    group: Callable
    frames: int
    scores: str | None = None


def answerer(run, *, tta: str = "none", decoder: str | None = None, skip: int | None = None) -> Answerer:
    """The run's network, and how pictures are grouped for it.

    Args:
        run: `kzoo.runs.Run`; tta, decoder: see `Run.predictor`; skip: frames from one of a window to the next (networks
        of windows; None: the data set's).
    Raises:
        UserError: a network that reads something else than pictures, or what does not apply to it.
    """
    if decoder == "all":
        raise UserError("decoder=all is for scores; give one decoder")
    if decoder not in (None, decoding.OWN) and decoder not in decoding.DECODERS:
        known = (decoding.OWN, *decoding.DECODERS)
        raise UserError(f"unknown decoder {decoder!r}; allowed: {', '.join(known)}{cli.meant(decoder, known)}")
    model = run.model_at(run.shape)
    if run.reads not in (("image",), ("frames",)):
        raise UserError(
            f"{run.arch} of {run.folder} reads {' and '.join(run.reads)}; allowed: networks that read pictures or "
            "their frames alone, lifters for instance with --set=pose_run=<run of pose>"
        )
    windows = run.reads == ("frames",) and run.task.input.middle_frame
    if skip and not windows:
        raise UserError(f"skip is for networks of windows, mapnet for instance, and not for this run of {run.arch}")
    frames = 1 if run.reads == ("image",) else model.inputs[0].shape[1]
    if windows:
        group = functools.partial(feeding.windows, length=frames, skip=skip or _skip_of(run.flags["dataset"]))
    elif run.reads == ("frames",):
        group = functools.partial(feeding.clips, length=frames)
    else:
        group = feeding.singles
    predictor = run.predictor(tta=tta, decoder=decoder)
    raw = run.task.evaluator.right and predictor.calibrated is None
    said = (
        f"the scores of {run.folder} are heights of peaks, no probabilities: it has no calibration; "
        f"python eval.py --run={run.folder} makes one"
    )
    return Answerer(predictor.answer, group, frames, said if raw else None)


def check_min_score(run, min_score: float | None):
    """Raises UserError where it is no probability, or the run's answers have no scores."""
    if min_score is None:
        return
    if not run.task.evaluator.right:
        raise UserError(f"min_score={min_score} is for joints, of pose, and this is a run of {run.flags['task']}")
    if isinstance(min_score, bool) or not isinstance(min_score, int | float) or not 0 <= min_score <= 1:
        raise UserError(f"min_score={min_score!r} must lie in 0 to 1")


def _skip_of(dataset: str) -> int:
    """Frames from one of a window to the next, in a configuration of a data set."""
    name, _, config = dataset.partition("/")
    configs = builders.builder_class(name).BUILDER_CONFIGS if name in builders.DATASETS else ()
    return next((getattr(each, "skip", 1) for each in configs if each.name == config), 1)


def in_picture(answer: dict, matrix, size: tuple[int, int]) -> dict:
    """An answer in the picture's own pixels.

    Args:
        answer: {name: array} of one picture; matrix: (3, 3) fractions of the network's input -> pixels; size: (H, W).
    Returns:
        the same, with "keypoints" (J, 2) pixels in place of "coords", and "classes" (H, W) uint8.
    """
    placed = {name: value for name, value in answer.items() if name not in ("coords", "classes")}
    if "coords" in answer:
        placed = {"keypoints": transform_points(matrix, answer["coords"]), **placed}
    if "classes" in answer:
        placed["classes"] = classes_at(answer["classes"], matrix, size)
    return placed


def of_pictures(
    run, pictures: list, *, tta: str = "none", decoder: str | None = None, min_score: float | None = None
) -> list[dict]:
    """See `Run.predict`."""
    check_min_score(run, min_score)
    ready = answerer(run, tta=tta, decoder=decoder)
    if ready.scores:
        warnings.warn(ready.scores, stacklevel=4)
    if not pictures:
        return []

    def sequence():
        for number, source in enumerate(pictures):
            image = image_io.as_image(source)
            name = str(source) if isinstance(source, str | pathlib.Path) else str(number)
            yield feeding.Picture(name, str(number), number, (), image.shape[:2], image), image

    answered = []
    for batch in feeding.batches_of(ready.group(sequence(), run.shape), max(1, AT_ONCE // ready.frames)):
        answered += feeding.answered(batch, ready.answer)
    found = []
    for picture in answered:
        ((matrix, _),), (answer,) = picture.places, picture.answers
        found.append(in_picture(answer, matrix, picture.size))
        if min_score is not None:
            found[-1]["found"] = answer["scores"] >= min_score
    return found
