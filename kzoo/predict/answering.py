"""Answers of a trained network for the user's own pictures and videos."""

import contextlib
import functools
import itertools
import signal
import sys
import threading

from kzoo import UserError, cli


def predict(
    folder,
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
) -> tuple[int, int]:
    """Answer for pictures or for the frames of a video by the best network of a run; see the top of this file for what
    is written.

    Args:
        folder: run folder; images: files, folders and globs; video: file, in place of them; out: folder to write to;
        boxes: JSON file of persons; overwrite: replace results in `out`; batch_size: pictures a step; decoder: see
        `predictors.decoders_of`, not "all"; tta: "none", "flip" or "flip_shift"; skip: frames from one of a window to
        the next (default: the data set's).
    Returns:
        how many pictures were written, and how many files and boxes were left out.
    Raises:
        UserError: a mistake in the arguments, before anything is written.
        KeyboardInterrupt: after Ctrl-C, when what was finished has its final name.
    """
    if bool(images) == bool(video):
        raise UserError("give pictures, --images=<file, folder or glob>, or one video, --video=<file>")
    if decoder == "all":
        raise UserError("--decoder=all is for scores, see eval.py; give one decoder")

    from tqdm.auto import tqdm

    from kzoo import runs
    from kzoo.predict import readers, writers

    writers.check_free(out, overwrite=overwrite)
    run = runs.describe(folder)
    task = runs.task_of(run)
    found = readers.read_boxes(boxes) if boxes else None
    if boxes and not task.input.boxes:
        raise UserError(f"--boxes are of persons, for pose, and this is a run of {run['flags']['task']}")
    source = readers.open_video(video) if video else readers.named(readers.find_pictures(images))
    total = (source.length or None) if video else len(source)
    answer, group, step = _network(folder, run, decoder, tta, skip)
    problems = []

    def problem(text):
        problems.append(text)
        tqdm.write(f"predict: {text}", file=sys.stderr)

    if boxes:
        group = functools.partial(readers.crops, boxes=found, problem=problem)
    sequences = [source.frames()] if video else _by_folder(source, problem)
    shape = cli.shape_of(run["flags"]["size"])
    items = itertools.chain.from_iterable(group(sequence, shape) for sequence in sequences)
    with (
        _stopping() as stopped,
        writers.Writer(out, task.answers.writer, run["names"], source.fps if video else None) as writer,
        tqdm(total=total, unit="img", desc="predict", dynamic_ncols=True) as bar,
    ):
        for batch in _batches(items, max(1, batch_size // step)):
            for picture in _answered(batch, answer):
                writer.write(picture)
                bar.update(1)
            if stopped.is_set():
                break
    whole = f" of {total}" if total else ""
    if stopped.is_set():
        print(
            f"predict: stopped: {writer.written}{whole} {'frames' if video else 'pictures'} are in {out}",
            file=sys.stderr,
        )
        raise KeyboardInterrupt
    if boxes and not writer.entries:
        print(
            "no box is of one of these pictures: boxes are found by file name, or by image_id where files are named after numbers"
        )
    print(f"{writer.written}{whole} {'frames' if video else 'pictures'} are in {out}; {len(problems)} left out")
    return writer.written, len(problems)


def _by_folder(named, problem):
    """Sequences of pictures: those of each folder."""
    from kzoo.predict import readers

    for _, group in itertools.groupby(named, key=lambda entry: entry[0].parent):
        yield readers.read_pictures(group, problem)


def _network(folder, run: dict, decoder, tta: str, skip: int | None) -> tuple:
    """What answers a batch, how pictures are grouped for it, and how many pictures it reads at once.

    Returns:
        function (B, …) uint8 -> {name: (B, …)}; function (sequence, shape) -> items, see `prediction_sources`; frames.
    """
    from kzoo import runs
    from kzoo.data import builders
    from kzoo.inference import predictors
    from kzoo.predict import readers
    from kzoo.training import networks

    task, flag = runs.task_of(run), run["flags"]
    if decoder not in (None, "coords"):
        cli.pick(predictors.decoding.DECODERS, decoder, "decoder")
    model = runs.load_model(folder)
    reads = networks.reads(model)
    if reads not in (("image",), ("frames",)):
        raise UserError(
            f"{flag['arch']} of {folder} reads {' and '.join(reads)}; allowed: networks that read pictures or their frames alone, lifters "
            "for instance with --set=pose_run=<run of pose>"
        )
    metadata = {**run["dataset"].get("metadata", {}), task.names: run["names"]}
    (decoder,) = predictors.decoders_of(model, decoder)
    if reads == ("image",) or not task.input.middle_frame:
        if skip:
            raise UserError(
                f"--skip is for networks of windows, mapnet for instance, and not for this run of {flag['arch']}"
            )
        frames = model.inputs[0].shape[1]
        group = readers.singles if reads == ("image",) else functools.partial(readers.clips, length=frames)
    else:
        name, _, config = flag["dataset"].partition("/")
        configs = {c.name: c for c in builders.builder_class(name).BUILDER_CONFIGS} if name in builders.DATASETS else {}
        skip = skip or getattr(configs.get(config), "skip", 1)
        group = functools.partial(readers.windows, length=model.inputs[0].shape[1], skip=skip)
    step = 1 if reads == ("image",) else model.inputs[0].shape[1]
    if task.input.dense:
        own = tuple(model.input_shape[1:3])
        network_at = predictors.sized(task, lambda at: model if at == own else runs.load_model(folder, at))
        dense = predictors.Dense(
            task, network_at, {f"flip_{task.names}": (), **metadata}, cli.shape_of(flag["size"]), mode=tta
        )
        return lambda inputs: dense.answers(inputs)[tta], group, step
    mirrored = predictors.Mirrored(task, model, metadata, tta=tta, decoders=(decoder,))

    def answer(inputs):
        outputs = mirrored(inputs, mirrored.scored)
        decoded = task.evaluator.decode(outputs, **({"decoder": decoder} if decoder else {}))
        return {**decoded, **({"scores": _joint_scores(outputs, decoded["coords"])} if "coords" in decoded else {})}

    return answer, group, step


def _joint_scores(outputs: dict, coords):
    """(B, J) in 0..1: the peak of each joint's map, 1 where there is none; its mean is the "confidence" of
    `decoding.decode_pose`."""
    import numpy as np

    from kzoo.nn import decoding

    maps = next((outputs[name] for name in decoding.MAPS if name in outputs), None)
    return np.ones(coords.shape[:2]) if maps is None else np.clip(maps.max(axis=(1, 2)), 0, 1)


def _batches(items, size: int):
    items = iter(items)
    while batch := list(itertools.islice(items, size)):
        yield batch


def _answered(batch, answer):
    """Hands the answers for a batch of items to their pictures; the pictures that have all of theirs."""
    import numpy as np

    inputs = [array for array, _ in batch if array is not None]
    answers = answer(np.stack(inputs)) if inputs else {}
    index = 0
    for array, targets in batch:
        for picture, part in targets:
            if array is not None:
                picture.answers.append(
                    {
                        name: value[index][part]
                        for name, value in answers.items()
                        if np.ndim(value[index]) or part is ...
                    }
                )
            if len(picture.answers) == len(picture.places):
                yield picture
        index += array is not None


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
