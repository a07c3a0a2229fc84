"""Schedules, optimizers, L2 penalty, plateaus and moving averages, against formulas in NumPy and against Keras's own
callbacks."""

import dataclasses

import h5py
import keras
import numpy as np
import pytest
import run_folders
import tensorflow as tf

from kzoo import UserError
from kzoo.runs import Run
from kzoo.training import callbacks, optimization

DEFAULTS = {"lr": 1.0, "steps": 10, "epochs": 10, "warmup": 0, "milestones": [], "weight_decay": 0.0}
STEPS = 4  # an epoch of what is trained below
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8 * STEPS, 3)).astype("float32")
Y = (X @ [[1.0], [-2.0], [0.5]]).astype("float32")
TRAIN, VAL = ((X, Y), (X, -Y))  # the better it learns, the worse it validates: every epoch after the first is a plateau


# Schedules


def rates(schedule, **options):
    """The learning rate of each of 100 steps."""
    optimizer, found = optimization.optimizer("adam", schedule, **{**DEFAULTS, **options}), []
    for step in range(100):
        optimizer.iterations.assign(step)
        found.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    return found


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_constant(schedule):
    assert set(rates(schedule)) == {1.0}


def test_step_divides_by_ten():
    values = rates("step", milestones=["3", "6"])
    np.testing.assert_allclose(
        [values[0], values[30], values[31], values[60], values[61]], [1, 1, 0.1, 0.1, 0.01], rtol=1e-5
    )


def test_cosine_ends_near_zero_and_warms_up():
    plain, warm = rates("cosine"), rates("cosine", warmup=1)
    np.testing.assert_allclose(plain[50], 0.5 * (1 + 0.001), atol=1e-3)
    assert plain[-1] < 0.01 and all(a >= b for a, b in zip(plain, plain[1:], strict=False))
    np.testing.assert_allclose(
        [w / p for w, p in zip(warm[:10], plain[:10], strict=True)], np.arange(1, 11) / 10, rtol=1e-5
    )
    np.testing.assert_allclose(warm[10:], plain[10:])


def test_poly():
    np.testing.assert_allclose(rates("poly", lr=0.007), 0.007 * (1 - np.arange(100) / 100) ** 0.9, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"schedule": "linear"},
        {"schedule": "step"},
        {"schedule": "step", "milestones": ["x"]},
        {"name": "lion"},
        {"ema": 1.0},
        {"ema": -0.1},
    ],
    ids=str,
)
def test_bad_optimizer_choices(options):
    with pytest.raises(UserError):
        optimization.optimizer(**{"name": "adam", "schedule": "cosine", **DEFAULTS, **options})


def test_schedule_serialises():
    schedule = optimization.WarmUp(keras.optimizers.schedules.CosineDecay(1.0, 10), 5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(copy(3)) == float(schedule(3))


def test_linear_scaling():
    assert optimization.scaled_lr(0.1, batch_size=64, base_batch=256) == 0.025


# Decay and penalty


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_biases_are_not_decayed(name):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones", bias_initializer="ones")]
    )
    optimizer = optimization.optimizer(name, "constant", **{**DEFAULTS, "lr": 0.1, "weight_decay": 0.5})
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])
    kernel, bias = (v.numpy() for v in model.trainable_variables)
    assert (bias == 1).all() and (kernel < 1).all()


