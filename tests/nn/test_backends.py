"""The same weights give the same answers on every Keras backend. Needs the other backends:

pip install -e ".[test,jax,torch]" && pytest -m peer
"""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from zoo import SIZE, SIZES, TINY, UNITS, VARIANTS

from kzoo.tasks import TASKS
from kzoo.training import networks as training_networks

ENCODERS = ("small", "mobilenetv2")
FORWARD = """
import json, sys, numpy as np
from kzoo.tasks import TASKS
from kzoo.training import networks
folder = sys.argv[1]
assert "tensorflow" not in __import__("keras").backend.backend()
arrays = np.load(folder + "/inputs.npz")
for name, (task, arch, size, units, options) in json.load(open(folder + "/cases.json")).items():
    model = networks.build(TASKS[task], arch, size, units, **options)
    model.load_weights(f"{folder}/{name}.weights.h5")
    inputs = {tensor.name: arrays["image8" if task == "cluster" else tensor.name] for tensor in model.inputs}
    outputs = model(inputs if len(inputs) > 1 else next(iter(inputs.values())), training=False)
    found = {k: np.asarray(v.detach() if hasattr(v, "detach") else v) for k, v in outputs.items()}
    np.savez(f"{folder}/{name}.npz", **found)
"""


def cases() -> dict:
    """{name: arguments of `networks.build`}: the whole zoo in tiny, on two encoders where it has one."""
    result = {}
    networks = [(task, arch, {}) for task, row in TASKS.items() for arch in row.archs]
    networks += [(task, *variant) for task, variants in VARIANTS.items() for variant in variants]
    for task, arch, variant in networks:
        own = "encoder" in variant or "encoder" not in training_networks.hyperparameters_of(TASKS[task].archs[arch])
        encoders = (None,) if own else ENCODERS
        for encoder in encoders:
            options = {**TINY.get(arch, {}), **variant, **({"encoder": encoder} if encoder else {})}
            name = "-".join([task, arch, *map(str, variant.values()), *([encoder] if encoder else [])])
            result[name] = (task, arch, SIZES[task], UNITS[task], options)
    return result


@pytest.mark.peer
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_forward_pass_is_the_same(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[{backend}]'")
    rng = np.random.default_rng(0)
    shapes = {
        "image": (2, SIZE, SIZE, 3),
        "image8": (2, SIZES["cluster"], SIZES["cluster"], 3),
        "frames": (2, 8, SIZE, SIZE, 3),
        "mask": (2, SIZE, SIZE),
    }
    arrays = {name: rng.integers(0, 256, shape, dtype="uint8") for name, shape in shapes.items()}
    arrays["keypoints_2d"] = rng.uniform(0, 1, (2, 8, 17, 2)).astype("float32")
    np.savez(tmp_path / "inputs.npz", **arrays)
    (tmp_path / "cases.json").write_text(json.dumps(cases()))
    expected = {}
    for name, (task, arch, size, units, options) in cases().items():
        model = training_networks.build(TASKS[task], arch, size, units, **options)
        model.save_weights(tmp_path / f"{name}.weights.h5")
        inputs = {tensor.name: arrays["image8" if task == "cluster" else tensor.name] for tensor in model.inputs}
        expected[name] = model.predict_on_batch(inputs if len(inputs) > 1 else next(iter(inputs.values())))
    subprocess.run(
        [sys.executable, "-c", FORWARD, str(tmp_path)], env={**os.environ, "KERAS_BACKEND": backend}, check=True
    )
    for name, outputs in expected.items():
        found = np.load(tmp_path / f"{name}.npz")
        for output, value in outputs.items():
            np.testing.assert_allclose(
                found[output], value, atol=1e-4 * max(1, np.abs(value).max()), err_msg=f"{backend} {name} {output}"
            )
