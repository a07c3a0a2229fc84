"""Every architecture in tiny, and what each must do: keep its contract, and CHECKS."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from kzoo.export import formats
from kzoo.tasks import TASKS
from kzoo.training import networks

SIZE = 64
SIZES = {"pose": SIZE, "seg": SIZE, "pose3d": (8, SIZE, SIZE), "loc": SIZE, "cluster": 8}
TINY = {
    "softargmax": {"widths": (32, 32, 32)},
    "simple_baseline": {"widths": (32, 32, 32)},
    "heatmap": {"width": 32},
    "cpm": {"width": 8, "stages": 2, "norm": "batch"},
    "deeppose": {"stages": 2, "crop": 16, "refine_widths": (16, 24)},
    "part_heatmap": {"encoder": "small", "width": 8, "fc_width": 32, "kernels": (5, 5, 5, 5)},
    "hourglass": {"stacks": 2, "width": 32, "depth": 1},
    "hourglass_attention": {"stacks": 2, "width": 24, "depth": 1, "kernel": 5},
    "pyranet": {"stacks": 2, "width": 24, "depth": 1, "base_width": 3},
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
    "conv_lstm": {"filters": 8},
    "encoder_gru": {"units": 64},
    "lift": {"width": 64, "dropout": 0.0},
    "temporal": {"channels": 64, "dropout": 0.0},
    **{arch: {"features": 64, "dropout": 0.0, "pool": "flatten"} for arch in ("posenet", "mapnet", "dual_input")},
    **{arch: {"widths": (96, 64), "code": 16} for arch in ("dec", "idec")},
    "dcec": {"widths": (24, 48, 64), "code": 16},
    "fcae": {"widths": (16, 16), "code": 32},
    "multitask": {"features": 64, "dropout": 0.0, "pool": "flatten", "classes": 16, "widths": (24, 16, 16)},
}
COARSE = ("fcn", "fcn32s", "fcn16s", "deeplabv3")  # whose scores have a stride of 16 or 32
# The slow group: half a minute each; each has a near relative in the default group, or its parts have.
SLOW = (
    *(
        "hourglass",
        "hourglass_attention",
        "pyranet",
        "compositional",
        "fcn16s",
        "fcn32s",
        "frrn_a",
        "frrn_b",
        "deeplabv3",
        "resnet34_unet",
    ),
    *("encoder_gru", "mapnet", "dual_input", "fpn", "part_heatmap"),
)
VARIANTS = {  # further forms of an arch that are another network
    "pose": [("heatmap", {"target": "disc"}), ("part_heatmap", {"variant": "hourglass", "depth": 2})],
    "seg": [
        ("encdec", {"upsampling": "max_unpool"}),
        ("unet", {"upsampling": "subpixel", "upsampling_init": "icnr", "norm": "group"}),
        ("unet2015", {"padding": "valid", "depth": 3}),
    ],
    "pose3d": [
        ("conv_lstm", {"filters": 8, "portable": True}),
        ("encoder_gru", {"pool": "flatten", "bidirectional": True, "portable": True}),
    ],
    "loc": [
        ("posenet", {"encoder": "googlenet", "width": 0.1, "aux_dropout": 0.0}),
        ("dual_input", {"variant": "shared"}),
        ("dual_input", {"variant": "fourth_channel"}),
    ],
}
UNITS = {"pose": 17, "seg": 7, "pose3d": 17, "loc": 7, "cluster": 10}


def tiny(task: str, arch: str, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    encoder = {"encoder": "small"} if "encoder" in networks.hyperparameters_of(TASKS[task].archs[arch]) else {}
    return networks.build(TASKS[task], arch, SIZES[task], UNITS[task], **{**encoder, **TINY.get(arch, {}), **options})


def cases(task: str) -> list:
    """(arch, options) of a task, its variants too; these and those in SLOW belong to the slow group."""
    archs = [(arch, {}, arch in SLOW) for arch in TASKS[task].archs]
    variants = [(arch, options, True) for arch, options in VARIANTS[task]]
    return [
        pytest.param((arch, options), id="-".join((arch, *map(str, options.values()))), marks=[pytest.mark.slow] * slow)
        for arch, options, slow in archs + variants
    ]


def check_contract(task, arch):
    """Two positionals, pictures as uint8 or keypoints as float32 in, a dict of float32 heads out whatever the
    policy."""
    types = {"image": "uint8", "frames": "uint8", "mask": "uint8", "keypoints_2d": "float32"}
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(task, arch)
    finally:
        keras.config.set_dtype_policy(policy)
    assert all(tensor.dtype == types[tensor.name] for tensor in model.inputs)
    assert set(model.output_names) <= set(TASKS[task].outputs)
    assert all(output.dtype == "float32" for output in model.outputs)
    assert model.compute_dtype == "bfloat16" or any(layer.compute_dtype == "bfloat16" for layer in model.layers)
    assert model.name == arch


def at_cell_centres(mask, stride: int = 32):
    """All but the middle of each cell ignored: what a network without a decoder is able to answer."""
    kept, middle = np.full_like(mask, 255), slice(stride // 2, None, stride)
    kept[:, middle, middle] = mask[:, middle, middle]
    return kept


def has_learned(task, first, last) -> bool:
    """The loss falls below a tenth, joints come within a tenth of the picture. The loss of localisation may end below
    0: there the camera is found to a quarter of the first answers' errors."""
    if task == "loc":
        return all(last[name] < 0.25 * first[name] for name in ("position_position_error", "rotation_rotation_error"))
    return last["loss"] < 0.1 * first["loss"] and all(
        value < 25.6 for name, value in last.items() if name.endswith("mpjpe")
    )


