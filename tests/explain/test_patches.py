"""Patches of a network made by hand, whose strongest places are known; boxes against trying every pixel; first
filters."""

import keras
import numpy as np
import pytest
from keras import layers

from kzoo import UserError
from kzoo.explain import exciting_patches, explanation
from kzoo.figures import explain as explain_figures
from kzoo.nn import encoders, feature_maps
from kzoo.nn.layers import named, per_frame

rng = np.random.default_rng(2)
KERNEL = rng.normal(size=(3, 3, 3, 2)).astype("float32")
PICTURES = rng.integers(0, 256, (21, 8, 10, 3), dtype="uint8")


def network(shape=(8, 10, 3), *, pool=False):
    """A picture / 255 -> convolution 3x3, ReLU; and behind it 2x2 pooling, convolution 2x2, ReLU."""
    image = keras.Input(shape, dtype="uint8", name="image")
    first = layers.ReLU(name="first")(
        layers.Conv2D(2, 3, use_bias=False, name="conv")(layers.Rescaling(1 / 255)(image))
    )
    x = layers.MaxPooling2D(2)(first) if pool else layers.AveragePooling2D(2)(first)
    second = layers.ReLU(name="second")(layers.Conv2D(3, 2, use_bias=False, name="conv2")(x))
    model = keras.Model(image, named({"logits": second}))
    model.set_weights([KERNEL, np.random.default_rng(4).normal(size=(2, 2, 2, 3))])
    return model


def responses(pictures):
    """(N, 6, 8, 2): the first layer by hand."""
    windows = np.lib.stride_tricks.sliding_window_view(
        pictures / 255, (3, 3), axis=(1, 2)
    )  # (N, 6, 8, 3, 3, 3), channels before the window
    return np.maximum(np.einsum("nhwcij,ijck->nhwk", windows, KERNEL), 0)


def batches(pictures=PICTURES, size=8):
    return ({"image": pictures[start : start + size]} for start in range(0, len(pictures), size))


def test_the_strongest_places_of_the_first_layer():
    model = network()
    found = exciting_patches.find(
        model, {"first": model.get_layer("first").output}, {"first": [1, 0]}, batches(), source="image", count=5
    )["first"]
    assert list(found) == [0, 1]
    for channel, units in found.items():
        maps = responses(PICTURES)[..., channel]
        order = np.argsort(-maps.max(axis=(1, 2)))[:5]
        assert [unit.example for unit in units] == list(order), "one from each picture, the strongest first"
        for unit in units:
            row, column = np.unravel_index(maps[unit.example].argmax(), maps.shape[1:])
            assert unit.cell == (row, column) and unit.box == (row, column, row + 3, column + 3) and unit.frame == 0
            assert unit.value == pytest.approx(maps[unit.example].max(), rel=1e-5)
            np.testing.assert_array_equal(unit.picture, PICTURES[unit.example, row : row + 3, column : column + 3])
            np.testing.assert_allclose(unit.projection, KERNEL[..., channel] / 255, rtol=1e-4)


def test_a_planted_patch_is_found():
    """Its pixels are full where the kernel is positive and black elsewhere, which is the best that there is."""
    pictures = PICTURES // 2
    pictures[13, 4:7, 2:5] = 255 * (KERNEL[..., 0] > 0)
    model = network()
    found = exciting_patches.find(
        model, {"first": model.get_layer("first").output}, {"first": [0]}, batches(pictures), source="image"
    )["first"][0]
    assert len(found) == exciting_patches.COUNT and found[0].example == 13 and found[0].cell == (4, 2)
    assert found[0].value == pytest.approx(np.maximum(KERNEL[..., 0], 0).sum(), rel=1e-5)


@pytest.mark.parametrize("pool", [True, False], ids=["max", "mean"])
def test_boxes_hold_what_changes_the_unit(pool):
    """Every pixel of the box's border matters and none outside: by raising one after the other a little."""
    model = network(pool=pool)
    layer = model.get_layer("second").output
    of_layer = keras.Model(model.inputs, layer)
    floats = keras.models.clone_model(of_layer, [keras.Input((8, 10, 3), dtype="float32")])
    floats.set_weights(of_layer.get_weights())
    for unit in exciting_patches.find(model, {"second": layer}, {"second": [1]}, batches(), source="image", count=3)[
        "second"
    ][1]:
        picture = PICTURES[unit.example].astype("float32")
        nudged = np.tile(picture, (8, 10, 1, 1, 1))
        for row, column in np.ndindex(8, 10):
            nudged[row, column, row, column] += (0.013, 0.007, 0.011)
        values = floats.predict_on_batch(np.concatenate([nudged.reshape(-1, 8, 10, 3), picture[None]]))[
            :, unit.cell[0], unit.cell[1], 1
        ]
        moved = values[:-1].reshape(8, 10) != values[-1]
        assert unit.value == pytest.approx(values[-1], rel=1e-5) and moved.any()
        assert unit.box == exciting_patches.box_of(moved[..., None])


