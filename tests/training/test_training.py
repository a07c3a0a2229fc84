"""Compile arguments, encoder weights, the run folder: what `train.py` is made of."""

import dataclasses
import os
import resource

import keras
import numpy as np
import pytest
import run_folders

from kzoo import UserError, files
from kzoo.nn import encoders
from kzoo.runs import Run
from kzoo.tasks import TASKS
from kzoo.training import callbacks, networks


def keeper_of(folder, *, score="val_mpjpe", mode="min", steps=1) -> callbacks.RunFolder:
    """The callback of a run that is about to begin."""
    config = dataclasses.replace(run_folders.configuration("pose", "regression"), score=score, mode=mode)
    return callbacks.RunFolder(Run(folder, config), steps=steps)


def resumable(folder, scores, *, state=True, model=True):
    """A run of as many epochs as there are scores, the lower the better, and a new network to continue it with."""
    networks_of = [keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(2)]
    for network in networks_of:
        network.compile("sgd", "mse")
        network.optimizer.build(network.trainable_variables)
    before = keeper_of(folder)
    before.set_model(networks_of[0])
    before.run.save_config()
    for epoch, score in enumerate(scores):
        before.on_epoch_end(epoch, {"loss": 1.0, "val_mpjpe": score})
    if not state:
        before.run.state.path.unlink()
    if not model:
        (folder / "model.keras").unlink()
    return keeper_of(folder), networks_of[1]


def test_a_run_without_its_state_does_not_begin_anew(tmp_path):
    keeper, model = resumable(tmp_path / "run", [3.0, 2.0], state=False)
    with pytest.raises(UserError, match="its state, last.weights.h5, is gone, its history has 2 epochs"):
        keeper.restore(model)
    keeper, model = resumable(tmp_path / "killed", [3.0], state=False)
    assert keeper.restore(model) == 0, "killed before its first state was written"


def test_a_run_without_the_network_of_its_best_epoch(tmp_path):
    keeper, model = resumable(tmp_path / "run", [2.0, 3.0], model=False)
    with pytest.raises(UserError, match="model.keras, the network of its best epoch 1, is gone"):
        keeper.restore(model)
    keeper, model = resumable(tmp_path / "last", [3.0, 2.0], model=False)
    assert keeper.restore(model) == 2 and keeper.run.has_model, "the state is that of the best epoch"


def test_compile_arguments_refuse_what_is_not_there():
    task = TASKS["pose"]
    model = networks.build(task, "regression", 64, 17, encoder="small", encoder_weights="none")
    for options in (
        {"weights": {"heat": 1}},
        {"weights": {"coords": 0}},
        {"loss": "l3"},
        {"loss_options": {"sigm": 1}},
    ):
        with pytest.raises(UserError):
            networks.compile_arguments(task, model, 17, **{"loss": None, "loss_options": {}, "weights": {}, **options})


def test_unknown_hyperparameter_names_the_allowed_ones():
    with pytest.raises(UserError, match="widhts.*widths"):
        networks.build(TASKS["seg"], "unet", 64, 7, encoder="small", encoder_weights="none", widhts=(8,))


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
    [
        ("small", "imagenet", "no ImageNet weights.*--encoder_weights=none"),
        ("vgg16", "missing.h5", "no encoder weights at"),
        ("resnet9", "none", "unknown encoder.*resnet50"),
        ("vgg16", __file__, "does not hold weights"),
    ],
)
def test_bad_encoder_weights(name, weights, message):
    with pytest.raises(UserError, match=message):
        encoders.encode(keras.Input((64, 64, 3), dtype="uint8"), name, weights)


def test_failed_download_names_the_other_choices(monkeypatch):
    vgg16 = keras.applications.VGG16

    def fail(*, weights, **options):
        if weights:  # what keras.utils.get_file raises
            raise Exception("URL fetch failure on https://example.org: None -- unreachable")
        return vgg16(weights=None, **options)

    monkeypatch.setattr(keras.applications, "VGG16", fail)
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
    model = networks.build(TASKS["pose"], "regression", 32, 17, encoder="small", encoder_weights="none")
    model.compile("adam", loss={"coords": "mse"}, jit_compile=False)
    keeper = keeper_of(tmp_path)
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


def test_wrong_loss_keywords_are_one_line():
    task = TASKS["seg"]
    model = networks.build(task, "unet", 32, 3, encoder="small", encoder_weights="none", widths=(4, 4, 4))
    for options in ({"bootstrap": 1.5}, {"cross_entropy": 0.0}, {"bootstraps": 9}):
        with pytest.raises(UserError, match=f"--loss_set.*{next(iter(options))}"):
            networks.compile_arguments(task, model, 3, loss="cross_entropy", loss_options=options, weights={})


@pytest.mark.parametrize("skipped", [0, 2])
def test_resuming_under_a_loss_scale(tmp_path, skipped):
    """mixed_float16 wraps the optimizer; steps whose gradient overflows do not count as iterations."""

    def compiled():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(0.1)), loss="mse", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return model, keeper_of(tmp_path, score="val_loss", steps=5)

    model, keeper = compiled()
    keeper.set_model(model)
    for epoch in range(2):
        for _ in range(5):
            model.train_on_batch(np.ones((4, 3)), np.ones((4, 1)))
        keeper.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0})
    model.optimizer.inner_optimizer.iterations.assign(10 - skipped)
    keeper.run.state.save(model)
    again, keeper = compiled()
    assert keeper.restore(again) == 2 and len(keeper.rows) == 2
    for ours, theirs in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_nan_loss_stops_with_one_line(tmp_path):
    keeper = keeper_of(tmp_path)
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
    keeper = keeper_of("unused", score="s", mode="max")
    keeper.rows = [{"s": 0.1}, {"s": float("nan")}, {"s": 0.3}, {"s": 0.2}]
    assert keeper.best() == {"s": 0.3}


def test_metrics_of_several_outputs_get_one_set_of_columns():
    """The main output's metrics lose its name; those of others too, unless that would overwrite the main one's."""

    class Named:
        def __init__(self, name):
            self.name = name

    callback = callbacks.PlainNames(
        "position", {"rotation": [Named("error"), Named("turn")], "position": [Named("error"), Named("position_share")]}
    )
    logs = {
        "loss": 1,
        "position_loss": 2,
        "val_position_error": 3,
        "val_rotation_error": 4,
        "rotation_turn": 5,
        "val_position_position_share": 6,
    }
    callback.on_epoch_end(0, logs)
    assert logs == {
        "loss": 1,
        "position_loss": 2,
        "val_error": 3,
        "val_rotation_error": 4,
        "turn": 5,
        "val_position_share": 6,
    }
