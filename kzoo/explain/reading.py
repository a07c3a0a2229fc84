"""What is explained and searched: the user's pictures, or examples of the run's data set, as the network reads them."""

import pathlib

import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, cli
from kzoo.data import builders, image_io
from kzoo.evaluation import scoring
from kzoo.training import networks

BATCH = 16  # of pictures that are searched


def read_inputs(task, model, run: dict, images, examples, split: str, data_dir) -> tuple[dict, list[str]]:
    """{input: (N, …)} of all inputs of the network, first the pictures and then the examples; and N titles."""
    reads, shape = networks.reads(model), cli.shape_of(run["flags"]["size"])
    if images and reads != ("image",):
        raise UserError(
            f"{run['flags']['arch']} reads {' and '.join(reads)}, not one picture: give --example=<number> instead of --image"
        )
    found = [{"image": image_io.to_input(image_io.read_picture(path), shape)[0]} for path in images]
    if examples:
        builder = prepared(run, data_dir)
        size = builders.size_of(builder, split)
        if max(examples) >= size:
            raise UserError(f"--example={max(examples)}: {split} has {size} examples; allowed: 0 to {size - 1}")
        wanted = {}
        pipeline = scoring.batches(task, builder, split, shape, 1, reads)
        for index, batch in zip(range(max(examples) + 1), pipeline.as_numpy_iterator(), strict=False):
            if index in examples:
                wanted[index] = {name: value[0] for name, value in as_dict(batch[0], reads).items()}
        found += [wanted[index] for index in examples]
    titles = [*(pathlib.Path(path).name for path in images), *(f"{split} #{index}" for index in examples)]
    return {name: np.stack([one[name] for one in found]) for name in reads}, titles


def as_dict(inputs, reads) -> dict:
    return inputs if isinstance(inputs, dict) else {reads[0]: inputs}


def prepared(run: dict, data_dir):
    """The builder of the run's data set; UserError where it is not what the run saw."""
    builder = builders.prepare(run["flags"]["dataset"], data_dir or run["flags"]["data_dir"])
    scoring.check_same_data(run, builders.describe(builder))
    return builder


def searched_batches(task, model, run: dict, searched: int, data_dir):
    """{input: (B, …)} of the first examples of the training split."""
    builder, split, reads = prepared(run, data_dir), run["flags"]["train_split"], networks.reads(model)
    left = min(searched, builders.size_of(builder, split))
    pipeline = scoring.batches(task, builder, split, cli.shape_of(run["flags"]["size"]), BATCH, reads)
    with tqdm(total=left, unit="img", desc="patches", dynamic_ncols=True, leave=False) as bar:
        for batch in pipeline.as_numpy_iterator():
            inputs = {name: value[:left] for name, value in as_dict(batch[0], reads).items()}
            yield inputs
            taken = len(next(iter(inputs.values())))
            left -= taken
            bar.update(taken)
            if not left:
                return
