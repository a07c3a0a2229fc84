"""Every architecture of every task: builds, learns, saves, loads, exports, keeps its heads in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kzoo import data, export, training
from kzoo.encoders import ENCODERS
from kzoo.tasks import TASKS

SIZE = 64
TINY = {
    "softargmax": {"widths": (32, 32, 32)},
    "simple_baseline": {"widths": (32, 32, 32)},
    "heatmap": {"width": 32},
    "cpm": {"width": 8, "stages": 2, "norm": True},
    "deeppose": {"stages": 2, "crop": 16, "refine_widths": (16, 24)},
    "part_heatmap": {"encoder": "small", "width": 8, "fc_width": 32, "kernels": (5, 5, 5, 5)},
    "hourglass": {"stacks": 2, "width": 32, "depth": 2},
    "hourglass_attention": {"stacks": 2, "width": 24, "depth": 2, "kernel": 5},
    "pyranet": {"stacks": 2, "width": 24, "depth": 2, "base_width": 3},
    "compositional": {"width": 32, "depth": 1},
    "encdec": {"widths": (32, 24, 16, 16)},
    "unet": {"widths": (32, 24, 16, 16)},
    "fcn32s": {"fc_width": 64, "dropout": 0.0},
    "fcn16s": {"fc_width": 64, "dropout": 0.0},
    "fcn8s": {"fc_width": 64, "dropout": 0.0},
    "segnet": {"width": 8},
    "unet2015": {"width": 8, "dropout": 0.0, "norm": "batch"},
    "frrn_a": {"width": 4, "lanes": 4},
    "frrn_b": {"width": 4, "lanes": 4},
    "fpn": {"width": 32, "branch_width": 32},
    "deeplabv3": {"width": 32, "rates": (1, 2, 3), "dropout": 0.0},
    "deeplabv3plus": {"width": 32, "low_width": 12, "rates": (1, 2, 3), "dropout": 0.0},
    "resnet34_unet": {"widths": (32, 24, 16, 16, 16)},
}
COARSE = ("fcn", "fcn32s", "fcn16s", "deeplabv3")  # whose scores have a stride of 16 or 32
SLOW = ("fcn16s", "fcn32s", "frrn_b", "deeplabv3", "resnet34_unet")  # half a minute each, and each has a near relative beside it
ZOO = [(task, arch) for task in TASKS for arch in TASKS[task].archs]
VARIANTS = [
    ("pose", "heatmap", {"target": "disc"}),
    ("pose", "part_heatmap", {"variant": "hourglass", "depth": 2}),
    ("seg", "encdec", {"upsampling": "max_unpool"}),
    ("seg", "unet", {"upsampling": "subpixel", "upsampling_init": "icnr", "norm": "group"}),
    ("seg", "unet2015", {"padding": "valid", "depth": 3}),
]
UNITS = {"pose": 17, "seg": 7}


def tiny(task: str, arch: str, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    encoder = {"encoder": "small"} if "encoder" in training.hyperparameters_of(TASKS[task].archs[arch]) else {}
    return training.build(TASKS[task], arch, SIZE, UNITS[task], **{**encoder, **TINY.get(arch, {}), **options})


@pytest.fixture(scope="session")
def eight(people_dir):
    """Images (8, 64, 64, 3) and the labels of both tasks."""
    builder = data.prepare("people", people_dir)
    view = data.View(SIZE, {"keypoints": "keypoints", "mask": "mask"})
    images, labels = next(data.pipeline(builder, "train", view, batch_size=8).as_numpy_iterator())
    return images, labels


@pytest.mark.parametrize(("task", "arch"), ZOO)
def test_contract(task, arch):
    """Two positionals, uint8 in, a dict of float32 heads out whatever the policy, and every weight on the way to a head."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(task, arch)
    finally:
        keras.config.set_dtype_policy(policy)
    assert model.inputs[0].dtype == "uint8"
    assert set(model.output_names) <= set(TASKS[task].outputs)
    assert all(output.dtype == "float32" for output in model.outputs)
    assert model.compute_dtype == "bfloat16" or any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    assert model.name == arch


