"""MNIST and Fashion-MNIST are TFDS's own: its builders run here on small files of the published format."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.data import builders, pipeline
from kzoo.tasks import TASKS

COUNTS = {"train": 30, "test": 20}


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Files as published (idx: a header of 16 or 8 bytes, then bytes), and (images, labels) by split."""
    made, files, rng = {}, {}, np.random.default_rng(0)
    for split, count in COUNTS.items():
        images, labels = (
            rng.integers(0, 256, (count, 28, 28, 1), dtype="uint8"),
            rng.integers(0, 10, count).astype("uint8"),
        )
        for kind, header, values in (("data", 16, images), ("labels", 8, labels)):
            files[f"{split}_{kind}"] = tmp_path / f"{split}_{kind}"
            files[f"{split}_{kind}"].write_bytes(bytes(header) + values.tobytes())
        made[split] = images, labels
    module = __import__("tensorflow_datasets.image_classification.mnist", fromlist=["mnist"])
    monkeypatch.setattr(module, "_TRAIN_EXAMPLES", COUNTS["train"])
    monkeypatch.setattr(module, "_TEST_EXAMPLES", COUNTS["test"])
    monkeypatch.setattr(
        tfds.download.DownloadManager, "download_and_extract", lambda self, urls: {key: str(files[key]) for key in urls}
    )
    return made


@pytest.mark.parametrize(("name", "first"), [("mnist", "0"), ("fashion_mnist", "T-shirt/top")])
def test_all_examples_come_through_the_pipeline(name, first, published, tmp_path):
    builder = builders.prepare(name, str(tmp_path / "prepared"))
    task, split = TASKS["cluster"], task_split(name)
    assert builders.metadata_of(builder)["labels"][0] == first and len(builders.metadata_of(builder)["labels"]) == 10
    assert builders.size_of(builder, split) == 50
    label = task.outputs[task.main[0]].label
    batches = pipeline.in_order(builder, split, (28, 28), label=label, extras=(), reads=("image",), batch_size=16)
    found = list(batches.as_numpy_iterator())
    images, labels = np.concatenate([x for x, _, _ in found]), np.concatenate([y["label"] for _, y, _ in found])
    assert images.shape == (50, 28, 28, 3) and np.ptp(images, axis=-1).max() == 0, "grey"
    expected = {image.tobytes(): label for part in published.values() for image, label in zip(*part, strict=True)}
    assert {image[..., 0].tobytes(): label for image, label in zip(images, labels, strict=True)} == expected


def task_split(name):
    return TASKS["cluster"].recipes[name, ""]["train_split"]


def test_no_network_and_no_source(tmp_path, monkeypatch):
    def offline(self, urls):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", offline)
    with pytest.raises(UserError, match="mnist could not be prepared: no route to host"):
        builders.prepare("mnist", str(tmp_path))
    with pytest.raises(UserError, match="mnist is downloaded: it takes no --data_source"):
        builders.prepare("mnist", str(tmp_path), str(tmp_path))