def check_export(form, model, path, inputs, tolerance=1e-4):
    """A network as it is survives in a form of export: each number, relative to the output's range where that is above
    1."""
    expected = {name: np.asarray(value) for name, value in model.predict_on_batch(inputs).items()}
    _, found = formats.written(form, model, path, inputs, expected)
    for name, value in expected.items():
        atol = tolerance * max(1.0, np.abs(value).max())
        np.testing.assert_allclose(found[name], value, rtol=0, atol=atol, err_msg=name)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A tiny network, trained on eight examples until it has learned them, or for STEPS steps.

    images: what it reads; gradients: (path, array) of its weights before the first step; first, last: loss and metrics
    of the first and the last step; learned: see `has_learned`.
    """

    model: keras.Model
    images: object
    gradients: list
    first: dict
    last: dict
    learned: bool


STEPS = 400


def train(task, arch, options, examples) -> Trained:
    """One network for all of CHECKS: to train it takes longest.

    Args:
        examples: {features that networks read, joined by "+": (inputs, labels)}.
    """
    model = tiny(task, arch, **options)
    images, labels = examples["+".join(networks.reads(model))]
    if arch in COARSE:
        labels = {**labels, "mask": at_cell_centres(labels["mask"])}
    row = TASKS[task]
    y = {name: labels[row.outputs[name].label] for name in model.output_names}
    arguments = networks.compile_arguments(row, model, UNITS[task], loss=None, loss_options={}, weights={})
    gradients = gradients_of(model, images, y, arguments["loss"])

    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False, **arguments)
    model.optimizer.build(model.trainable_variables)
    first = last = model.train_on_batch(images, y, return_dict=True)
    if task == "seg":  # some start far above the loss of an answer that knows nothing, which counts here
        first = {**first, "loss": min(first["loss"], np.log(UNITS[task]))}
    learned = False
    for _ in range(STEPS):
        model.reset_metrics()
        last = model.train_on_batch(images, y, return_dict=True)
        if learned := has_learned(task, first, last):
            break
    return Trained(model, images, gradients, first, last, learned)


def gradients_of(model, images, y, losses) -> list:
    """(path, gradient, None where there is none) of the sum of the losses; two encoders may have the same paths."""
    with tf.GradientTape() as tape:
        predicted = model(images, training=True)
        loss = sum(function(y[name], predicted[name]) for name, function in losses.items())
    found = tape.gradient(loss, model.trainable_variables)
    return [
        (weight.path, None if gradient is None else gradient.numpy())
        for weight, gradient in zip(model.trainable_variables, found, strict=True)
    ]


def check_gradients(trained: Trained, folder):
    assert len(trained.gradients) == len(trained.model.trainable_variables) > 0
    for path, gradient in trained.gradients:
        assert gradient is not None, path
        # A bias before BatchNorm has none; a ReLU may be dead at the start in single filters, not in whole kernels.
        assert np.abs(gradient).max() > 0, path


def check_learned(trained: Trained, folder):
    assert trained.learned, f"{trained.first} -> {trained.last}"


def check_keras(trained: Trained, folder):
    trained.model.save(folder / "network.keras")
    loaded = keras.saving.load_model(folder / "network.keras")
    expected = trained.model.predict_on_batch(trained.images)
    for name, value in loaded.predict_on_batch(trained.images).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5)


def check_saved_model(trained: Trained, folder):
    check_export("saved_model", trained.model, folder / "saved_model", trained.images)
    signature = tf.saved_model.load(folder / "saved_model").signatures["serving_default"]
    found = {spec.dtype for spec in signature.structured_input_signature[1].values()}
    assert found == {tf.as_dtype(tensor.dtype) for tensor in trained.model.inputs}


CHECKS = {
    "every weight gets a gradient": check_gradients,
    "eight examples are learned": check_learned,
    "the .keras file answers alike": check_keras,
    "the SavedModel answers alike": check_saved_model,
}