def at_cell_centres(mask, stride: int = 32):
    """All but the middle of each cell ignored: what a network without a decoder is able to answer."""
    kept, middle = np.full_like(mask, 255), slice(stride // 2, None, stride)
    kept[:, middle, middle] = mask[:, middle, middle]
    return kept


@pytest.mark.parametrize(
    ("task", "arch", "options"), [*(pytest.param(*row, {}, marks=[pytest.mark.slow] * (row[1] in SLOW)) for row in ZOO), *VARIANTS]
)
def test_overfits_saves_and_exports(task, arch, options, eight, tmp_path):
    """Every weight gets a gradient; the loss falls below a tenth on eight examples, joints come within a tenth of the picture; the trained
    network survives .keras and SavedModel unchanged."""
    images, labels = eight
    if arch in COARSE:
        labels = {**labels, "mask": at_cell_centres(labels["mask"])}
    row = TASKS[task]
    model = tiny(task, arch, **options)
    y = {name: labels[row.outputs[name].label] for name in model.output_names}
    arguments = training.compile_arguments(row, model, UNITS[task], loss=None, loss_options={}, weights={})

    with tf.GradientTape() as tape:
        predicted = model(images, training=True)
        loss = sum(function(y[name], predicted[name]) for name, function in arguments["loss"].items())
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True):
        assert gradient is not None, weight.path
        # A bias before BatchNorm has none; a ReLU may be dead at the start in single filters, not in whole kernels.
        assert np.abs(gradient.numpy()).max() > 0, weight.path

    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False, **arguments)
    model.optimizer.build(model.trainable_variables)
    first = model.train_on_batch(images, y, return_dict=True)["loss"]
    if task == "seg":
        first = min(first, np.log(UNITS[task]))  # the loss of an answer that knows nothing: some start far above it
    for _ in range(400):
        model.reset_metrics()
        last = model.train_on_batch(images, y, return_dict=True)
        if last["loss"] < 0.1 * first and all(value < 25.6 for name, value in last.items() if name.endswith("mpjpe")):
            break
    else:
        pytest.fail(f"{arch}: {first} -> {last}")

    expected = model.predict_on_batch(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for name, value in loaded.predict_on_batch(images).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5)
    assert export.export_saved_model(model, tmp_path / "saved_model", images) <= 1e-4
    signature = tf.saved_model.load(tmp_path / "saved_model").signatures["serving_default"]
    assert [spec.dtype for spec in signature.structured_input_signature[1].values()] == [tf.uint8]


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_strides(name):
    """Five maps at strides 2 to 32, and BatchNorm that follows short runs."""
    from kzoo.encoders import encode

    image = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    maps = encode(image, name)
    assert [SIZE // x.shape[1] for x in maps] == [2, 4, 8, 16, 32]
    assert [SIZE // x.shape[2] for x in maps] == [2, 4, 8, 16, 32]
    norms = [layer for layer in keras.Model(image, maps).layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(layer.momentum == 0.9 for layer in norms)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("resnet50", keras.applications.resnet50), ("vgg16", keras.applications.vgg16), ("mobilenetv2", keras.applications.mobilenet_v2)],
)
def test_input_scaling_is_keras_applications_own(name, reference):
    image = keras.Input((32, 32, 3), dtype="uint8")
    scaled = keras.Model(image, ENCODERS[name].scale(image))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype="uint8")
    np.testing.assert_allclose(scaled.predict_on_batch(pixels), reference.preprocess_input(pixels.astype("float32")), atol=1e-4)


def test_unet_and_encdec_differ_by_the_skips_alone():
    """Same layers but the concatenations; the joined filters are the only difference in weights."""
    encdec, unet = (tiny("seg", arch) for arch in ("encdec", "unet"))
    names = [{layer.name for layer in model.layers if not layer.name.startswith("image")} for model in (encdec, unet)]
    assert names[1] - names[0] == {f"up{step}_skip" for step in (1, 2, 3, 4)} and not names[0] - names[1]
    shapes = [{w.path: w.shape for w in model.weights} for model in (encdec, unet)]
    assert {path for path in shapes[0] if shapes[0][path] != shapes[1][path]} == {f"up{s}_merge_conv/kernel" for s in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("arch", "rest"),
    [
        ("regression", 2048 * 34 + 34),
        # Three 4x4 transposed convolutions without bias, their BatchNorm, the score: 34.0 M in all, as Xiao et al. 2018 (table 2).
        ("simple_baseline", 16 * 256 * (2048 + 256 + 256) + 3 * 4 * 256 + 256 * 17 + 17),
        # A 3x3 convolution without bias on each of four maps, its BatchNorm, the score.
        ("heatmap", 9 * 128 * (256 + 512 + 1024 + 2048) + 4 * (4 * 128 + 128 * 17 + 17)),
    ],
)
def test_parameter_count_on_resnet50(arch, rest):
    """ResNet50 without top has 23,587,712 parameters (keras.applications); the rest by hand."""
    model = training.build(TASKS["pose"], arch, SIZE, 17, encoder="resnet50", encoder_weights="none")
    assert model.count_params() == 23_587_712 + rest


def test_regulariser_shapes_the_latent_maps(eight):
    """With the Jensen-Shannon term the latent maps come close to a Gaussian at the joint; without it nothing asks them to."""
    images, labels = eight
    keypoints, row, divergence = labels["keypoints"], TASKS["pose"], {}
    for weight in (0.0, 1.0):
        model = tiny("pose", "softargmax")
        arguments = training.compile_arguments(row, model, 17, loss=None, loss_options={}, weights={"latent_heatmaps": weight})
        model.compile(keras.optimizers.Adam(3e-3), jit_compile=False, **arguments)
        for _ in range(60):
            model.train_on_batch(images, {name: keypoints for name in model.output_names})
        logits = model(images, training=True)["latent_heatmaps"]  # batch statistics: the moving ones lag behind after 60 steps
        divergence[weight] = float(row.outputs["latent_heatmaps"].losses["js"]()(keypoints, logits))
    assert divergence[1.0] < 0.5 * divergence[0.0]
