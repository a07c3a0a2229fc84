"""Rules of the code base that a machine can check."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import keras
import pytest

from kzoo import tasks
from kzoo.losses import base as loss_base
from kzoo.losses import cluster as cluster_losses
from kzoo.losses import loc as loc_losses
from kzoo.metrics import base as metric_base
from kzoo.metrics import loc as loc_metrics
from kzoo.metrics import pose3d as pose3d_metrics

ROOT = pathlib.Path(__file__).parents[1]
MAY_IMPORT_TENSORFLOW = {
    "kzoo/data/builders.py",
    "kzoo/data/transforms.py",
    "kzoo/inference/grad_cam.py",
    "kzoo/data/augment.py",
    "kzoo/export/formats.py",
    "kzoo/evaluation/costs.py",
}
FILES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.py"), *(ROOT / "kzoo").rglob("*.py")])
MODELS = sorted(path.stem for path in (ROOT / "kzoo/models").glob("*.py") if path.stem != "__init__")
ALL_FILES = [path for folder in ("kzoo", "datasets", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]


def imported(path):
    """Top-level names of all imports in a file, those inside functions too."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", FILES)
def test_tensorflow_stays_in_its_files(path):
    assert path in MAY_IMPORT_TENSORFLOW or not {"tensorflow", "tensorflow_datasets"} & set(imported(path))


def test_no_file_for_odds_and_ends():
    assert not [path for path in ALL_FILES if path.stem in ("utils", "util", "helpers", "common", "misc")]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_is_named_as_its_function(name):
    module = importlib.import_module(f"kzoo.models.{name}")
    public = [
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not key.startswith("_")
    ]
    assert public == [name]
    parameters = list(inspect.signature(getattr(module, name)).parameters.values())
    assert [p.name for p in parameters[:2]] == ["input_shape", "num_outputs"]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[2:])
    assert module.__doc__ and getattr(module, name).__doc__
    assert any(task.archs.get(name) is getattr(module, name) for task in tasks.TASKS.values()), (
        "in the table, under its own name"
    )


def serialisable():
    """Registered classes of all modules, by name."""
    for path in (ROOT / "kzoo").rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return {
        name: cls
        for name, cls in keras.saving.get_custom_objects().items()
        if name.startswith("kzoo>") and inspect.isclass(cls)
    }


CLASSES = serialisable()
ARGUMENTS = {  # of classes that cannot be made without
    "kzoo>ColourTransform": {"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "offset": [0, 0, 0]},
    "kzoo>LearnedWeights": {"initial": [0, -3]},
    "kzoo>MeanIoU": {"classes": 3},
    "kzoo>SoftAssignment": {"clusters": 3},
    "kzoo>WarmUp": {"schedule": keras.optimizers.schedules.CosineDecay(0.1, 9), "steps": 5},
}


@pytest.mark.parametrize("name", CLASSES)
def test_registered_classes_come_back_from_their_config(name):
    cls = CLASSES[name]
    own = [
        p.name
        for p in inspect.signature(cls.__init__).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    instance = cls(**ARGUMENTS.get(name, {}))
    config = instance.get_config()
    assert set(own) - {"self"} <= set(config), "get_config names every argument"
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(instance))
    assert type(again) is cls and again.get_config() == config
    assert not cls.__subclasses__(), "final"


@pytest.mark.parametrize(
    ("module", "base"),
    [(module, keras.losses.Loss) for module in (loss_base, loc_losses, cluster_losses)]
    + [(module, keras.metrics.Metric) for module in (metric_base, pose3d_metrics, loc_metrics)],
)
def test_every_loss_and_metric_is_registered(module, base):
    defined = {value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, base)}
    assert defined and defined <= set(CLASSES.values())


@pytest.mark.parametrize("module", ["kzoo", "kzoo.cli", "kzoo.files"])
def test_light_modules_import_no_framework(module):
    code = f"import sys, {module}; sys.exit(' '.join({{'tensorflow', 'keras', 'numpy', 'matplotlib'}} & set(sys.modules)) or 0)"
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
