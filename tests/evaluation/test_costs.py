"""kzoo.costs: FLOPs against counts by hand, times and memory of a network in a process of its own."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import run_folders
from absl import flags

from kzoo import UserError
from kzoo.evaluation import costs
from kzoo.programs import costs as program


def convolution(x):
    return keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False)(x)


def transposed(x):
    return keras.layers.Conv2DTranspose(2, 4, strides=2, padding="same", use_bias=False)(x)


def depthwise(x):
    return keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)


def dense(x):
    return keras.layers.Dense(7, use_bias=False)(keras.layers.Flatten()(x))


# of 8 x 8 x 3: multiply-adds by hand; transposed ones as often as there are inputs, depthwise ones channel by channel
NETWORKS = [
    (convolution, 4 * 4 * 5 * 3 * 3 * 3),
    (transposed, 8 * 8 * 3 * 4 * 4 * 2),
    (depthwise, 8 * 8 * 3 * 3 * 3),
    (dense, 8 * 8 * 3 * 7),
]


@pytest.mark.parametrize(("layer", "multiply_adds"), NETWORKS, ids=[layer.__name__ for layer, _ in NETWORKS])
def test_flops_are_twice_the_multiply_adds(layer, multiply_adds, capsys):
    inputs = keras.Input((8, 8, 3), name="image")
    assert costs.flops(keras.Model(inputs, {"a": layer(inputs)})) == 2 * multiply_adds
    assert not capsys.readouterr().out, "the program's output is JSON alone"


def test_flops_behind_a_loop_are_not_guessed():
    inputs = keras.Input((8, 3), name="frames")
    looped, unrolled = (
        keras.Model(inputs, keras.layers.GRU(4, unroll=unroll, name="gru")(inputs)) for unroll in (False, True)
    )
    assert costs.flops(looped) is None and costs.flops(unrolled) > 2 * 8 * (3 + 4) * 4 * 3 * 0.9


def test_time_is_of_an_example(monkeypatch):
    monkeypatch.setattr(costs, "SECONDS", 0.0)
    clock = iter(np.arange(1000) * 0.5)  # each look at the clock is half a second after the one before
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(clock))
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, {"a": keras.layers.Dense(2)(inputs)})
    assert costs.milliseconds(model, 1) == pytest.approx(500) and costs.milliseconds(model, 4) == pytest.approx(125)


def test_the_peak_begins_anew():
    if not costs.forget_peak():
        pytest.skip("this system does not let a process forget its peak")
    _, peak = costs.resident()
    block = np.ones(80 * costs.MIB, "uint8")
    assert costs.resident()[1] > peak + 60
    del block
    costs.forget_peak()
    now, peak = costs.resident()
    assert peak < now + 30


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with a small segmentation network that was never trained."""
    folder = tmp_path_factory.mktemp("runs") / "unet"
    return run_folders.make(folder, "seg", "unet", names=["a", "b", "c"], widths=(8,))


def test_counting_is_quiet(run, capfd):
    assert costs.flops(run.model()) > 0
    assert capfd.readouterr() == ("", "")


def test_a_run_in_a_process_of_its_own(run):
    found = costs.in_own_process(run.folder)
    assert found["parameters"] == run.model().count_params() and found["threads"] >= 1
    assert set(found["ms_per_example"]) == {"1", "8"} and 0 < found["ms_per_example"]["8"] < 1000
    assert found["flops"] > 2 * 64 * 64 * 3 * 8 and found["peak_memory_mib"] > 100
    weights = found["parameters"] * 4 / costs.MIB
    assert found["network_memory_mib"] is None or weights <= found["network_memory_mib"] < found["peak_memory_mib"]
    failed = costs.in_own_process(run.folder.parent / "none")
    assert list(failed) == ["error"]
    assert failed["error"].startswith("the process ended with exit code 2: costs: no run folder at")
    assert costs.in_own_process(run.folder, timeout=0.01) == {"error": "not measured within 0.01 seconds"}


@pytest.mark.parametrize(
    ("arguments", "sizes", "match"),
    [([], "1", "name one run folder"), (["a", "b"], "1", "got 2"), (["a"], "0", "whole numbers above 0")],
)
def test_mistakes(arguments, sizes, match, monkeypatch):
    before = set(flags.FLAGS)
    program.define_flags()
    try:
        flags.FLAGS(["costs.py", f"--batch_size={sizes}"])
        with pytest.raises(UserError, match=match):
            program.main(arguments)
    finally:
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)


def test_the_program(run):
    command = [sys.executable, "-m", "kzoo.programs.costs", str(run.folder), "--batch_size=2"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0 and set(json.loads(done.stdout)["ms_per_example"]) == {"2"}, done.stderr
