"""The input pipeline: repeatable, labels that follow the picture, and mistakes told in one line."""

import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from kzoo import UserError
from kzoo.data import augment, borders, builders, pipeline, transforms
from kzoo.datasets.coco_subset import sources
from kzoo.datasets.people import render
from kzoo.nn import geometry

JITTER = {"geometric": augment.Geometric(), "photometric": augment.Photometric()}
FLIP = augment.Geometric(zoom=0.0, rotation_deg=0.0, translate=0.0, aspect=0.0, flip=1.0)
LABELS = {"coords": "keypoints", "logits": "mask"}
SIDE = render.SIZE


@pytest.fixture(scope="module")
def people(people_dir):
    return builders.prepare("people", people_dir)


def epochs(builder, first, last, batch_size=6, seed=0, size=32, split="train[:20]", **kwargs):
    """One digest a batch, of the image, the labels and the ids."""
    view = transforms.View(size, LABELS, extras=("image_id",), **JITTER)
    batches = pipeline.pipeline(
        builder, split, view, batch_size=batch_size, seed=seed, epochs=range(first, last), **kwargs
    )
    digests, ids = [], []
    for image, labels, extras in batches.as_numpy_iterator():
        assert len(image) == batch_size
        content = b"".join(value.tobytes() for value in (image, labels["coords"], labels["logits"], extras["image_id"]))
        digests.append(hashlib.sha256(content).hexdigest())
        ids.append(extras["image_id"].tolist())
    return digests, ids


@pytest.fixture(scope="module")
def whole(people):
    keras.utils.set_random_seed(1)
    return epochs(people, 0, 3)


# shapes and types


@pytest.mark.parametrize("jitter", [{}, JITTER])
def test_shapes_and_types(people, jitter):
    """Without epochs: once, in order, with the remainder."""
    batches = pipeline.pipeline(
        people, "val", transforms.View(48, LABELS, extras=("image_id", "area"), **jitter), batch_size=12
    )
    image, labels, extras = batches.element_spec
    assert image.shape == (None, 48, 48, 3) and image.dtype == tf.uint8
    assert labels["coords"].shape == (None, 17, 3) and labels["coords"].dtype == tf.float32
    assert labels["logits"].shape == (None, 48, 48) and labels["logits"].dtype == tf.uint8
    sizes, ids = [], []
    for image, labels, extras in batches.as_numpy_iterator():
        sizes.append(len(image))
        ids.extend(extras["image_id"].tolist())
        assert image.std() > 10 and set(np.unique(labels["logits"])) <= {*range(7), 255}
        x, y, v = labels["coords"].transpose(2, 0, 1)
        assert set(np.unique(v)) <= {0, 1, 2} and (v > 0).mean() > 0.5
        assert not x[v == 0].any() and 0 <= x.min() and x.max() <= 1 and 0 <= y.min() and y.max() <= 1
    assert sizes == [12, 12, 8] and len(set(ids)) == 32 and set(extras) == {"image_id", "area"}


def test_without_extras_and_with_one_label(people):
    image, labels = next(
        iter(pipeline.pipeline(people, "train[:4]", transforms.View(32, {"a": "mask", "b": "mask"}), batch_size=4))
    )
    assert image.shape == (4, 32, 32, 3) and set(labels) == {"a", "b"}
    np.testing.assert_array_equal(labels["a"], labels["b"])


def test_full_size_without_augmentation_is_what_is_stored(people):
    ((image, labels, extras),) = pipeline.pipeline(
        people, "val[:5]", transforms.View(SIDE, LABELS, ("image_id",)), batch_size=5
    ).as_numpy_iterator()
    stored = {int(e["image_id"]): e for e in tfds.as_numpy(people.as_dataset(split="val[:5]"))}
    for i, key in enumerate(extras["image_id"]):
        np.testing.assert_array_equal(image[i], stored[key]["image"])
        np.testing.assert_array_equal(labels["logits"][i], stored[key]["mask"][..., 0])
        np.testing.assert_allclose(labels["coords"][i], stored[key]["keypoints"], atol=1e-6)


