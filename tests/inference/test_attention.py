"""Grad-CAM++ and Grad-CAM: against the papers' formulas in plain loops, on networks whose gradients are known."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

from kzoo import UserError
from kzoo.figures import attention
from kzoo.figures import base as figures
from kzoo.inference import grad_cam
from kzoo.models.dual_input import dual_input
from kzoo.models.lift import lift
from kzoo.models.mapnet import mapnet
from kzoo.models.multitask import multitask
from kzoo.nn import feature_maps
from kzoo.nn.layers import named, per_frame
from kzoo.tasks import loc

rng = np.random.default_rng(3)
H, W, K = 6, 8, 5
SMALL = {"encoder": "small", "features": 8}


def by_hand(features, gradients):
    """WACV 2018, eq. 19, 11 and 12, one number after the other; (h, w, K) each."""
    height, width, channels = features.shape
    result = np.zeros((height, width))
    for k in range(channels):
        total, weight = sum(features[a, b, k] for a in range(height) for b in range(width)), 0.0
        for i in range(height):
            for j in range(width):
                g = gradients[i, j, k]
                below = 2 * g**2 + total * g**3
                alpha = g**2 / below if below != 0 else 0.0
                weight += alpha * max(g, 0.0)
        result += weight * features[:, :, k]
    result = np.maximum(result, 0)
    return result / result.max() if result.max() > 0 else result


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e3])
def test_formulas(scale):
    features, gradients = np.maximum(rng.normal(size=(3, H, W, K)), 0), scale * rng.normal(size=(3, H, W, K))
    found = grad_cam.grad_cam_pp(features, gradients)
    assert found.dtype == "float32" and found.shape == (3, H, W)
    for i in range(3):
        np.testing.assert_allclose(found[i], by_hand(features[i], gradients[i]), atol=1e-6)


@pytest.mark.parametrize(
    ("features", "gradients"),
    [
        (np.ones((1, H, W, K)), np.zeros((1, H, W, K))),
        (np.ones((1, H, W, K)), -np.ones((1, H, W, K))),
        (np.zeros((1, H, W, K)), np.ones((1, H, W, K))),
        (-np.ones((1, H, W, K)), np.full((1, H, W, K), 2 / (H * W))),  # the plain formula divides by 0
    ],
    ids=["no gradient", "falling", "no features", "features below 0"],
)
def test_nothing_to_see_is_0(features, gradients):
    np.testing.assert_array_equal(grad_cam.grad_cam_pp(features, gradients), np.zeros((1, H, W)))


def grad_cam_by_hand(features, gradients):
    """ICCV 2017, eq. 1 and 2: each map weighs its mean gradient; (h, w, K) each."""
    height, width, channels = features.shape
    result = np.zeros((height, width))
    for k in range(channels):
        result += (
            sum(gradients[i, j, k] for i in range(height) for j in range(width)) / (height * width) * features[:, :, k]
        )
    result = np.maximum(result, 0)
    return result / result.max() if result.max() > 0 else result


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e3])
def test_formulas_of_grad_cam(scale):
    features, gradients = rng.normal(size=(3, H, W, K)), scale * rng.normal(size=(3, H, W, K))
    gradients[2], features[2] = -1.0, np.abs(features[2])
    found = grad_cam.grad_cam(features, gradients)
    assert found.dtype == "float32" and found.shape == (3, H, W) and not found[2].any(), (
        "nothing raises the score there"
    )
    for i in range(3):
        np.testing.assert_allclose(found[i], grad_cam_by_hand(features[i], gradients[i]), atol=1e-6)


def pooled(kernel, bias=0.0):
    """uint8 picture -> ReLU of (picture / 255 - 0.5) times +1 and -1 -> global average -> dense: dS/dA is the kernel /
    (h w)."""
    image = keras.Input((H, W, 3), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255, offset=-0.5)(image)
    x = layers.ReLU(name="maps")(layers.Concatenate()([x, -x]))
    x = layers.Dense(kernel.shape[1], name="dense")(layers.GlobalAveragePooling2D(name="pool")(x))
    model = keras.Model(image, named({"position": x}))
    model.get_layer("dense").set_weights([kernel, np.full(kernel.shape[1], bias, "float32")])
    return model


IMAGES = rng.integers(0, 256, (2, H, W, 3), dtype="uint8")
FEATURES = np.maximum(np.concatenate([IMAGES / 255 - 0.5, 0.5 - IMAGES / 255], axis=-1), 0)


def test_average_pooling_and_dense():
    kernel = rng.normal(size=(6, 3)).astype("float32")
    model = pooled(kernel)
    for layer in ("maps", model.get_layer("maps").output):
        for component in range(3):
            (found,) = grad_cam.attention_maps(
                model, IMAGES, lambda outputs, c=component: outputs["position"][:, c], [layer]
            )
            gradients = np.broadcast_to(kernel[:, component] / (H * W), (H, W, 6))
            for i in range(2):
                np.testing.assert_allclose(found[i], by_hand(FEATURES[i], gradients), atol=1e-5)
            (found,) = grad_cam.attention_maps(
                model, IMAGES, lambda outputs, c=component: outputs["position"][:, c], [layer], method="grad_cam"
            )
            for i in range(2):
                np.testing.assert_allclose(found[i], grad_cam_by_hand(FEATURES[i], gradients), atol=1e-5)
                assert not np.allclose(found[i], by_hand(FEATURES[i], gradients), atol=1e-2)


def test_nearness_is_the_distance():
    kernel = rng.normal(size=(6, 3)).astype("float32")
    truth = rng.normal(size=(2, 7)).astype("float32")
    model = pooled(kernel)
    position = model.predict_on_batch(IMAGES)["position"]
    score = ops.convert_to_numpy(loc.nearness(truth)(model(IMAGES)))
    distance = np.linalg.norm(position - truth[:, :3], axis=-1)
    np.testing.assert_allclose(score, -distance, rtol=1e-5)
    (found,) = grad_cam.attention_maps(model, IMAGES, loc.nearness(truth), ["maps"])
    for i in range(2):
        slope = kernel @ (truth[i, :3] - position[i]) / distance[i] / (H * W)
        np.testing.assert_allclose(found[i], by_hand(FEATURES[i], np.broadcast_to(slope, (H, W, 6))), atol=1e-5)
    window = np.stack([truth + 9, truth, truth + 5], axis=1)
    np.testing.assert_allclose(
        loc.nearness(window)({"position": ops.stack([position + 1, position, position], 1)}), score
    )


@pytest.mark.parametrize("kernel", [np.zeros((6, 3), "float32"), -np.ones((6, 3), "float32")], ids=["zero", "negative"])
def test_finite_where_no_gradient_is_positive(kernel):
    model = pooled(kernel)
    for score in (
        lambda outputs: outputs["position"][:, 0],
        loc.nearness(np.zeros((2, 7))),
        lambda outputs: ops.zeros(2),
    ):
        (found,) = grad_cam.attention_maps(model, IMAGES, score, ["maps"])
        assert np.isfinite(found).all()
    (found,) = grad_cam.attention_maps(model, IMAGES, lambda outputs: outputs["position"][:, 0], ["maps"])
    assert not found.any()


def test_gradients_go_through_later_layers_and_around_them():
    """Two layers at once, a skip connection around the later one, dropout and batch normalisation as after training."""
    image = keras.Input((H, W, 3), dtype="uint8", name="image")
    first = layers.Rescaling(1 / 255, name="first")(image)
    y = layers.Dropout(0.5)(layers.BatchNormalization()(first))
    second = layers.Rescaling(2.0, name="second")(y)
    third = layers.Lambda(lambda pair: pair[0] ** 2 + 3 * pair[1], name="third")([second, first])
    model = keras.Model(
        image, named({"other": layers.Flatten()(first), "total": layers.GlobalAveragePooling2D()(third)})
    )
    frozen = keras.Model(model.inputs, model.outputs)
    model.trainable = False
    c = 1 / np.sqrt(1 + 1e-3)
    a = IMAGES / 255
    slopes = {"first": 2 * (2 * c) ** 2 * a + 3, "second": 2 * 2 * c * a, "third": np.ones_like(a)}
    values = {"first": a, "second": 2 * c * a, "third": (2 * c * a) ** 2 + 3 * a}
    found = grad_cam.attention_maps(model, IMAGES, lambda outputs: ops.sum(outputs["total"], axis=-1), list(slopes))
    for name, maps in zip(slopes, found, strict=True):
        for i in range(2):
            np.testing.assert_allclose(
                maps[i], by_hand(values[name][i], slopes[name][i] / (H * W)), atol=1e-5, err_msg=name
            )
    assert len(frozen.layers) == len(model.layers), "the network itself stays as it was"


def test_windows_have_a_map_for_each_frame():
    frames = keras.Input((3, H, W, 3), dtype="uint8", name="frames")
    pool = keras.Sequential([layers.Rescaling(1 / 255), layers.GlobalAveragePooling2D()])
    inside = layers.ReLU(name="maps")
    x = per_frame(lambda x: layers.GlobalAveragePooling2D()(inside(layers.Rescaling(1 / 255)(x))), frames)
    model = keras.Model(frames, named({"position": x, "other": per_frame(pool, frames)}))
    images = rng.integers(0, 256, (2, 3, H, W, 3), dtype="uint8")
    (found,) = grad_cam.attention_maps(
        model, images, lambda outputs: ops.sum(outputs["position"][:, 1], axis=-1), ["maps"]
    )
    assert found.shape == (2, 3, H, W) and not found[:, [0, 2]].any(), "the score is of the middle frame alone"
    for i in range(2):
        expected = by_hand(images[i, 1] / 255, np.full((H, W, 3), 1 / (H * W)))
        np.testing.assert_allclose(found[i, 1], expected, atol=1e-5)


NETWORKS = {
    "mapnet": lambda: mapnet((64, 96, 3), 7, **SMALL),
    "window": lambda: mapnet((3, 64, 96, 3), 7, **SMALL),
    "multitask": lambda: multitask((64, 96, 3), 7, widths=(8,) * 5, classes=3, **SMALL),
    "dual_input": lambda: dual_input((64, 96, 3), 7, **SMALL),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_1_to_4_of_the_zoo(name):
    keras.utils.set_random_seed(1)
    model = NETWORKS[name]()
    inputs = {
        x.name: rng.integers(0, 3 if x.name == "mask" else 256, (2, *x.shape[1:]), dtype="uint8") for x in model.inputs
    }
    layers_1_to_4 = feature_maps.feature_maps(model)
    assert [x.shape[1:3] for x in layers_1_to_4] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    for stage, x in zip(("stage2", "stage3", "stage4"), layers_1_to_4[:3], strict=True):
        assert x is model.get_layer(stage).output, "not the decoder's"
    before = [np.array(value) for value in model.get_weights()]
    images = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    found = grad_cam.attention_maps(
        model, images, loc.nearness(np.ones((2, 3, 7) if name == "window" else (2, 7))), layers_1_to_4
    )
    assert [x.shape[-2:] for x in found] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    for maps in found:
        maps = maps[:, 1] if name == "window" else maps
        assert maps.dtype == "float32" and maps.min() >= 0 and np.allclose(maps.max(axis=(1, 2)), 1)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_maps_of_a_decoder():
    model = NETWORKS["multitask"]()
    maps = feature_maps.feature_maps(model, "logits")
    assert [x.shape[1:3] for x in maps] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    (source,) = [layer.name for layer in model.layers if layer.output is maps[0]]
    assert not source.startswith("stage")


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: grad_cam.attention_maps(pooled(np.ones((6, 3))), IMAGES, None, ["mapz"]), "no layer 'mapz'.*maps"),
        (lambda: grad_cam.attention_maps(pooled(np.ones((6, 3))), IMAGES, None, ["pool"]), "no layer 'pool'"),
        (lambda: grad_cam.attention_maps(pooled(np.ones((6, 3))), IMAGES, None, [3]), "got 3"),
        (
            lambda: grad_cam.attention_maps(pooled(np.ones((6, 3))), IMAGES, None, [keras.Input((4, 4, 2))]),
            "another network",
        ),
        (
            lambda: grad_cam.attention_maps(dual_input((32, 32, 3), 7, **SMALL), IMAGES, None, ["stage2"]),
            "also reads mask",
        ),
        (lambda: feature_maps.feature_maps(pooled(np.ones((6, 3))), "rotation"), "allowed: position"),
        (
            lambda: grad_cam.attention_maps(pooled(np.ones((6, 3))), IMAGES, None, ["maps"], "cam"),
            "'cam'; allowed: grad_cam, grad_cam_pp",
        ),
        (
            lambda: feature_maps.feature_maps(lift((2, 32, 32, 3), 17, width=8), "joints"),
            "no pictures, but keypoints_2d",
        ),
        (
            lambda: feature_maps.feature_maps(dual_input((32, 32, 3), 7, variant="fourth_channel", **SMALL)),
            "within the network",
        ),
    ],
    ids=["unknown", "vector", "number", "elsewhere", "input", "output", "method", "no pictures", "nested"],
)
def test_mistakes_are_one_line(call, match):
    with pytest.raises(UserError, match=match):
        call()


def test_the_figure_lays_maps_over_the_pictures(tmp_path):
    maps = [rng.random((2, 3, 4)).astype("float32"), rng.random((2, 1, 2)).astype("float32")]
    figure = attention.attention_figure(IMAGES, maps, ["one", "two"])
    assert [axis.get_title() for axis in figure.axes[:3]] == ["input", "layer 1 (3x4)", "layer 2 (1x2)"] and len(
        figure.axes
    ) == 6
    for i in range(2):
        np.testing.assert_array_equal(figure.axes[3 * i].images[0].get_array(), IMAGES[i])
        for layer in range(2):
            under, over = figure.axes[3 * i + 1 + layer].images
            np.testing.assert_array_equal(over.get_array(), maps[layer][i])
            assert under.get_extent() == over.get_extent() == [-0.5, W - 0.5, H - 0.5, -0.5] and over.get_clim() == (
                0,
                1,
            )
    figures.save(figure, tmp_path / "attention.png")
    windows = attention.attention_figure(
        np.stack([IMAGES + 1, IMAGES, IMAGES + 2], 1), [np.stack([m, m / 2, m], 1) for m in maps], "ab"
    )
    np.testing.assert_array_equal(windows.axes[0].images[0].get_array(), IMAGES[0])
    np.testing.assert_array_equal(windows.axes[1].images[1].get_array(), maps[0][0] / 2)


PEER = """
import sys, numpy as np, keras
from keras import layers
from kzoo.inference import grad_cam
from kzoo.tasks import loc
assert keras.backend.backend() == sys.argv[2]
data = np.load(sys.argv[1])
image = keras.Input(data["images"].shape[1:], dtype="uint8", name="image")
x = layers.Conv2D(4, 3, activation="relu", name="first")(layers.Rescaling(1 / 255)(image))
y = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, activation="relu", name="second")(x))
model = keras.Model(image, {"position": layers.Identity(name="position")(y)})
model.set_weights([data[f"w{i}"] for i in range(4)])
for maps in grad_cam.attention_maps(model, data["images"], loc.nearness(data["truth"]), ["first", "second"]):
    print(*maps.ravel())
"""


@pytest.mark.peer
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_same_on_other_backends(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[{backend}]'")
    weights = {f"w{i}": rng.normal(size=shape) for i, shape in enumerate([(3, 3, 3, 4), (4,), (3, 3, 4, 3), (3,)])}
    np.savez(tmp_path / "data.npz", images=IMAGES, truth=rng.normal(size=(2, 7)) + 3, **weights)
    found = []
    for name in ("tensorflow", backend):
        command = [sys.executable, "-c", PEER, str(tmp_path / "data.npz"), name]
        run = subprocess.run(
            command, env={**os.environ, "KERAS_BACKEND": name}, check=True, capture_output=True, text=True
        )
        found.append(np.array(run.stdout.split(), float))
    assert len(found[0]) == 2 * (4 * 6 + 2 * 4) and found[0].max() == 1 and np.ptp(found[0][-8:]) > 0
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
