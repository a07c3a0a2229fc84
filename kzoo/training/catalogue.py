"""What there is by name, read from the package's source: tasks, architectures, recipes, losses, encoders, data sets.

Nothing is imported, so that programs list it and tell a mistake before a framework starts. The names stand once, in
`kzoo/tasks/`, `kzoo/nn/` and `datasets/`; tests hold what is read here against what is imported there.
"""

import ast
import dataclasses
import functools
import pathlib
from collections.abc import Mapping

from kzoo import UserError
from kzoo.datasets import registry

PACKAGE = pathlib.Path(__file__).parents[1]
DATASETS = pathlib.Path(registry.__file__).parent
KNOWN = {"dict": dict, "tuple": tuple, "list": list, "range": range}  # what plain data may call


# Reading source


@functools.cache
def assigned(path: pathlib.Path) -> dict[str, ast.expr]:
    """{name: expression} of the assignments at the top level of a file."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign):
            target = node.target
        else:
            target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and node.value:
            found[target.id] = node.value
    return found


def of_package(module: str) -> dict[str, ast.expr]:
    """The same of `kzoo/<module>.py`."""
    return assigned(PACKAGE / f"{module}.py")


def entries(table: ast.expr) -> dict[str, ast.expr]:
    """{key: expression} of a dictionary that is written out."""
    return {key.value: value for key, value in zip(table.keys, table.values, strict=True)}


def keywords(call: ast.expr) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords}


def value_of(expression: ast.expr, names: Mapping):
    """The value of an expression of plain data.

    Raises:
        NameError, AttributeError: it needs what `names` lacks, an imported function for instance.
    """
    return eval(compile(ast.Expression(expression), "<kzoo>", "eval"), {"__builtins__": KNOWN}, dict(names))


@functools.cache
def constants(task: str) -> dict:
    """{name: value} of what is plain data in `kzoo/tasks/base.py` and `kzoo/tasks/<task>.py`."""
    found: dict = {}
    for name, expression in {**of_package("tasks/base"), **of_package(f"tasks/{task}")}.items():
        try:
            found[name] = value_of(expression, found)
        except (NameError, AttributeError):
            continue  # made of what a framework makes
    return found


# Tasks and architectures


@dataclasses.dataclass(frozen=True)
class Task:
    """Of a task what no network is needed for, see `kzoo.tasks.base.Task`.

    archs: names; default: the one taken where none is given; recipes: (data set or "", arch or "") -> flags; score: its
    name, and "min" or "max"; without: flags of train.py that mean nothing here; losses: names, of all outputs.
    """

    name: str
    archs: tuple[str, ...]
    default: str
    recipes: dict[tuple[str, str], dict]
    score: tuple[str, str]
    learning: str
    without: tuple[str, ...]
    square: bool
    dense: bool
    losses: tuple[str, ...]

    @property
    def datasets(self) -> tuple[str, ...]:
        """With a recipe, in the table's order: the first is the built-in one."""
        return tuple(dict.fromkeys(dataset for dataset, _ in self.recipes if dataset))

    def dataset_for(self, arch: str | None = None) -> str:
        """What train.py takes without --dataset: the first with a recipe for this arch, else the task's first."""
        rows = [dataset for dataset, name in self.recipes if dataset and arch and name == arch]
        return (rows or self.datasets)[0]

    def recipe(self, dataset: str, arch: str) -> dict:
        """Default flags of an architecture on a data set: of all rows that apply the last one wins."""
        flags: dict = {}
        for row in (("", ""), (dataset, ""), ("", arch), (dataset, arch)):
            flags |= self.recipes.get(row, {})
        return flags


@functools.cache
def tasks() -> dict[str, Task]:
    """By name, in the order of TASKS."""
    table = entries(of_package("tasks/__init__")["TASKS"])
    return {name: _task(name, keywords(of_package(f"tasks/{name}")[row.id])) for name, row in table.items()}


