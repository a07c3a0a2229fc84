"""Images/s of kzoo's input pipeline against PyTorch's DataLoader with OpenCV and with Pillow.

All do the same work on the same pictures.

    pip install torch opencv-python-headless pillow
    python benchmarks/input_pipeline.py
    python benchmarks/input_pipeline.py --dataset=coco_subset/pose --data_dir=<prepared> --out=input_pipeline.json

The work: read and decode a picture, one affine warp (zoom, rotation, translation, flip; bilinear), colour jitter,
keypoints carried along, collated to batches of uint8 pictures. kzoo reads the TFRecords that it trains from; the others
read the same encoded bytes from one file per picture, which this script writes to a temporary folder. DataLoader gets
one worker process per core, tf.data its own threads.

Where the three differ: kzoo jitters brightness, contrast, saturation and hue as one 3x3 matrix and so does the OpenCV
loader; the Pillow loader uses ImageEnhance (brightness, contrast, colour; it has no hue), one pass over the picture
each. Every round starts by throwing away what was computed ahead while the others had their turn.
"""

import dataclasses
import importlib
import itertools
import json
import math
import os
import pathlib
import sys
import tempfile
import time

import contenders
import numpy as np

OPENCV = ("opencv-python-headless", "opencv-python")  # one of them is installed
PICTURES = 2000  # --images of None: this many, or the whole split if it is smaller


def kzoo_loader(settings):
    """Endless batches of `kzoo.data.pipeline.pipeline`, and the number that may lie ready."""
    from kzoo.data import augment, builders, pipeline, transforms

    builder = builders.prepare(settings["dataset"], settings["data_dir"])
    view = transforms.View(
        settings["size"],
        {"coords": "keypoints"},
        geometric=augment.Geometric(**settings["geometric"]),
        photometric=augment.Photometric(**settings["photometric"]),
    )
    per_epoch = settings["images"] // settings["batch_size"]
    # `prefetch(2)`, and what `map` and `batch` hold.
    ahead = 4 + math.ceil(2 * settings["cores"] / settings["batch_size"])
    epochs = range(2 + math.ceil(settings["rounds"] * (1 + ahead / per_epoch)))
    batches = pipeline.pipeline(builder, settings["split"], view, batch_size=settings["batch_size"], epochs=epochs)
    return iter(batches), ahead


def random_affine(rng, ranges, size, width, height):
    """Output pixels -> input pixels, both from the corner: (3, 3); and whether it mirrors.

    The distribution of `kzoo.data.augment`.
    """
    zoom, aspect, turn, shift_x, shift_y = rng.uniform(-1, 1, 5)
    scale = math.exp(zoom * math.log1p(ranges["zoom"]))
    stretch = math.exp(0.5 * aspect * math.log1p(ranges["aspect"]))
    angle = turn * math.radians(ranges["rotation_deg"])
    mirrored = rng.random() < ranges["flip"]
    x, y = (-1 if mirrored else 1) / (scale * stretch), stretch / scale
    linear = np.array([[math.cos(angle) * x, -math.sin(angle) * y], [math.sin(angle) * x, math.cos(angle) * y]])
    side = max(width, height)  # letterbox
    offset = 0.5 + ranges["translate"] * np.array([shift_x, shift_y]) - linear.sum(axis=1) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = linear * side / size
    matrix[:2, 2] = offset * side + (np.array([width, height]) - side) / 2
    return matrix, mirrored


def colour_matrix(rng, ranges):
    """Brightness, contrast, saturation and hue: (3, 4) for column vectors (r, g, b, 1) in 0..255."""
    brightness, contrast, saturation, hue = rng.uniform(-1, 1, 4)
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    angle = hue * math.radians(ranges["hue_deg"])
    factor = 1 + saturation * ranges["saturation"]
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    colour = (
        (1 + contrast * ranges["contrast"])
        * np.linalg.inv(to_yiq)
        @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        @ to_yiq
    )
    offset = 127.5 - colour @ np.full(3, 127.5) + 255 * brightness * ranges["brightness"]
    return np.concatenate([colour, offset[:, None]], axis=1)


