"""The same weights give the same answers on every Keras backend. Needs the other backends:

pip install -e ".[test,jax,torch]" && pytest -m peer
"""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from kzoo import training
from kzoo.tasks import TASKS

ZOO = [(task, arch) for task in TASKS for arch in TASKS[task].archs]
UNITS = {"pose": 17, "seg": 7}
ENCODERS = ("small", "mobilenetv2")
FORWARD = """
import sys, numpy as np
from kzoo import training
from kzoo.tasks import TASKS
folder, units = sys.argv[1], {"pose": 17, "seg": 7}
assert "tensorflow" not in __import__("keras").backend.backend()
images = np.load(folder + "/images.npy")
for case in sys.argv[2:]:
    task, arch, encoder = case.split("/")
    model = training.build(TASKS[task], arch, 64, units[task], encoder=encoder, encoder_weights="none")
    model.load_weights(f"{folder}/{task}-{arch}-{encoder}.weights.h5")
    outputs = model(images, training=False)
    arrays = {k: np.asarray(v.detach() if hasattr(v, "detach") else v) for k, v in outputs.items()}
    np.savez(f"{folder}/{task}-{arch}-{encoder}.npz", **arrays)
"""


@pytest.mark.peer
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_forward_pass_is_the_same(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install -e '.[{backend}]'")
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype="uint8")
    np.save(tmp_path / "images.npy", images)
    expected, cases = {}, [f"{task}/{arch}/{encoder}" for task, arch in ZOO for encoder in ENCODERS]
    for case in cases:
        task, arch, encoder = case.split("/")
        model = training.build(TASKS[task], arch, 64, UNITS[task], encoder=encoder, encoder_weights="none")
        model.save_weights(tmp_path / f"{task}-{arch}-{encoder}.weights.h5")
        expected[case] = model.predict_on_batch(images)
    subprocess.run([sys.executable, "-c", FORWARD, str(tmp_path), *cases], env={**os.environ, "KERAS_BACKEND": backend}, check=True)
    for case in cases:
        found = np.load(tmp_path / f"{case.replace('/', '-')}.npz")
        for name, value in expected[case].items():
            np.testing.assert_allclose(found[name], value, atol=1e-4 * max(1, np.abs(value).max()), err_msg=f"{backend} {case} {name}")
