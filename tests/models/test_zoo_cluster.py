"""The networks of task cluster, see zoo.py: clusters are found in test_cluster_training.py, their auto-encoders learn
in test_cluster_models.py."""

import numpy as np
import pytest
import tensorflow as tf
from zoo import check_contract, check_export, tiny

from kzoo.tasks import TASKS


@pytest.mark.parametrize("arch", TASKS["cluster"].archs)
def test_contract(arch):
    check_contract("cluster", arch)


@pytest.mark.parametrize("arch", TASKS["cluster"].archs)
def test_exports(arch, tmp_path):
    model, images = tiny("cluster", arch), np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype="uint8")
    check_export("saved_model", model, tmp_path / "saved_model", images)
    loaded = tf.saved_model.load(tmp_path / "saved_model")
    found = loaded.serve(images)
    np.testing.assert_allclose(np.sum(found["assignment"], axis=1), 1, atol=1e-5)
