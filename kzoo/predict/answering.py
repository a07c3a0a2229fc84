"""Answers of a trained network for the user's own pictures and videos."""

import contextlib
import dataclasses
import functools
import itertools
import signal
import sys
import threading

from tqdm.auto import tqdm

from kzoo import UserError, cli, files
from kzoo.inference import answers, feeding
from kzoo.predict import boxes as persons_of
from kzoo.predict import listing, readers, writers
from kzoo.runs import Run

NAMED = 3  # boxes that are told one by one


class Interrupted(cli.Stopped):
    """A signal has ended it; the text says what was finished and where it is.

    number: the signal's.
    """

    def __init__(self, number: int, text: str):
        super().__init__(number)
        self.args = (text,)


class LeftOut:
    """Tells of what is left out, a line each, and counts."""

    def __init__(self):
        self.count = 0

    def __call__(self, text: str, count: int = 1):
        self.count += count
        self.note(text)

    @staticmethod
    def note(text: str):
        """What is told and not counted."""
        tqdm.write(f"predict: {text}", file=sys.stderr)


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
        how many pictures were written, and how many files, frames and boxes were left out.
    Raises:
        UserError: a mistake in the arguments, before anything is written; a full disk, when what was finished has its
        final name.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP, when what was finished has its final name.
    """
    # Mistakes are told before the network is built.
    if bool(images) == bool(video):
        raise UserError("give pictures, images=<files, folders or globs>, or one video, video=<file>")
    run = Run.open(run)
    out = writers.check_free(out, overwrite=overwrite)
    if boxes and not run.task.input.boxes:
        raise UserError(f"boxes are of persons, for pose, and this is a run of {run.flags['task']}")
    answers.check_min_score(run, min_score)
    persons = persons_of.read_boxes(boxes) if boxes else persons_of.Boxes([], [])
    if video:
        source, notes, matched = readers.open_video(video), [], persons_of.match_frames(persons.entries)
    else:
        found = listing.find_pictures(images)
        matched = persons_of.match(persons.entries, found.files)
        notes = [*found.notes, *(f"boxes={files.printable(boxes)}: {note}" for note in matched.notes)]
        paths = [file.path for file in found.files]
        source = readers.Pictures(listing.named(paths, matched.numbers))
    ready = answers.answerer(run, tta=tta, decoder=decoder, skip=skip)
    if ready.scores:
        print(f"predict: {ready.scores}", file=sys.stderr)
    results = run.task.answers.writer
    if min_score is not None:
        results = dataclasses.replace(results, draw=functools.partial(results.draw, min_score=min_score))

    # From files to items that the network reads; what cannot be read is told and left out.
    left_out = LeftOut()
    for note in (*notes, *persons.notes):
        left_out.note(note)
    _tell_lost(matched.lost, boxes, left_out)  # numbers of frames are known to be too high in the end
    of_number = matched.boxes if video else {source.files[place][2]: row for place, row in matched.boxes.items()}
    group = functools.partial(feeding.crops, boxes=of_number, problem=left_out) if boxes else ready.group
    items = itertools.chain.from_iterable(group(sequence, run.shape) for sequence in source.sequences(left_out))

    # Answers are written as they come.
    unwritten, without_box = None, 0
    writer = writers.Writer(out, results, run.names, source.fps)
    with _stopping() as stopped:
        try:
            with writer, _bar(source.length) as bar:
                for batch in feeding.batches_of(items, max(1, batch_size // ready.frames)):
                    for picture in feeding.answered(batch, ready.answer):
                        writer.write(picture)
                        without_box += not picture.places
                        bar.update(1)
                    if stopped:
                        raise KeyboardInterrupt
        except KeyboardInterrupt as stop:  # the second signal's too
            stopped = stopped or [getattr(stop, "number", signal.SIGINT)]
        except writers.Unwritten as error:
            unwritten = error

    # What was done.
    if video and boxes and not stopped and not unwritten:
        _tell_lost(persons_of.beyond(persons.entries, writer.written), boxes, left_out)
    whole = f" of {source.length}" if source.length else ""
    done = f"{writer.written}{whole} {source.unit} are in {files.printable(writer.place)}"
    if boxes and without_box:
        done += f"; {without_box} without a box"
    if unwritten:
        raise UserError(f"{unwritten}: {done}") from unwritten
    if stopped:
        raise Interrupted(stopped[0], f"stopped: {done}")
    print(f"{done}; {left_out.count} left out")
    return writer.written, left_out.count


def _bar(length: int):
    """Of the progress; none where nobody looks: its line would stand before each of those of a log."""
    return tqdm(total=length or None, unit="img", desc="predict", dynamic_ncols=True, disable=None)


def _tell_lost(lost, boxes, left_out: LeftOut):
    """Boxes that are of no picture: the first ones by name, then how many more."""
    boxes = boxes and files.printable(boxes)
    for entry, why in lost[:NAMED]:
        left_out(f"boxes={boxes}: {entry} is left out: {why}")
    if len(lost) > NAMED:
        more = len(lost) - NAMED
        left_out(f"boxes={boxes}: {more} more {'entry is' if more == 1 else 'entries are'} of no picture", more)


@contextlib.contextmanager
def _stopping():
    """A list that gets the number of the first signal that asks to end; the second one is as usual."""
    stopped, before = [], {}
    if threading.current_thread() is not threading.main_thread():  # only there signals are heard
        yield stopped
        return

    def restore():
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(number, _):
        stopped.append(number)
        restore()

    for number in files.ENDING:
        handler = signal.getsignal(number)
        if handler not in (signal.SIG_IGN, None):  # nohup asks for SIGHUP not to count
            before[number] = handler
    try:
        for number in before:
            signal.signal(number, stop)
        yield stopped
    finally:
        restore()
