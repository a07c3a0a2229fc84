"""The served network: its decoders, its letterbox and its way back against NumPy's and OpenCV's, and what it answers
for each task."""

import cv2
import keras
import numpy as np
import pytest

from kzoo.data import image_io
from kzoo.export import exporting, serving
from kzoo.export import matrix as export_matrix
from kzoo.metrics import loc_scores
from kzoo.nn import decoding, geometry, graph_decoders
from kzoo.tasks import TASKS, loc

RNG = np.random.default_rng(0)
POSITIONS = RNG.uniform(-0.1, 1.1, (6, 5, 2)).astype("float32")  # some outside the picture
MAPS = {
    "gaussians": np.array(geometry.gaussian_peaks(POSITIONS, 16, 12, 2.0)),
    "discs": np.array(geometry.disc_maps(POSITIONS, 16, 12, 0.1)),  # plateaus: several cells are the highest
    "noise": RNG.normal(0, 1, (6, 16, 12, 5)).astype("float32"),
    "negative": -RNG.uniform(0.1, 1, (6, 16, 12, 5)).astype("float32"),
    "empty": np.zeros((2, 16, 12, 5), "float32"),
    "one cell": np.full((2, 1, 1, 3), 0.5, "float32"),
}


@pytest.mark.parametrize("maps", MAPS)
@pytest.mark.parametrize("decoder", decoding.DECODERS)
def test_decoders_answer_as_numpys(decoder, maps):
    found = np.array(graph_decoders.DECODERS[decoder](MAPS[maps]))
    np.testing.assert_allclose(found, decoding.DECODERS[decoder](MAPS[maps]), atol=1e-5)


def test_first_of_several_highest():
    values = np.array([[1, 3, 3], [2, 2, 2], [0, 0, 5], [np.nan, 1, 1]], "float32")
    assert np.array(graph_decoders.first_highest(values)).tolist()[:3] == [1, 0, 2]
    assert 0 <= np.array(graph_decoders.first_highest(values))[3] <= 2, (
        "of what is not a number any, but one that there is"
    )