def opencv_picture(path, rng, settings):
    """Decode, warp and jitter with OpenCV."""
    import cv2

    image = cv2.cvtColor(cv2.imread(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    height, width = image.shape[:2]
    matrix, mirrored = random_affine(rng, settings["geometric"], settings["size"], width, height)
    indices = matrix.copy()  # OpenCV counts from the centre of the first pixel
    indices[:2, 2] += 0.5 * matrix[:2, :2].sum(axis=1) - 0.5
    side = settings["size"]
    image = cv2.warpAffine(
        image, indices[:2], (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=(0, 0, 0)
    )
    return cv2.transform(image, colour_matrix(rng, settings["photometric"])), matrix, mirrored, (width, height)


def pillow_picture(path, rng, settings):
    """Decode, warp and jitter with Pillow."""
    from PIL import Image, ImageEnhance

    with Image.open(path) as file:
        image = file.convert("RGB")
    matrix, mirrored = random_affine(rng, settings["geometric"], settings["size"], *image.size)
    source_size = image.size
    ranges = settings["photometric"]
    size = (settings["size"], settings["size"])
    image = image.transform(size, Image.Transform.AFFINE, matrix[:2].ravel().tolist(), Image.Resampling.BILINEAR)
    for enhance, name in (
        (ImageEnhance.Brightness, "brightness"),
        (ImageEnhance.Contrast, "contrast"),
        (ImageEnhance.Color, "saturation"),
    ):
        image = enhance(image).enhance(1 + ranges[name] * rng.uniform(-1, 1))
    return np.array(image), matrix, mirrored, source_size


PICTURE = {"opencv": opencv_picture, "pillow": pillow_picture}


class Pictures:
    """Map-style data set for DataLoader: item -> {"image": (size, size, 3) uint8, "coords": (J, 3) float32}."""

    def __init__(self, settings):
        self.settings = settings
        self.picture = PICTURE[settings["loader"]]
        self.keypoints = np.load(os.path.join(settings["folder"], "keypoints.npy"))
        self.rng = np.random.default_rng(0)  # the workers get their own, see `seed_worker`

    def __len__(self):
        return len(self.keypoints)

    def __getitem__(self, item):
        image, matrix, mirrored, source_size = self.picture(
            os.path.join(self.settings["folder"], f"{item}.img"), self.rng, self.settings
        )
        keypoints = self.keypoints[item]
        pixels = np.concatenate([keypoints[:, :2] * source_size, np.ones((len(keypoints), 1))], axis=1)
        moved = (pixels @ np.linalg.inv(matrix).T)[:, :2] / self.settings["size"]
        labelled = (keypoints[:, 2] > 0) & ((moved >= 0) & (moved <= 1)).all(axis=1)
        keypoints = np.where(labelled[:, None], np.concatenate([moved, keypoints[:, 2:]], axis=1), 0).astype("float32")
        return {"image": image, "coords": keypoints[self.settings["flip"]] if mirrored else keypoints}


def seed_worker(number):
    """Own random numbers, and no threads of OpenCV's own, in every worker process."""
    import torch

    pictures = torch.utils.data.get_worker_info().dataset
    pictures.rng = np.random.default_rng(torch.initial_seed() + number)
    if pictures.settings["loader"] == "opencv":
        import cv2

        cv2.setNumThreads(0)


def torch_loader(settings):
    """Endless batches of a DataLoader, and the number that may lie ready."""
    import torch

    importlib.import_module({"opencv": "cv2", "pillow": "PIL"}[settings["loader"]])  # fail here, in one line
    pictures = Pictures(settings)
    workers = settings["cores"]
    sampler = torch.utils.data.RandomSampler(pictures, replacement=True, num_samples=10**9)
    loader = torch.utils.data.DataLoader(
        pictures,
        batch_size=settings["batch_size"],
        sampler=sampler,
        num_workers=workers,
        drop_last=True,
        worker_init_fn=seed_worker,
        prefetch_factor=2,
    )
    return iter(loader), 2 * workers + 1


def start(settings):
    """For `contenders.serve`: `work(batches)` times that many batches."""
    batches, ahead = (kzoo_loader if settings["loader"] == "kzoo" else torch_loader)(settings)

    def work(count):
        for _ in itertools.islice(batches, ahead):
            pass
        started = time.perf_counter()
        images = 0
        for image, _ in map(_pair, itertools.islice(batches, count)):
            images += len(image)
        return {"images_per_s": images / (time.perf_counter() - started)}

    image, coords = _pair(next(batches))
    work(ahead)  # tf.data's autotuning finds its parallelism; the DataLoader's workers have started
    return {"image": [*image.shape, str(image.dtype)], "coords": list(coords.shape)}, work


def _pair(batch):
    """(image, coords) of either kind of batch."""
    return (batch["image"], batch["coords"]) if isinstance(batch, dict) else (batch[0], batch[1]["coords"])


def extract(builder, split, folder) -> list[int]:
    """Writes the encoded pictures and the keypoints of a split; returns the bytes of each picture."""
    import tensorflow_datasets as tfds

    decoders = tfds.decode.PartialDecoding({"image": True, "keypoints": True}, {"image": tfds.decode.SkipDecoding()})
    sizes = []
    keypoints = []
    for number, record in enumerate(builder.as_dataset(split=split, decoders=decoders).as_numpy_iterator()):
        pathlib.Path(folder, f"{number}.img").write_bytes(record["image"])
        sizes.append(len(record["image"]))
        keypoints.append(record["keypoints"])
    np.save(pathlib.Path(folder, "keypoints.npy"), np.stack(keypoints))
    return sizes


def main():
    from absl import flags

    from kzoo import UserError
    from kzoo.data import builders
    from kzoo.nn.geometry import flip_permutation
    from kzoo.tasks import POSE

    flag = flags.FLAGS
    builder = builders.prepare(flag.dataset, flag.data_dir)
    if "keypoints" not in builder.info.features:
        raise UserError(f"{flag.dataset} has no keypoints; use people or coco_subset/pose")
    images = min(flag.images or PICTURES, builders.size_of(builder, "train"))
    if images < flag.batch_size:
        raise UserError(f"--images={images} (or the split) is smaller than --batch_size={flag.batch_size}")

    # Every loader works on the same pictures, in turns.
    with tempfile.TemporaryDirectory() as folder:
        split = f"train[:{images}]"
        sizes = extract(builder, split, folder)
        metadata = builder.info.metadata
        settings = {
            "dataset": flag.dataset,
            "data_dir": flag.data_dir,
            "split": split,
            "images": images,
            "size": flag.size,
            "folder": folder,
            "batch_size": flag.batch_size,
            "rounds": flag.rounds + 1,
            "cores": contenders.cores(),
            "geometric": dataclasses.asdict(POSE.input.geometric),
            "photometric": dataclasses.asdict(POSE.input.photometric),
            "flip": [int(i) for i in flip_permutation(len(metadata["joints"]), metadata["flip_joints"])],
        }
        names = {"kzoo": "kzoo (tf.data)", "opencv": "DataLoader + OpenCV", "pillow": "DataLoader + Pillow"}
        no_gpu = {"CUDA_VISIBLE_DEVICES": ""}
        loaders = {name: ({**settings, "loader": loader}, no_gpu) for loader, name in names.items()}
        hardware = contenders.hardware()
        running = contenders.start_all(__file__, loaders)
        try:
            rates = contenders.interleave(running, flag.rounds, images // flag.batch_size)
        finally:
            for contender in running.values():
                contender.close()

    # What came of it.
    result = contenders.summary(rates, names["kzoo"])
    tensorflow = ("tensorflow", "tensorflow-datasets")
    versions = contenders.versions("kzoo", *tensorflow, "torch", *OPENCV, "pillow", "numpy")
    print(
        f"\nInput pipeline: {builder.info.full_name}, {images} pictures of {sum(sizes) / len(sizes) / 1024:.1f} KiB, "
        f"to {flag.size} px, batch {flag.batch_size}, {flag.rounds} rounds of {images // flag.batch_size} batches\n"
    )
    lines = []
    for name, row in result.items():
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
        lines.append([name, f"{row['median']:.0f}", f"{row['min']:.0f} to {row['max']:.0f}", ratio])
    print(contenders.table(["loader", "images/s (median)", "min to max", "kzoo ÷ it"], lines))
    print(f"\n{hardware}; {versions}")
    if flag.out:
        record = {"hardware": hardware, "versions": versions, "settings": settings, "images_per_s": result}
        pathlib.Path(flag.out).write_text(json.dumps(record, indent=1))


def _define_flags():
    from absl import flags

    flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
    flags.DEFINE_string("dataset", "people", "people or coco_subset/pose (prepared)")
    # Below half the pictures' side kzoo would decode at a lower resolution, which the other loaders do not.
    flags.DEFINE_integer("size", 256, "side of the network's input in pixels", lower_bound=128)
    flags.DEFINE_integer("batch_size", 32, "pictures a batch", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "times that every loader has its turn", lower_bound=1)
    flags.DEFINE_integer(
        "images", None, f"pictures used, and timed a round (default: the first {PICTURES} of train)", lower_bound=1
    )
    flags.DEFINE_string("out", None, "JSON file for the numbers")


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        contenders.serve(start)
    from kzoo import cli

    _define_flags()
    cli.run(main)
