"""Rules of the code base that a machine can check."""

import ast
import importlib
import inspect
import pathlib
import resource
import subprocess
import sys

import keras
import pytest

from kzoo import tasks
from kzoo.runs import file_names as names_in_a_run

ROOT = pathlib.Path(__file__).parents[1]
MAY_IMPORT_TENSORFLOW = (
    "kzoo/data/",
    "kzoo/export/",
    "kzoo/evaluation/costs.py",  # measures what TensorFlow does
    "kzoo/inference/grad_cam.py",  # takes gradients
)
FILES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.py"), *(ROOT / "kzoo").rglob("*.py")])
MODELS = sorted(path.stem for path in (ROOT / "kzoo/models").glob("*.py") if path.stem != "__init__")
ALL_FILES = [path for folder in ("kzoo", "datasets", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]


def source_of(path) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def imported(path):
    """Top-level names of all imports in a file, those inside functions too."""
    for node in ast.walk(source_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("path", FILES)
def test_tensorflow_stays_in_its_files(path):
    assert path.startswith(MAY_IMPORT_TENSORFLOW) or not {"tensorflow", "tensorflow_datasets"} & set(imported(path))


# Every arrow of import points down


ORDER = (  # of the parts of kzoo: each may import what stands below it; those of one row do not know each other
    ("programs",),
    ("lab",),
    ("sweep",),
    ("predict",),
    ("explain",),
    ("export",),
    ("evaluation",),
    ("runs",),
    ("inference",),
    ("training",),
    ("tasks",),
    ("figures",),
    ("models",),
    ("losses", "metrics"),
    ("data",),
    ("datasets",),
    ("nn",),
    ("cli",),
    ("files",),
)
LEVELS = {part: level for level, row in enumerate(reversed(ORDER)) for part in row}


def modules() -> dict[str, str]:
    """{name: path} of everything in the package, datasets/ too."""
    found = {}
    for path in ALL_FILES:
        names = path.relative_to(ROOT).with_suffix("").parts
        if names[0] not in ("kzoo", "datasets"):
            continue
        names = names if names[0] == "kzoo" else ("kzoo", *names)
        found[".".join(name for name in names if name != "__init__")] = path.relative_to(ROOT).as_posix()
    return found


MODULES = modules()


def nodes_of(tree):
    """Of a file, but for what a package imports once its names are asked for (PEP 562)."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.FunctionDef) and node.name == "__getattr__"):
            yield node
            yield from nodes_of(node)


def own_imports(name: str) -> set[str]:
    """The modules of kzoo that a module imports anywhere, inside functions too."""
    found = set()
    for node in nodes_of(source_of(MODULES[name])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: imports are absolute"
            modules_in = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= modules_in
            if len(modules_in) < len(node.names):  # names of the module itself
                found.add(node.module)
    return {module for module in found if module in MODULES} - {name}


def part_of(name: str) -> str:
    return name.split(".")[1]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "kzoo"])
def test_imports_point_down(name):
    mine = part_of(name)
    others = {module: part_of(module) for module in own_imports(name) if module != "kzoo"}
    upwards = [module for module, part in others.items() if part != mine and LEVELS[part] >= LEVELS[mine]]
    assert not upwards, f"{name} of {mine} imports {upwards}"


def test_no_circle_of_imports():
    arrows = {name: own_imports(name) for name in MODULES}
    left = dict(arrows)
    while True:  # take away what imports nothing that is left
        leaves = {name for name, wanted in left.items() if not wanted & left.keys()}
        if not leaves:
            break
        left = {name: wanted for name, wanted in left.items() if name not in leaves}
    assert not left, {name: sorted(wanted & left.keys()) for name, wanted in left.items()}


def test_the_package_is_one_screen():
    entries = [path.name for path in (ROOT / "kzoo").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20, sorted(entries)


# A run folder has one owner


def file_names() -> set[str]:
    """Of a run folder."""
    values = [value for name, value in vars(names_in_a_run).items() if name.isupper()]
    texts = [text for value in values for text in ([value] if isinstance(value, str) else value)]
    assert len(texts) > 15
    return set(texts)


RUN_FILES = file_names()
OF_OTHERS = {  # files of other folders that are called alike
    ("kzoo/programs/list.py", "README.md"),  # of a data set
    ("kzoo/sweep/study_page.py", "report.json"),  # of a study
    ("kzoo/sweep/study_page.py", "report.md"),
}
OPENING = {
    "open",
    "Path",
    "joinpath",
    "with_name",
    "glob",
    "rglob",
    "replacing",
    "read_json",
    "write_json",
    "write_text",
}


def texts_in(node) -> set[str]:
    """Of a string, and of the parts of an f-string."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    strings = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return {piece for text in strings for piece in text.split("/")}


def opened_by(tree) -> set[str]:
    """Texts that become a part of a path, and those that are file names wherever they stand alone."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found |= texts_in(node.left) | texts_in(node.right)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in OPENING:
            found |= {text for argument in node.args for text in texts_in(argument)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            found.add(node.value)
    return found


@pytest.mark.parametrize("path", [path for path in FILES if not path.startswith("kzoo/runs/")])
def test_only_runs_knows_the_files_of_a_run(path):
    found = {name for name in opened_by(source_of(path)) & RUN_FILES if (path, name) not in OF_OTHERS}
    assert not found, f"ask `Run` for {sorted(found)}"


# What is quick


def processed(*arguments, folder=ROOT) -> tuple[float, set[str], str]:
    """CPU seconds of a Python process, the top-level modules that it imported, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", *map(str, arguments)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, names, ended.stdout


FRAMEWORKS = {"tensorflow", "tensorflow_datasets", "keras", "numpy", "matplotlib"}


@pytest.mark.parametrize("module", ["kzoo", "kzoo.cli", "kzoo.files"])
def test_light_modules_import_no_framework(module, tmp_path):
    seconds, names, _ = processed("-c", f"import {module}", folder=tmp_path)
    assert "kzoo" in names and not FRAMEWORKS & names
    assert seconds < 0.3


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_flags_are_told_without_a_framework(script):
    seconds, names, printed = processed(ROOT / script, "--help")
    assert "--data_dir" in printed and "absl" in names and not {"tensorflow", "keras"} & names
    assert seconds < 2


# Names


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


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith(("kzoo/losses/", "kzoo/metrics/"))])
def test_every_loss_and_metric_is_registered(path):
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    own = {value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__}
    defined = {value for value in own if issubclass(value, keras.losses.Loss | keras.metrics.Metric)}
    assert defined <= set(CLASSES.values())


def test_losses_and_metrics_are_classes_of_keras():
    for folder, base in (("losses", keras.losses.Loss), ("metrics", keras.metrics.Metric)):
        assert sum(issubclass(cls, base) and folder in cls.__module__ for cls in CLASSES.values()) > 5
