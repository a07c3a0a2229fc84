"""Schedules, optimizers, encoder weights, the run folder: what `train.py` is made of."""

import os
import resource

import keras
import numpy as np
import pytest

from kzoo import UserError, encoders, files, training
from kzoo.tasks import TASKS


def rates(schedule, **options):
    defaults = {"lr": 1.0, "steps": 10, "epochs": 10, "warmup": 0, "milestones": [], "weight_decay": 0.0}
    optimizer = training.optimizer("adam", schedule, **{**defaults, **options})
    return [float(keras.ops.convert_to_numpy(optimizer._learning_rate(step))) for step in range(100)]


def test_constant():
    assert set(rates("constant")) == {1.0}


def test_step_divides_by_ten():
    values = rates("step", milestones=["3", "6"])
    np.testing.assert_allclose([values[0], values[30], values[31], values[60], values[61]], [1, 1, 0.1, 0.1, 0.01], rtol=1e-5)


def test_cosine_ends_near_zero_and_warms_up():
    plain, warm = rates("cosine"), rates("cosine", warmup=1)
    np.testing.assert_allclose(plain[50], 0.5 * (1 + 0.001), atol=1e-3)
    assert plain[-1] < 0.01 and all(a >= b for a, b in zip(plain, plain[1:], strict=False))
    np.testing.assert_allclose([w / p for w, p in zip(warm[:10], plain[:10], strict=True)], np.arange(1, 11) / 10, rtol=1e-5)
    np.testing.assert_allclose(warm[10:], plain[10:])


@pytest.mark.parametrize(
    "options", [{"schedule": "linear"}, {"schedule": "step"}, {"schedule": "step", "milestones": ["x"]}, {"name": "lion"}]
)
def test_bad_optimizer_choices(options):
    defaults = {
        "name": "adam",
        "schedule": "cosine",
        "lr": 1.0,
        "steps": 1,
        "epochs": 1,
        "warmup": 0,
        "milestones": [],
        "weight_decay": 0.0,
    }
    with pytest.raises(UserError):
        training.optimizer(**{**defaults, **options})


def test_schedule_serialises():
    schedule = training.WarmUp(keras.optimizers.schedules.CosineDecay(1.0, 10), 5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert float(copy(3)) == float(schedule(3))


@pytest.mark.parametrize("name", ["adam", "sgd", "rmsprop"])
def test_biases_are_not_decayed(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="ones", bias_initializer="ones")])
    optimizer = training.optimizer(name, "constant", lr=0.1, steps=1, epochs=1, warmup=0, milestones=[], weight_decay=0.5)
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables])
    kernel, bias = (v.numpy() for v in model.trainable_variables)
    assert (bias == 1).all() and (kernel < 1).all()


def test_compile_arguments_refuse_what_is_not_there():
    task = TASKS["pose"]
    model = training.build(task, "regression", 64, 17, encoder="small", encoder_weights="none")
    for options in ({"weights": {"heat": 1}}, {"weights": {"coords": 0}}, {"loss": "l3"}, {"loss_options": {"sigm": 1}}):
        with pytest.raises(UserError):
            training.compile_arguments(task, model, 17, **{"loss": None, "loss_options": {}, "weights": {}, **options})


def test_unknown_hyperparameter_names_the_allowed_ones():
    with pytest.raises(UserError, match="widhts.*widths"):
        training.build(TASKS["seg"], "unet", 64, 7, encoder="small", encoder_weights="none", widhts=(8,))


def test_encoder_weights_from_a_file(tmp_path):
    path = str(tmp_path / "vgg.weights.h5")
    source = keras.applications.VGG16(include_top=False, weights=None, input_shape=(64, 64, 3))
    source.save_weights(path)
    image = keras.Input((64, 64, 3), dtype="uint8")
    model = keras.Model(image, encoders.encode(image, "vgg16", path))
    for layer in ("block1_conv1", "block5_conv3"):
        np.testing.assert_array_equal(model.get_layer(layer).kernel.numpy(), source.get_layer(layer).kernel.numpy())


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [("small", "imagenet", "no ImageNet weights.*--encoder_weights=none"), ("vgg16", "missing.h5", "no encoder weights at"),
     ("resnet9", "none", "unknown encoder.*resnet50"), ("vgg16", __file__, "does not hold weights")],
)  # fmt: skip
def test_bad_encoder_weights(name, weights, message):
    with pytest.raises(UserError, match=message):
        encoders.encode(keras.Input((64, 64, 3), dtype="uint8"), name, weights)


def test_failed_download_names_the_other_choices(monkeypatch):
    def fail(*args, weights, **kwargs):
        raise Exception("URL fetch failure on https://example.org: None -- unreachable")  # what keras.utils.get_file raises

    monkeypatch.setattr(keras.applications, "VGG16", lambda **k: fail(**k) if k["weights"] else keras.src.applications.vgg16.VGG16(**k))
    with pytest.raises(UserError, match="could not be downloaded.*--encoder_weights=none.*--encoder_weights=<file>"):
        encoders.encode(keras.Input((64, 64, 3), dtype="uint8"), "vgg16", "imagenet")


def test_size_must_fit_the_stride():
    with pytest.raises(UserError, match="multiple of 32"):
        encoders.encode(keras.Input((100, 100, 3), dtype="uint8"), "small")


@pytest.fixture
def small_disk():
    """Files of this process may not grow beyond 50 kB: a write fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_keeps_the_previous_checkpoint(tmp_path, request):
    model = training.build(TASKS["pose"], "regression", 32, 17, encoder="small", encoder_weights="none")
    model.compile("adam", loss={"coords": "mse"}, jit_compile=False)
    keeper = training.RunFolder(tmp_path, score="val_mpjpe", mode="min", steps=1)
    keeper.set_model(model)
    keeper.on_epoch_end(0, {"loss": 1.0, "val_mpjpe": 10.0})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    request.getfixturevalue("small_disk")
    with pytest.raises(UserError, match="could not write.*model.keras"):
        keeper.on_epoch_end(1, {"loss": 0.5, "val_mpjpe": 9.0})
    assert {path.name for path in tmp_path.iterdir()} == set(before), "a temporary file was left behind"
    for name in ("model.keras", "last.weights.h5"):
        assert (tmp_path / name).read_bytes() == before[name]
    keras.saving.load_model(tmp_path / "model.keras", compile=False)


def test_nan_loss_stops_with_one_line(tmp_path):
    keeper = training.RunFolder(tmp_path, score="val_mpjpe", mode="min", steps=1)
    with pytest.raises(UserError, match="loss became nan.*--lr"):
        keeper.on_epoch_end(0, {"loss": float("nan"), "val_mpjpe": 1.0})
    assert not os.listdir(tmp_path)


def test_replacing_leaves_nothing_when_the_writer_fails(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(target) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["report.json"] and target.read_text() == "old"


def test_best_epoch_ignores_nan():
    keeper = training.RunFolder("unused", score="s", mode="max", steps=1)
    keeper.rows = [{"s": 0.1}, {"s": float("nan")}, {"s": 0.3}, {"s": 0.2}]
    assert keeper.best() == {"s": 0.3}