def test_the_shuffle_holds_encoded_pictures(people):
    spec = pipeline._records(people, "train", {"image", "mask", "keypoints"}, False).element_spec
    assert spec["image"].dtype == spec["mask"].dtype == tf.string and spec["keypoints"].shape == (17, 3)
    assert set(spec) == {"image", "mask", "keypoints"}, "what no one reads is not decoded"


# the same run twice


def test_epochs_differ(whole):
    digests, ids = whole
    assert len(digests) == 9 and len(set(digests)) == 9
    orders = [sum(ids[3 * e : 3 * e + 3], []) for e in range(3)]
    assert all(len(set(order)) == 18 for order in orders), "every example at most once an epoch"
    assert orders[0] != orders[1] != orders[2] and orders[0] != sorted(orders[0])


@pytest.mark.parametrize("cache", [False, True])
def test_resumed_epochs_equal_uninterrupted_ones(people, whole, cache):
    """Whatever the state of the global random numbers."""
    keras.utils.set_random_seed(2)
    assert epochs(people, 1, 3, cache=cache) == (whole[0][3:], whole[1][3:])


def test_another_seed_gives_another_order(people, whole):
    _, ids = epochs(people, 0, 1, seed=1)
    assert ids != whole[1][:3]


def test_no_epoch_is_left(people):
    """A finished run that is resumed."""
    assert epochs(people, 3, 3) == ([], [])


@pytest.mark.parametrize("cache", [False, True])
def test_cache_reads_the_files_once(people, monkeypatch, cache):
    read, plain = [], people.as_dataset

    def counting(**kwargs):
        def note(record):
            tf.py_function(lambda key: read.append(int(key)), [record["image_id"]], [])
            return record

        return plain(**kwargs).map(note)

    monkeypatch.setattr(people, "as_dataset", counting)
    epochs(people, 0, 3, cache=cache)
    assert len(read) == (20 if cache else 60)


# flips


def test_a_flip_swaps_left_and_right(people):
    """Against the same examples without: mirrored picture, joints and parts under their new names."""

    def read(geometric):
        (batch,) = pipeline.pipeline(
            people, "val[:8]", transforms.View(SIDE, LABELS, geometric=geometric), batch_size=8
        ).as_numpy_iterator()
        return batch

    (image, labels), (mirrored, swapped) = read(None), read(FLIP)
    np.testing.assert_array_equal(mirrored, image[:, :, ::-1])
    joints = np.array([0, *(k + (1 if k % 2 else -1) for k in range(1, 17))])  # nose; then left, right, left, right …
    expected = labels["coords"][:, joints]
    expected[..., 0] = np.where(expected[..., 2] > 0, 1 - expected[..., 0], 0)
    np.testing.assert_allclose(swapped["coords"], expected, atol=1e-6)
    classes = np.array([0, 1, 2, 4, 3, 6, 5])
    np.testing.assert_array_equal(swapped["logits"], classes[labels["logits"]][:, :, ::-1])
    assert (labels["logits"] == 3).any() and (labels["logits"] == 6).any()


# pictures of any size

SHAPES = [(1200, 1600), (500, 300), (60, 64), (601, 1001)]
SPOTS = [(0.3, 0.4), (0.6, 0.7), (0.35, 0.6), (0.55, 0.45)]