def convolutional():
    """Functional, with every kind of kernel, one of them frozen, and with what is not to be penalised."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, bias_initializer="ones", name="frozen", trainable=False)(image)
    x = keras.layers.Conv2D(4, 3, bias_initializer="ones", name="conv")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = keras.layers.SeparableConv2D(4, 2, name="separable")(x)
    return keras.Model(image, keras.layers.Dense(1, bias_initializer="ones", name="dense")(keras.layers.Flatten()(x)))


def kernels(model):
    conv, depthwise, separable, dense = (model.get_layer(name) for name in ("conv", "depthwise", "separable", "dense"))
    return [conv.kernel, depthwise.kernel, separable.depthwise_kernel, separable.pointwise_kernel, dense.kernel]


def test_l2_is_factor_times_the_sum_of_squares(tmp_path):
    images, labels = np.random.default_rng(1).normal(size=(6, 8, 8, 3)), np.ones((6, 1))
    losses = []
    for factor in (0.0, 0.03):
        model = convolutional()
        if factor:
            optimization.add_l2(model, factor)
        model.compile("sgd", loss="mse", jit_compile=False)
        losses.append(model.test_on_batch(images, labels))
    np.testing.assert_allclose(
        losses[1] - losses[0], 0.03 * sum((k.numpy().astype("float64") ** 2).sum() for k in kernels(model)), rtol=1e-4
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(again(images), model(images))


def test_l2_shrinks_kernels_by_its_gradient():
    model = convolutional()
    optimization.add_l2(model, 0.25)
    model.compile(keras.optimizers.SGD(0.1), loss=lambda truth, predicted: 0 * predicted, jit_compile=False)
    before = [(v, v.numpy()) for v in model.trainable_variables]
    model.train_on_batch(np.ones((2, 8, 8, 3)), np.ones((2, 1)))
    penalised = {id(kernel) for kernel in kernels(model)}
    for variable, value in before:
        np.testing.assert_allclose(
            variable.numpy(), value * (1 - 2 * 0.1 * 0.25 if id(variable) in penalised else 1), rtol=1e-5, atol=1e-7
        )


# Plateaus


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_falls_are_those_of_keras(mode, patience):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    for seed in range(3):
        scores = np.random.default_rng(seed).normal(size=14)
        model.compile(keras.optimizers.SGD(1.0), loss="mse")
        theirs = keras.callbacks.ReduceLROnPlateau("score", factor=0.1, patience=patience, mode=mode, min_delta=0)
        theirs.set_model(model)
        theirs.on_train_begin()
        for epoch, score in enumerate(scores):
            theirs.on_epoch_end(epoch, {"score": score})
            expected = round(-np.log10(float(model.optimizer.learning_rate.numpy())))
            assert optimization.falls(scores[: epoch + 1], mode, patience, most=99) == expected
            assert optimization.falls(scores[: epoch + 1], mode, patience) == min(expected, 3)


def test_nan_is_no_improvement():
    assert optimization.falls([1.0, np.nan, np.nan, 0.5, np.nan], "min", patience=2) == 1


class Recorder(keras.callbacks.Callback):
    """Learning rate and weights after every step."""

    def __init__(self):
        super().__init__()
        self.rates, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        self.weights.append([v.numpy() for v in self.model.trainable_variables])


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((3,)), *layers])


def run_in(folder) -> Run:
    config = run_folders.configuration("pose", "regression")
    return Run(folder, dataclasses.replace(config, score="val_loss", mode="min"))


def trained(folder, epochs, schedule="plateau", ema=None):
    """What train.py does with a run folder: a new one, or one to be continued."""
    model = network()
    optimizer = optimization.optimizer(
        "adam", schedule, lr=0.1, steps=STEPS, epochs=4, warmup=1.5, milestones=[], weight_decay=1e-3, ema=ema
    )
    model.compile(optimizer, loss="mse", jit_compile=False)
    keeper = callbacks.RunFolder(run_in(folder), steps=STEPS)
    first, recorder = keeper.restore(model), Recorder()
    data = tf.data.Dataset.from_tensor_slices(TRAIN).batch(8)
    called = [optimization.WeightAverage(), recorder, callbacks.TrainScore(data), keeper]
    if schedule == "plateau":
        called.append(optimization.Plateau(keeper, 0.1, patience=1, warmup=1.5))
    model.fit(data, epochs=epochs, initial_epoch=first, validation_data=VAL, shuffle=False, verbose=0, callbacks=called)
    return keeper, recorder


def stored(path):
    """Every array of a weights file, by name."""
    arrays = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return arrays


@pytest.fixture(scope="module")
def averaged_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("averaged")
    return folder, *trained(folder, 4, ema=0.8)


def test_plateau_warms_up_and_falls(averaged_run):
    _, keeper, recorder = averaged_run
    assert optimization.falls([row["val_loss"] for row in keeper.rows], "min", 1) > 0, "or nothing is tested"
    falls = [optimization.falls([row["val_loss"] for row in keeper.rows[:epoch]], "min", 1) for epoch in range(4)]
    ramp = np.minimum(1, np.arange(1, 4 * STEPS + 1) / 6)
    np.testing.assert_allclose(recorder.rates, 0.1 * ramp / 10 ** np.repeat(falls, STEPS), rtol=1e-5)


def test_plateau_needs_some_patience(tmp_path):
    with pytest.raises(UserError, match="patience"):
        optimization.Plateau(callbacks.RunFolder(run_in(tmp_path), steps=1), 0.1, patience=0)


@pytest.mark.parametrize("schedule", ["plateau", "cosine"])
def test_an_interrupted_run_equals_an_uninterrupted_one(averaged_run, tmp_path, schedule):
    whole = averaged_run[0] if schedule == "plateau" else tmp_path / "whole"
    if schedule != "plateau":
        trained(whole, 4, schedule, ema=0.8)
    trained(tmp_path / "parts", 2, schedule, ema=0.8)
    trained(tmp_path / "parts", 4, schedule, ema=0.8)
    assert run_in(whole).history == run_in(tmp_path / "parts").history
    ours, theirs = stored(run_in(tmp_path / "parts").state.path), stored(run_in(whole).state.path)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


# Moving averages


def test_scores_and_the_best_model_are_of_the_average(averaged_run):
    folder, keeper, recorder = averaged_run
    best, average = keeper.best(), None
    for weights in recorder.weights[: best["epoch"] * STEPS]:
        average = weights if average is None else [0.8 * a + 0.2 * w for a, w in zip(average, weights, strict=True)]
    model = keras.saving.load_model(folder / "model.keras", compile=False)
    for variable, value in zip(model.trainable_variables, average, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-5, atol=1e-6)
    for prefix, (inputs, labels) in (("train_", TRAIN), ("val_", VAL)):
        np.testing.assert_allclose(np.mean((model(inputs) - labels) ** 2), best[prefix + "loss"], rtol=1e-4)


def test_the_state_holds_weights_and_averages(averaged_run):
    folder, keeper, recorder = averaged_run
    model = network()
    optimizer = optimization.optimizer("adam", "plateau", **DEFAULTS, ema=0.8)
    model.compile(optimizer, loss="mse", jit_compile=False)
    assert callbacks.RunFolder(run_in(folder), steps=STEPS).restore(model) == 4
    raw = [v.numpy() for v in model.trainable_variables]
    for value, last in zip(raw, recorder.weights[-1], strict=True):
        np.testing.assert_array_equal(value, last)
    with optimization.averaged(model):
        np.testing.assert_allclose(model.test_on_batch(*VAL), keeper.rows[-1]["val_loss"], rtol=1e-4)
    for variable, value in zip(model.trainable_variables, raw, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_without_averages_nothing_is_swapped():
    model = network()
    model.compile(optimization.optimizer("sgd", "constant", **DEFAULTS), loss="mse", jit_compile=False)
    before = model.get_weights()
    with optimization.averaged(model):
        for value, kept in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(value, kept)


def test_averages_under_a_loss_scale():
    model = network()
    inner = optimization.optimizer("sgd", "constant", **{**DEFAULTS, "lr": 0.1}, ema=0.5)
    model.compile(keras.optimizers.LossScaleOptimizer(inner), loss="mse", jit_compile=False)
    recorder = Recorder()
    model.fit(*TRAIN, batch_size=16, epochs=1, verbose=0, shuffle=False, callbacks=[recorder])
    for variable, value in zip(model.trainable_variables, recorder.weights[-1], strict=True):
        variable.assign(value)  # fit ends with the averages
    first, second = recorder.weights
    with optimization.averaged(model):
        for variable, a, b in zip(model.trainable_variables, first, second, strict=True):
            np.testing.assert_allclose(variable.numpy(), (a + b) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.get_weights()[0], second[0])
