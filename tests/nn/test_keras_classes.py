"""Whoever imported kzoo loads its networks with Keras alone, without the modules that the layers lie in."""

import importlib
import json
import pkgutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import run_folders
from zoo import SLOW, TINY, UNITS, tiny

import kzoo
from kzoo.nn import keras_classes
from kzoo.tasks import TASKS
from kzoo.training import face, optimization

LOAD = """
import json, pathlib, sys
{imports}
found = {{}}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
    model = keras.models.load_model(path)
    found[path.stem] = [float(abs(weight.numpy()).sum()) for weight in model.weights]
print(json.dumps(found))
"""
ORDERS = {
    "kzoo first": "import kzoo\nimport keras",
    "Keras first": "import keras\nimport kzoo",
    "within TensorFlow": "import kzoo\nimport tensorflow as tf\nkeras = tf.keras",
    "a module of kzoo first": "from kzoo.metrics import pose\nimport keras",
}


def loaded(folder, imports=ORDERS["kzoo first"]) -> dict:
    """{file: sums of its weights}, by a process of its own."""
    ended = subprocess.run([sys.executable, "-c", LOAD.format(imports=imports), folder], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout)


def sums(model) -> list[float]:
    return [float(np.abs(weight.numpy()).sum()) for weight in model.weights]


def saved_zoo(folder, archs) -> dict:
    """Of each architecture a tiny network as a run saves it, compiled: {"<task>-<arch>": sums of its weights}."""
    expected = {}
    for task, arch in archs:
        model = tiny(task, arch)
        if task != "cluster":
            model.compile("adam", **face.compile_arguments(model, task))
        config = run_folders.configuration(task, arch, names=[f"unit{number}" for number in range(UNITS[task])])
        run = kzoo.Run(folder / "run", config)
        run.save_model(model)
        (folder / "run/model.keras").rename(folder / f"{task}-{arch}.keras")
        expected[f"{task}-{arch}"] = sums(model)
    return expected


ALL = [(task, arch) for task, row in TASKS.items() for arch in row.archs]
OWN_LAYERS = ("softargmax", "cpm", "deeppose", "segnet", "posenet", "dual_input", "dcec")


def check(found: dict, expected: dict):
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6, err_msg=name)


def test_networks_with_layers_of_kzoo_are_loaded_by_keras(tmp_path):
    expected = saved_zoo(tmp_path, [(task, arch) for task, arch in ALL if arch in OWN_LAYERS])
    check(loaded(tmp_path), expected)


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_imports_does_not_matter(order, tmp_path):
    expected = saved_zoo(tmp_path, [("pose", "softargmax")])
    check(loaded(tmp_path, ORDERS[order]), expected)


@pytest.mark.slow
def test_every_network_of_the_zoo_is_loaded_by_keras(tmp_path):
    assert set(TINY) | set(SLOW) <= {arch for _, arch in ALL}
    expected = saved_zoo(tmp_path, ALL)
    check(loaded(tmp_path), expected)


def test_a_network_with_its_losses_metrics_and_schedule(tmp_path):
    """As runs of 0.1 hold them: compiled, with an optimizer, and with the modules of then."""
    model = tiny("pose", "softargmax")
    rate = optimization.WarmUp(keras.optimizers.schedules.CosineDecay(1e-3, 10), 2)
    model.compile(keras.optimizers.AdamW(rate), **face.compile_arguments(model, "pose"))
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "new.keras")
    with zipfile.ZipFile(tmp_path / "new.keras") as new, zipfile.ZipFile(tmp_path / "old.keras", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                assert b"kzoo.nn.layers" in content and b"kzoo>WarmUp" in content
                content = content.replace(b"kzoo.nn.layers", b"kzoo.layers").replace(b"kzoo.training.", b"kzoo.")
            old.writestr(name, content)
    found = loaded(tmp_path)
    np.testing.assert_allclose(found["old"], sums(model), rtol=1e-6)
    assert found["new"] == found["old"]


def registered() -> dict:
    """{name: module} of all that kzoo registers."""
    for module in pkgutil.walk_packages(kzoo.__path__, "kzoo."):
        if module.name.split(".")[1] in ("nn", "models", "losses", "metrics", "training", "inference", "tasks"):
            importlib.import_module(module.name)
    registry = keras.saving.get_custom_objects()
    classes = {name: value for name, value in registry.items() if name.startswith("kzoo>")}
    return {name: value.__module__ for name, value in classes.items() if isinstance(value, type)}


def test_the_table_names_every_class():
    listed = {f"kzoo>{name}": module for module, names in keras_classes.CLASSES.items() for name in names}
    assert listed == registered()