def _task(name: str, row: dict[str, ast.expr]) -> Task:
    known = constants(name)
    given = keywords(row["input"]) if "input" in row else {}

    def of_input(field: str, otherwise):
        return value_of(given[field], known) if field in given else otherwise

    return Task(
        name=name,
        archs=tuple(entries(row["archs"])),
        default=value_of(row["default"], known),
        recipes=value_of(row["recipes"], known),
        score=value_of(row["score"], known),
        learning=value_of(row["learning"], known) if "learning" in row else "labels",
        without=of_input("without", known["ROUND_FLAGS"]),
        square=of_input("square", False),
        dense=of_input("dense", False),
        losses=_losses(name),
    )


def _losses(task: str) -> tuple[str, ...]:
    """The keys of all `Output(losses=…)` of a task's file; () where one of them cannot be read."""
    found: list[str] = []
    source = ast.parse((PACKAGE / f"tasks/{task}.py").read_text(encoding="utf-8"))
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Output":
            names = _keys(keywords(node)["losses"], task, source)
            if names is None:
                return ()
            found += names
    return tuple(dict.fromkeys(found))


def _keys(table: ast.expr, task: str, source: ast.Module) -> list[str] | None:
    """Of a dictionary, a comprehension over names, or a name of one of these; None of anything else."""
    if isinstance(table, ast.Name):
        return _keys(of_package(f"tasks/{task}").get(table.id, ast.Constant(None)), task, source)
    if isinstance(table, ast.Dict):
        return list(entries(table))
    names = table.generators[0].iter if isinstance(table, ast.DictComp) else table
    if isinstance(names, ast.Tuple):
        return list(ast.literal_eval(names))
    if isinstance(names, ast.Attribute) and isinstance(names.value, ast.Name):  # NORMS of another file
        for node in ast.walk(source):
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                if names.value.id == (alias.asname or alias.name):
                    module = f"{node.module}.{alias.name}".removeprefix("kzoo.").replace(".", "/")
                    return list(entries(of_package(module)[names.attr]))
    return None


@functools.cache
def hyperparameters(arch: str) -> tuple[str, ...]:
    """Names of the keywords of a network's function in `kzoo/models/<arch>.py`."""
    for node in ast.parse((PACKAGE / f"models/{arch}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == arch:
            return tuple(argument.arg for argument in node.args.kwonlyargs)
    raise UserError(f"kzoo/models/{arch}.py has no function {arch}")


# Other tables


def encoders() -> dict[str, bool]:
    """{encoder: whether there are ImageNet weights}."""
    table = entries(of_package("nn/encoders")["ENCODERS"])
    return {name: len(call.args) > 3 or "imagenet" in keywords(call) for name, call in table.items()}


def decoders() -> tuple[str, ...]:
    """From heat maps to joints, the network's own first."""
    functions = of_package("nn/decoding")["DECODERS"].generators[0].iter
    return (ast.literal_eval(of_package("nn/decoding")["OWN"]), *(function.id for function in functions.elts))


def names_in(module: str, table: str) -> tuple[str, ...]:
    """The keys of a dictionary at the top level of `kzoo/<module>.py`."""
    return tuple(entries(of_package(module)[table]))


@functools.cache
def configurations(dataset: str) -> tuple[str, ...]:
    """Of one of `registry.NAMES`, the first is the default one; () where it has none."""
    path = DATASETS / dataset / f"{dataset}_dataset_builder.py"
    if not path.is_file():
        return ()  # TFDS's own
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        target = getattr(node, "target", None) or next(iter(getattr(node, "targets", ())), None)
        if isinstance(node, ast.Assign | ast.AnnAssign) and getattr(target, "id", "") == "BUILDER_CONFIGS":
            return tuple(map(_name_of, node.value.elts))
    return ()


def _name_of(config: ast.expr) -> str:
    """Of `Config(name="frames")`, or of `poses.FRAMES_CONFIG` that is one."""
    if isinstance(config, ast.Attribute):
        config = assigned(DATASETS / f"{config.value.id}.py")[config.attr]
    return ast.literal_eval(keywords(config)["name"])
