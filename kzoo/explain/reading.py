"""What is explained and searched: the user's pictures, or examples of the run's data set, as the network reads them."""

import pathlib

import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError
from kzoo.data import builders, image_io

BATCH = 16  # of pictures that are searched


def read_inputs(run, images, examples, split: str, data_dir: str | None) -> tuple[dict, list[str]]:
    """What is explained: first the pictures and then the examples.

    Args:
        run: `kzoo.runs.Run`; images: files; examples: numbers in `split` of its data set; data_dir: see `Run.builder`.
    Returns:
        {input: (N, …)} of all inputs of the network, and N titles.
    Raises:
        UserError: pictures for a network that reads something else, or an example that is not there.
    """
    if images and run.reads != ("image",):
        raise UserError(f"{run.arch} reads {' and '.join(run.reads)}, not one picture: give examples instead of images")
    shown = [{"image": image_io.to_input(image_io.read_picture(path), run.shape)[0]} for path in images]
    if examples:
        shown += _examples(run, examples, split, data_dir)
    titles = [*(pathlib.Path(path).name for path in images), *(f"{split} #{index}" for index in examples)]
    return {name: np.stack([inputs[name] for inputs in shown]) for name in run.reads}, titles


def _examples(run, numbers, split: str, data_dir) -> list[dict]:
    """{input: array} of each of these examples."""
    size = builders.size_of(run.builder(data_dir), split)
    if max(numbers) >= size:
        raise UserError(f"example {max(numbers)}: {split} has {size} examples; allowed: 0 to {size - 1}")
    wanted = {}
    batches = run.data(split, batch_size=1, data_dir=data_dir).as_numpy_iterator()
    for index, (inputs, *_) in zip(range(max(numbers) + 1), batches, strict=False):
        if index in numbers:
            wanted[index] = {name: value[0] for name, value in _by_name(inputs, run.reads).items()}
    return [wanted[index] for index in numbers]


def _by_name(inputs, reads: tuple[str, ...]) -> dict:
    """{input: (B, …)}, which the pipeline gives of several inputs only."""
    return inputs if isinstance(inputs, dict) else {reads[0]: inputs}


def searched_batches(run, searched: int, data_dir: str | None):
    """The first examples of the training split, in order: generator of {input: (B, …)}."""
    split = run.flags["train_split"]
    left = min(searched, builders.size_of(run.builder(data_dir), split))
    batches = run.data(split, batch_size=BATCH, data_dir=data_dir).as_numpy_iterator()
    with tqdm(total=left, unit="img", desc="patches", dynamic_ncols=True, leave=False) as bar:
        for inputs, *_ in batches:
            inputs = {name: value[:left] for name, value in _by_name(inputs, run.reads).items()}
            yield inputs
            taken = len(next(iter(inputs.values())))
            left -= taken
            bar.update(taken)
            if not left:
                return