def full(kind):
    """A network whose units are full in most pictures, in one of the forms of an activation with a ceiling."""
    image = keras.Input((8, 10, 3), dtype="uint8", name="image")
    x = layers.Rescaling(1 / 5)(image)
    own = {"own": "relu6", "own sigmoid": "sigmoid"}.get(kind)
    x = layers.Conv2D(2, 3, use_bias=False, activation=own, name="conv" if own is None else "seen")(x)
    apart = {
        "layer": layers.ReLU(6.0, name="seen"),
        "pooled": layers.ReLU(6.0),
        "activation": layers.Activation("relu6", name="seen"),
        "tanh": layers.Activation("tanh", name="seen"),
        "dropped": layers.Activation("hard_sigmoid"),
    }
    x = apart[kind](x) if kind in apart else x
    behind = {"pooled": layers.MaxPooling2D(2, name="seen"), "dropped": layers.Dropout(0.5, name="seen")}
    x = behind[kind](x) if kind in behind else x
    model = keras.Model(image, named({"logits": layers.Conv2D(2, 1)(x)}))
    model.set_weights([KERNEL, *model.get_weights()[1:]])
    return model


@pytest.mark.parametrize("kind", ["layer", "pooled", "activation", "own", "own sigmoid", "tanh", "dropped"])
def test_full_units_are_told_apart_by_what_is_before_the_ceiling(kind):
    model = full(kind)
    seen = model.get_layer("seen").output
    ranked = explanation.found_patches(model, {"seen": seen}, {"image": PICTURES}, [0, 1], batches(), "image")["seen"]
    for channel, units in ranked.items():
        maps = 255 / 5 * responses(PICTURES)[..., channel]
        assert [unit.example for unit in units] == list(np.argsort(-maps.max(axis=(1, 2)))[:9])
        for unit in units:
            assert unit.value == pytest.approx(maps[unit.example].max(), rel=1e-4)
            top, left, bottom, right = unit.box
            assert (bottom - top, right - left) == (3, 3), "a full unit has no gradient: all of the picture, that was"
    assert explanation.found_patches(model, {"seen": seen}, {"image": PICTURES[:2]}, [], batches(), "image")


def test_other_maps_are_ranked_by_what_they_are():
    model = network(pool=True)
    for name in ("first", "second", "conv"):
        layer = model.get_layer(name).output
        assert feature_maps.before_saturation(model, layer) is layer
    with pytest.raises(UserError, match="no layer of its own"):
        feature_maps.operation_of(model, full("layer").output["logits"])


def test_full_units_of_an_encoder_with_relu6():
    """Of mobilenetv2 the maps behind a ReLU6 are ranked by the numbers before it."""
    model = keras.Model(*taps_of("mobilenetv2"))
    name = next(layer.name for layer in model.layers if type(layer) is layers.ReLU and layer.max_value == 6)
    layer = model.get_layer(name)
    assert feature_maps.before_saturation(model, layer.output) is layer.input


def taps_of(encoder):
    """Picture, and the maps of an encoder."""
    image = keras.Input((32, 32, 3), dtype="uint8", name="image")
    return image, encoders.encode(image, encoder, "none", init="he_normal")


def test_patches_are_large_enough_to_be_seen():
    patch = exciting_patches.Patch(9.5, 0, 0, (1, 1), (0, 0, 3, 3), PICTURES[0, :3, :3], np.ones((3, 3, 3), "float32"))
    figure = explain_figures.patches_figure({"seen": {0: [patch] * 9}}, 9, "heading")
    left, right = (axis.images[0].get_array() for axis in figure.axes)
    assert min(left.shape[:2]) >= 300 and left.shape == right.shape
    width, height = 100 * figure.get_size_inches()
    assert 600 <= width <= 1500 and 350 <= height <= 1000, "pixels of the file"
    most = explain_figures.patches_figure({f"s{i}": {c: [patch] * 9 for c in range(4)} for i in range(4)}, 9, "heading")
    assert (100 * most.get_size_inches() < 4000).all()