def photograph(height, width, seed=0):
    """Smooth, so that OpenCV's placing of samples to 1/32 pixel, which it did up to version 4, is below a grey
    level."""
    small = np.random.default_rng(seed).integers(0, 256, (max(2, height // 24), max(2, width // 24), 3), dtype="uint8")
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


SIZES = [(64, 96), (128, 192), (33, 40), (90, 130), (159, 60), (160, 60), (161, 300), (480, 641), (1001, 700)]


@pytest.mark.parametrize("size", SIZES)
def test_letterbox_is_that_of_predict(size):
    shape, picture = (64, 96), photograph(*size)
    expected, matrix = image_io.to_input(picture, shape)
    found = np.array(serving.letterbox(picture[None], shape))[0]
    off = np.abs(found.astype(int) - expected)
    assert found.dtype == np.uint8 and off.max() <= 1 and off.mean() < 0.25
    if size == shape:
        np.testing.assert_array_equal(found, picture)

    coords = RNG.uniform(0, 1, (1, 50, 2)).astype("float32")
    expected = geometry.transform_points(matrix, coords) / size[::-1]
    np.testing.assert_allclose(np.array(serving.coords_in_picture(coords, picture[None], shape)), expected, atol=1e-6)
    classes = RNG.integers(0, 200, (1, 64, 96), dtype="uint8")
    found = np.array(serving.classes_in_picture(classes, picture[None], shape))[0]
    assert found.shape == size and (found == geometry.classes_at(classes[0], matrix, size)).mean() > 0.999


def test_frames_are_letterboxed_alike():
    clip = np.stack([photograph(40, 70, seed) for seed in range(3)])
    found = np.array(serving.letterbox(np.stack([clip, clip[::-1]]), (32, 32)))
    assert found.shape == (2, 3, 32, 32, 3)
    np.testing.assert_array_equal(found[0, 1], np.array(serving.letterbox(clip[1:2], (32, 32)))[0])
    np.testing.assert_array_equal(found[1, 0], found[0, 2])


def fake(outputs: dict, frames: int = 0, size: int = 16):
    """A network that gives outputs of these shapes, dense in its pixels."""
    shape = (frames, size, size, 3) if frames else (size, size, 3)
    inputs = keras.Input(shape, dtype="uint8", name="frames" if frames else "image")
    x = keras.layers.Flatten()(
        keras.layers.AveragePooling2D(4)(keras.layers.Rescaling(1 / 255)(inputs)) if not frames else inputs / 255
    )
    keras.utils.set_random_seed(0)
    made = {}
    for name, inner in outputs.items():
        y = keras.layers.Dense(int(np.prod(inner)), kernel_initializer="he_normal", name=f"{name}_dense")(x)
        made[name] = keras.layers.Reshape(inner, name=name)(y)
    return keras.Model(inputs, made, name="fake")


NETWORKS = {  # name -> task, outputs, frames, decoder, names of the answers
    "own coordinates": ("pose", {"coords": (3, 2), "aux_coords": (1, 3, 2)}, 0, "coords", {"coords"}),
    "coordinates and maps": (
        "pose",
        {"coords": (3, 2), "latent_heatmaps": (6, 5, 3)},
        0,
        "coords",
        {"coords", "score"},
    ),
    "maps beside coordinates": (
        "pose",
        {"coords": (3, 2), "latent_heatmaps": (6, 5, 3)},
        0,
        "dark",
        {"coords", "score"},
    ),
    "heat maps": ("pose", {"heatmaps": (6, 5, 3), "aux_heatmaps": (1, 6, 5, 3)}, 0, "udp", {"coords", "score"}),
    "discs": ("pose", {"disc_logits": (6, 5, 3)}, 0, "softargmax", {"coords", "score"}),
    "classes": ("seg", {"logits": (16, 16, 4)}, 0, None, {"classes"}),
    "joints": ("pose3d", {"joints": (2, 5, 3)}, 2, None, {"joints"}),
    "pose": ("loc", {"position": (3,), "rotation": (4,), "pose_terms": (10,)}, 0, None, {"position", "rotation"}),
    "window": ("loc", {"position": (3, 3), "rotation": (3, 4)}, 3, None, {"position", "rotation"}),
    "pose and classes": (
        "loc",
        {"position": (3,), "rotation": (4,), "logits": (16, 16, 4)},
        0,
        None,
        {"position", "rotation", "classes"},
    ),
    "clusters": (
        "cluster",
        {"assignment": (4,), "code": (2,), "reconstruction": (4, 4, 1)},
        0,
        None,
        {"cluster", "assignment", "code"},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(16, 16), (25, 19)])
def test_answers_are_those_of_predict(name, size):
    task, outputs, frames, decoder, answers = NETWORKS[name]
    task, network = TASKS[task], fake(outputs, frames)
    served = serving.served(network, task, decoder)
    assert set(served.output_names) == answers == set(served.output) and answers <= set(task.answers.meanings)
    inputs = np.stack([photograph(*size, seed) for seed in range(2 * max(1, frames))])
    inputs = inputs.reshape(2, frames, *inputs.shape[1:]) if frames else inputs
    found = exporting.as_predictions(served.predict_on_batch(inputs))
    for key, value in export_matrix.by_predict(task, network, decoder, inputs).items():
        assert found[key].dtype == value.dtype, key
        if key == "classes":
            assert found[key].shape[1:] == size and (found[key] == value).mean() > 0.99
        else:
            np.testing.assert_allclose(found[key], value, atol=2e-3 if size != (16, 16) else 1e-5, err_msg=key)
    if "cluster" in answers:
        np.testing.assert_array_equal(found["cluster"], found["assignment"].argmax(axis=-1))


@pytest.mark.parametrize(
    "rotation", [(0.2, 0, 0, -3), (-1, 2, 0, 0), (0, 0, 0, 0), (1e-9, 0, 0, 0), (-0.5, -0.5, 0.5, 0.5)]
)
def test_quaternions_as_the_report_takes_them(rotation):
    outputs = {"position": np.zeros((1, 3), "float32"), "rotation": np.array([rotation], "float32")}
    found = np.array(
        loc.camera_in_graph({name: keras.ops.convert_to_tensor(x) for name, x in outputs.items()}, None)["rotation"]
    )
    np.testing.assert_allclose(found, loc_scores.decode_loc(outputs)["rotation"], atol=1e-6)


def test_only_what_is_needed_is_served():
    """Weights of losses and of outputs that no answer is made of are left out; raw outputs come beside the answers."""
    task, outputs, _, _, _ = NETWORKS["pose"]
    network = fake(outputs)
    assert not any("pose_terms" in weight.path for weight in serving.served(network, TASKS[task]).weights)
    raw = serving.served(network, TASKS[task], raw=("position", "rotation"))
    assert set(raw.output_names) == {"position", "rotation", "raw_position", "raw_rotation"}
    images = np.stack([photograph(16, 16)])
    np.testing.assert_array_equal(
        raw.predict_on_batch(images)["raw_rotation"], network.predict_on_batch(images)["rotation"]
    )


def test_networks_of_several_inputs_keep_their_size():
    inputs = {
        "image": keras.Input((8, 8, 3), dtype="uint8", name="image"),
        "mask": keras.Input((8, 8), dtype="uint8", name="mask"),
    }
    x = keras.layers.Flatten()(inputs["image"] / 255) * keras.ops.mean(inputs["mask"] / 255)
    outputs = {n: keras.layers.Dense(k, name=n)(x) for n, k in (("position", 3), ("rotation", 4))}
    served = serving.served(keras.Model(inputs, outputs), TASKS["loc"])
    assert {name: x.shape for name, x in served.input.items()} == {"image": (None, 8, 8, 3), "mask": (None, 8, 8)}