class Spots(tfds.core.GeneratorBasedBuilder):
    """JPEG pictures of several sizes, each with a bright spot: a joint, and class 1 of the mask."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "keypoints": tfds.features.Tensor(shape=(2, 3), dtype=np.float32),
        }
        metadata = {"joints": ["left", "right"], "flip_joints": [[0, 1]], "flip_classes": [[1, 2]]}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), metadata=tfds.core.MetadataDict(metadata)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for key, ((height, width), (x, y)) in enumerate(zip(SHAPES, SPOTS, strict=True)):
            radius = max(height, width) / 20
            i, j = np.arange(height)[:, None] + 0.5 - y * height, np.arange(width) + 0.5 - x * width
            light = 20 + 230 * np.exp(-(i**2 + j**2) / (2 * radius**2))
            image = np.repeat(light[..., None], 3, -1).astype("uint8")
            yield (
                key,
                {
                    "image": image,
                    "mask": (i**2 + j**2 < radius**2)[..., None].astype("uint8"),
                    "keypoints": np.array([[x, y, 2], [0, 0, 0]], "float32"),
                },
            )


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    builder = Spots(data_dir=tmp_path_factory.mktemp("spots"))
    builder.download_and_prepare()
    return builder


@pytest.mark.parametrize("geometric", [None, augment.Geometric(zoom=0.2, rotation_deg=25, translate=0.03, aspect=0.2)])
@pytest.mark.parametrize("size", [48, 160])
def test_spot_joint_and_mask_agree(spots, size, geometric):
    """Through reduced decoding, letterbox and augmentation."""
    batches = pipeline.pipeline(
        spots, "train", transforms.View(size, LABELS, geometric=geometric), batch_size=4, seed=3
    )
    ((image, labels),) = batches.as_numpy_iterator()
    centres, mirrored = (np.arange(size) + 0.5) / size, 0
    for picture, mask, joints in zip(image, labels["logits"], labels["coords"], strict=True):
        (joint,) = np.flatnonzero(joints[:, 2])
        mirrored += joint
        assert set(np.unique(mask)) <= {0, joint + 1, 255}
        for light in (np.clip(picture[..., 0].astype(float) - 60, 0, None), mask == joint + 1):
            centroid = np.array([light.sum(0) @ centres, light.sum(1) @ centres]) / light.sum()
            assert np.abs(centroid - joints[joint, :2]).max() * size < 0.5
    assert geometric is None or mirrored, "choose a seed that mirrors one"


def test_letterbox(spots):
    size = 160
    ((image, labels),) = pipeline.pipeline(
        spots, "train", transforms.View(size, LABELS), batch_size=4
    ).as_numpy_iterator()
    bars = {round(1 - (mask == 255).mean(), 2) for mask in labels["logits"]}
    assert bars == {round(min(shape) / max(shape), 2) for shape in SHAPES}
    for picture, mask in zip(image, labels["logits"], strict=True):
        assert (picture[mask == 255] <= 10).mean() > 0.98 and (picture[mask != 255] > 10).mean() > 0.98


@pytest.mark.parametrize("shape", [(1200, 1600), (1600, 400)])
@pytest.mark.parametrize("size", [40, 64, 128, 256, 480, 640, 1024, 1280, 2000])
def test_large_jpegs_are_shrunk_while_decoding(size, shape):
    """By 8 at the most, and never below 1.25 times what is asked for."""
    encoded = tf.io.encode_jpeg(np.zeros((*shape, 3), "uint8"))
    reduced = transforms.decode_reduced(encoded, (None, None, 3), True, (size, size)).shape
    assert transforms.decode_reduced(encoded, (*shape, 3), True, (size, size)).shape == reduced
    ratio = shape[0] // reduced[0]
    assert ratio in (1, 2, 4, 8) and tuple(reduced) == (shape[0] // ratio, shape[1] // ratio, 3)
    assert ratio == 1 or max(reduced) >= 1.25 * size
    assert ratio == 8 or size > 40
    assert transforms.decode_reduced(encoded, (*shape, 3), False, (size, size)).shape == (*shape, 3)


def test_only_jpegs_are_shrunk(spots, people, monkeypatch):
    seen, plain = [], transforms.decode_reduced
    monkeypatch.setattr(
        transforms,
        "decode_reduced",
        lambda encoded, shape, jpeg, size: seen.append(jpeg) or plain(encoded, shape, jpeg, size),
    )
    for builder in (spots, people):
        pipeline.pipeline(builder, "train", transforms.View(32, {}), batch_size=2)
    assert seen == [True, False]


# sizes, names, fingerprints


def test_sizes(people):
    assert [builders.size_of(people, split) for split in ("train", "val", "train[:10]", "val[50%:]")] == [
        64,
        32,
        10,
        16,
    ]
    assert pipeline.steps_of(people, "train[:20]", 6) == 3


def test_fingerprint(people, people_dir, spots):
    again = builders.prepare("people", people_dir)
    assert builders.fingerprint(again) == builders.fingerprint(people) != builders.fingerprint(spots)
    assert builders.describe(again) == builders.describe(people)
    described = builders.describe(people)
    assert described.splits == {"train": 64, "val": 32} and described.name == "people/pictures/1.1.0"
    assert len(described.fingerprint) == 16 and described.metadata["joints"][0] == "nose"


# mistakes


def one_line(excinfo, *words):
    message = str(excinfo.value)
    assert "\n" not in message and len(message) < 700 and all(word in message for word in words), message


UNPREPARABLE = {
    "unknown data set": (("poeple",), ["'poeple'", "people", "coco_subset"]),
    "no data set": (("",), ["people", "coco_subset"]),
    "unknown configuration": (("coco_subset/sge",), ["coco_subset/sge", "coco_subset/pose", "coco_subset/seg"]),
    "configuration of a data set without": (("people/pose",), ["people/pose", "allowed: people"]),
    "no such source": (("coco_subset/seg", None, "/no/such/folder"), ["--data_source", "/no/such/folder"]),
    "source for a generated data set": (("people", None, "."), ["--data_source", "people"]),
    "source without data": (("coco_subset/seg", None, ""), ["coco_subset/seg"]),
}


@pytest.mark.parametrize("name", UNPREPARABLE)
def test_what_cannot_be_prepared(tmp_path, name):
    (dataset, *rest), words = UNPREPARABLE[name]
    source = rest[1] if rest else None
    if source == "":
        (tmp_path / "empty").mkdir()
        source = str(tmp_path / "empty")
    with pytest.raises(UserError) as caught:
        builders.prepare(dataset, str(tmp_path / "data"), source)
    one_line(caught, *words)


def test_unwritable_data_dir(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        builders.prepare("people", str(tmp_path / "file"))
    one_line(caught, "people")


@pytest.mark.parametrize("error", [ConnectionError("no network"), tfds.download.DownloadError("status 404")])
def test_a_download_that_fails(tmp_path, monkeypatch, error):
    """`official` asks for COCO itself."""

    def refuse(self, urls):
        assert urls == sources.OFFICIAL_URLS
        raise error

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", refuse)
    with pytest.raises(UserError) as caught:
        builders.prepare("coco_subset/seg", str(tmp_path), data_source="official")
    one_line(caught, "coco_subset/seg", str(error))


@pytest.mark.parametrize("split", ["test", "", "train[", "train[:x]", "train+", "val[:0]", "val[10:5]", "all the rest"])
def test_unknown_or_empty_split(people, split):
    with pytest.raises(UserError) as caught:
        builders.size_of(people, split)
    one_line(caught, repr(split), "train", "val")


def test_too_few_examples_for_a_batch(people):
    with pytest.raises(UserError) as caught:
        epochs(people, 0, 1, batch_size=21)
    one_line(caught, "train[:20]", "20 examples", "--batch_size=21")


@pytest.mark.parametrize(
    "view", [transforms.View(32, {"position": "position"}), transforms.View(32, LABELS, extras=("ann_id",))]
)
def test_a_feature_that_is_not_there(people, view):
    with pytest.raises(UserError) as caught:
        pipeline.pipeline(people, "train", view, batch_size=4)
    one_line(caught, "people", "keypoints", "mask")


def test_border_weights_follow_the_augmented_mask(people_dir):
    """With a border map batches end with one weight a pixel, made from the mask as the network sees it."""
    builder = builders.prepare("people", people_dir)
    view = transforms.View((48, 64), {"logits": "mask"}, geometric=augment.Geometric(), border=(10.0, 4.0))
    batches = pipeline.pipeline(builder, "train", view, batch_size=4, epochs=range(1))
    _, labels, weights = next(batches.as_numpy_iterator())
    assert weights["logits"].shape == labels["logits"].shape == (4, 48, 64)
    for mask, found in zip(labels["logits"], weights["logits"], strict=True):
        np.testing.assert_allclose(found, borders.border_weights(mask, 10.0, 4.0), rtol=1e-6)
    assert weights["logits"].max() > 2


def test_pictures_are_the_stored_ones(people_dir):
    builder = builders.prepare("people", people_dir)
    found = list(pipeline.pictures(builder, "val", limit=5))
    stored = list(builder.as_dataset(split="val").take(5).as_numpy_iterator())
    assert len(found) == 5
    for (image, mask), example in zip(found, stored, strict=True):
        np.testing.assert_array_equal(image, example["image"])
        np.testing.assert_array_equal(mask, example["mask"][..., 0])


# clips


@pytest.fixture(scope="module")
def clips(clips_dir):
    return builders.prepare("people/clips", clips_dir)


def test_clips_are_served_as_frames_or_as_joints(clips):
    assert builders.frames_of(clips) == (8,)
    view = transforms.View(32, {"joints": "joints"}, extras=("action", "subject"), reads=("frames",))
    frames, labels, extras = next(pipeline.pipeline(clips, "val", view, batch_size=4).as_numpy_iterator())
    assert frames.shape == (4, 8, 32, 32, 3) and frames.dtype == "uint8" and labels["joints"].shape == (4, 8, 17, 3)
    assert np.ptp(frames.astype(int), axis=1).max() > 20, "something moves"
    names = builders.named(clips, extras)
    assert set(names["action"]) <= set(clips.info.features["action"].names) and names["subject"] is extras["subject"]
    keypoints, _ = next(
        pipeline.pipeline(
            clips, "val", transforms.View(32, {"joints": "joints"}, reads=("keypoints_2d",)), batch_size=4
        ).as_numpy_iterator()
    )
    assert keypoints.shape == (4, 8, 17, 2)
    stored = next(pipeline.values(clips, "val", "keypoints_2d"))
    np.testing.assert_allclose(keypoints[0], stored, atol=1e-6)


def test_a_mirrored_clip_swaps_left_and_right(clips):
    mirror = augment.Geometric(zoom=0.0, rotation_deg=0.0, translate=0.0, flip=1.0)
    plain = transforms.View(32, {"joints": "joints"}, reads=("keypoints_2d",))
    first, second = (
        next(pipeline.pipeline(clips, "val", view, batch_size=4).as_numpy_iterator())
        for view in (plain, transforms.View(32, {"joints": "joints"}, reads=("keypoints_2d",), geometric=mirror))
    )
    swap = geometry.flip_permutation(17, clips.info.metadata["flip_joints"])
    np.testing.assert_allclose(second[1]["joints"], (first[1]["joints"] * (-1, 1, 1))[:, :, swap], atol=1e-6)
    np.testing.assert_allclose(second[0], (first[0] * (-1, 1) + (1, 0))[:, :, swap], atol=1e-6)


def test_the_shuffle_of_large_records_is_bounded(clips, monkeypatch):
    split = clips.info.splits["train"]
    monkeypatch.setattr(pipeline, "SHUFFLE_BYTES", 5.5 * split.num_bytes / split.num_examples)
    assert pipeline._waiting(clips, "train[:20]", {"frames"}) == 5
    assert pipeline._waiting(clips, "train", {"joints"}) == split.num_examples


def test_the_first_frames_stand_for_clips_in_statistics(clips):
    images = [image for image, mask in pipeline.pictures(clips, "val", limit=3)]
    assert len(images) == 3 and images[0].shape == (96, 96, 3) and not np.array_equal(*images[:2])