def test_clips_tell_the_frame():
    frames = keras.Input((4, 8, 10, 3), dtype="uint8", name="frames")
    convolution = layers.Conv2D(2, 3, use_bias=False, name="conv")
    x = per_frame(convolution, layers.Rescaling(1 / 255)(frames))
    model = keras.Model(frames, named({"joints": layers.GlobalAveragePooling3D()(x)}))
    model.set_weights([KERNEL])
    clips = PICTURES[:20].reshape(5, 4, 8, 10, 3)
    tensor = convolution.output
    found = exciting_patches.find(
        model, {"conv": tensor}, {"conv": [0]}, iter([{"frames": clips[:3]}, {"frames": clips[3:]}]), source="frames"
    )
    for unit in found["conv"][0]:
        maps = responses(clips[unit.example])[..., 0]
        assert (unit.frame, *unit.cell) == np.unravel_index(maps.argmax(), maps.shape)
        rows, columns = (slice(start, start + 3) for start in unit.cell)
        np.testing.assert_array_equal(unit.picture, clips[unit.example, unit.frame, rows, columns])
    assert len(found["conv"][0]) == 5


def test_channels_that_never_answer_have_no_patches():
    model = network()
    model.set_weights([np.stack([KERNEL[..., 0], -np.ones((3, 3, 3))], axis=-1), model.get_weights()[1]])
    layer = model.get_layer("first").output
    assert (
        exciting_patches.find(model, {"first": layer}, {"first": [0, 1]}, batches(), source="image")["first"][1] == []
    )
    assert exciting_patches.excited(model, layer, {"image": PICTURES[:3]}) == [0]


def test_excited_channels_come_in_their_order():
    model = network()
    peaks = responses(PICTURES[:3]).max(axis=(1, 2)).mean(axis=0)
    layer = model.get_layer("first").output
    assert exciting_patches.excited(model, layer, {"image": PICTURES[:3]}, 2) == list(np.argsort(-peaks))
    assert exciting_patches.excited(model, layer, {"image": PICTURES[:3]}, 1) == [peaks.argmax()]


@pytest.mark.parametrize(
    ("places", "box"),
    [([(2, 3)], (2, 3, 3, 4)), ([(0, 4), (5, 1)], (0, 1, 6, 5)), ([(5, 6)], (5, 6, 6, 7)), ([], (0, 0, 6, 7))],
)
def test_boxes(places, box):
    gradient = np.zeros((6, 7, 3))
    for row, column in places:
        gradient[row, column, 1] = -1e-20
    assert exciting_patches.box_of(gradient) == box


def first(build):
    image = keras.Input((32, 32, 3), dtype="uint8", name="image")
    return keras.Model(image, named({"logits": build(image)}))


def test_filters_are_told_in_the_picture_s_colours():
    """Behind the input of Keras's VGG, which is BGR, the filters' last axis turns round; behind 1 / 255 it does not."""
    for build, order in ((lambda x: encoders.scale_caffe(x), -1), (lambda x: layers.Rescaling(1 / 255)(x), 1)):
        model = first(
            lambda x, build=build: layers.Conv2D(2, 3, strides=2, name="conv")(layers.ZeroPadding2D(1)(build(x)))
        )
        kernel = model.get_layer("conv").get_weights()[0]
        name, filters, read = exciting_patches.first_filters(model)
        assert name == "conv" and read == "in red, green and blue of the picture"
        np.testing.assert_allclose(
            filters, np.moveaxis(kernel[:, :, ::order], -1, 0) / (255 if order == 1 else 1), atol=1e-6
        )


def test_filters_of_other_inputs():
    grey = first(lambda x: layers.Conv2D(4, 5)(layers.Rescaling(1 / 255)(x)[..., :1]))
    _, filters, read = exciting_patches.first_filters(grey)
    assert filters.shape == (4, 5, 5, 3) and "one input channel" in read and (np.ptp(filters, axis=-1) == 0).all()
    both = first(
        lambda x: layers.Conv2D(4, 5, name="conv")(
            layers.Concatenate()([layers.Rescaling(1 / 255)(x), layers.Rescaling(2.0)(x)])
        )
    )
    _, filters, read = exciting_patches.first_filters(both)
    kernel = both.get_layer("conv").get_weights()[0]
    assert "mean over 6 input channels" in read
    np.testing.assert_allclose(filters[..., 1], np.moveaxis(kernel.mean(axis=2), -1, 0), atol=1e-6)
    inside = keras.Sequential([layers.Rescaling(1 / 255), layers.Conv2D(4, 3, name="inner")])
    name, filters, _ = exciting_patches.first_filters(first(inside))
    assert name == "inner" and filters.shape == (4, 3, 3, 3)
    with pytest.raises(UserError, match="no convolution"):
        exciting_patches.first_filters(first(lambda x: layers.Dense(3)(layers.Flatten()(x))))
