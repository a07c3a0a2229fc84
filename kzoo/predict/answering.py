"""Answers of a trained network for the user's own pictures and videos."""

import contextlib
import dataclasses
import functools
import itertools
import signal
import sys
import threading

from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.inference import answers, feeding
from kzoo.predict import readers, writers
from kzoo.runs import Run


def predict(
    run,
    *,
    images=(),
    video=None,
    out,
    boxes=None,
    overwrite: bool = False,
    batch_size: int = 16,
    decoder: str | None = None,
    tta: str = "none",
    skip: int | None = None,
    min_score: float | None = None,
) -> tuple[int, int]:
    """Answer for pictures, or for the frames of a video, by the best network of a run.

    What is written is told at the top of `python -m kzoo.predict`.

    Args:
        run: `Run`, or its folder; images: files, folders and globs; video: file, in place of them; out: folder to write
        to; boxes: JSON file of persons; overwrite: replace results in `out`; batch_size: pictures a step; tta, decoder,
        skip: see `kzoo.inference.answers.answerer`; min_score: joints whose score is lower are not drawn.
    Returns:
        how many pictures were written, and how many files and boxes were left out.
    Raises:
        UserError: a mistake in the arguments, before anything is written.
        KeyboardInterrupt: after Ctrl-C, when what was finished has its final name.
    """
    # Mistakes are told before the network is built.
    if bool(images) == bool(video):
        raise UserError("give pictures, images=<files, folders or globs>, or one video, video=<file>")
    run = Run.open(run)
    writers.check_free(out, overwrite=overwrite)
    persons = readers.read_boxes(boxes) if boxes else None
    if boxes and not run.task.input.boxes:
        raise UserError(f"boxes are of persons, for pose, and this is a run of {run.flags['task']}")
    answers.check_min_score(run, min_score)
    source = readers.open_video(video) if video else readers.open_pictures(images)
    ready = answers.answerer(run, tta=tta, decoder=decoder, skip=skip)
    if ready.scores:
        print(f"predict: {ready.scores}", file=sys.stderr)
    results = run.task.answers.writer
    if min_score is not None:
        results = dataclasses.replace(results, draw=functools.partial(results.draw, min_score=min_score))

    # From files to items that the network reads; what cannot be read is told and left out.
    problems = []

    def problem(text):
        problems.append(text)
        tqdm.write(f"predict: {text}", file=sys.stderr)

    group = functools.partial(feeding.crops, boxes=persons, problem=problem) if boxes else ready.group
    items = itertools.chain.from_iterable(group(sequence, run.shape) for sequence in source.sequences(problem))

    # Answers are written as they come.
    with (
        _stopping() as stopped,
        writers.Writer(out, results, run.names, source.fps) as writer,
        tqdm(total=source.length or None, unit="img", desc="predict", dynamic_ncols=True) as bar,
    ):
        for batch in feeding.batches_of(items, max(1, batch_size // ready.frames)):
            for picture in feeding.answered(batch, ready.answer):
                writer.write(picture)
                bar.update(1)
            if stopped.is_set():
                break

    # What was done.
    whole = f" of {source.length}" if source.length else ""
    done = f"{writer.written}{whole} {source.unit} are in {out}"
    if stopped.is_set():
        print(f"predict: stopped: {done}", file=sys.stderr)
        raise KeyboardInterrupt
    if boxes and not writer.entries:
        print(
            "no box is of one of these pictures: boxes are found by file name, or by image_id where files are named "
            "after numbers"
        )
    print(f"{done}; {len(problems)} left out")
    return writer.written, len(problems)


@contextlib.contextmanager
def _stopping():
    """An event that the first Ctrl-C sets; the second one is as usual."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only there signals are heard
        yield stopped
        return

    def stop(*_):
        stopped.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)
