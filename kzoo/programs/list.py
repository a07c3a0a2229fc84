"""What there is: tables of tasks, architectures, encoders and data sets.

python -m kzoo.list
python -m kzoo.list archs --task=seg --parameters --format=markdown

The tables are read from the package's source, or from parts of it that import no framework: none has to start.
--parameters builds the networks, which takes seconds each.
"""

import ast
import json
import pathlib
import textwrap

from absl import flags

from kzoo import UserError, cli
from kzoo.datasets import registry
from kzoo.evaluation import model_card, tables

PACKAGE = pathlib.Path(__file__).parents[1]
WIDTH = 120
GAP = "  "
FROM_TFDS = "TFDS's own, downloaded on first use"


def assigned(module: str) -> dict[str, ast.expr]:
    """{name: expression} of the assignments at the top level of `kzoo/<module>.py`."""
    found = {}
    for node in ast.parse((PACKAGE / f"{module}.py").read_text()).body:
        target = (
            node.target
            if isinstance(node, ast.AnnAssign)
            else node.targets[0]
            if isinstance(node, ast.Assign)
            else None
        )
        if isinstance(target, ast.Name) and node.value:
            found[target.id] = node.value
    return found


def entries(table: ast.expr) -> dict[str, ast.expr]:
    """{key: expression} of a dictionary that is written out."""
    return {key.value: value for key, value in zip(table.keys, table.values, strict=True)}


def keywords(call: ast.expr) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords}


def task_rows() -> dict[str, dict[str, ast.expr]]:
    """{task: keywords of its `Task(…)`}, see `kzoo/tasks/<task>.py`."""
    table = entries(assigned("tasks/__init__")["TASKS"])
    return {task: keywords(assigned(f"tasks/{task}")[value.id]) for task, value in table.items()}


def recipes(task: str) -> list[tuple[str, str]]:
    """(data set or "", architecture or "") of a task's recipes, in the table's order."""
    return [ast.literal_eval(key) for key in assigned(f"tasks/{task}")["RECIPES"].keys]


def built_in(task: str, arch: str = "") -> str:
    """The data set that train.py takes without --dataset: the first with a recipe for this arch, else the task's
    first."""
    rows = [key for key in recipes(task) if key[0]]
    return next((dataset for dataset, name in rows if arch and name == arch), rows[0][0])


def tasks() -> list[dict]:
    rows = []
    for task, row in task_rows().items():
        score, better = ast.literal_eval(row["score"])
        kept = f"{'smallest' if better == 'min' else 'largest'} {score}"
        if "learning" in row:  # not by labels
            kept = "the last"
        rows.append(
            {"task": task, "archs": len(entries(row["archs"])), "epoch kept": kept, "built-in data": built_in(task)}
        )
    return rows


def archs(task: str | None = None, parameters: bool = False) -> list[dict]:
    rows = []
    for name, row in task_rows().items():
        for arch in entries(row["archs"]) if task in (None, name) else ():
            weighed = {"parameters": f"{parameters_of(name, arch):,}"} if parameters else {}
            rows.append({"task": name, "arch": arch, **weighed, "what": model_card.paper(arch)})
    return rows


def encoders() -> list[dict]:
    rows = []
    for name, call in entries(assigned("nn/encoders")["ENCODERS"]).items():
        knows_imagenet = len(call.args) > 3 or "imagenet" in keywords(call)
        rows.append({"encoder": name, "encoder_weights": f"{'imagenet, ' * knows_imagenet}none, or a file"})
    return rows


def datasets() -> list[dict]:
    rows, folder = [], pathlib.Path(registry.__file__).parent
    every = {task: recipes(task) for task in task_rows()}
    for name in registry.NAMES:
        readme = folder / name / "README.md"
        known = {task: [key for key, _ in keys if key.partition("/")[0] == name] for task, keys in every.items()}
        what = first_sentence(readme.read_text()) if readme.exists() else FROM_TFDS
        for configuration in dict.fromkeys(key for keys in known.values() for key in keys):
            fit = ", ".join(task for task, keys in known.items() if configuration in keys)
            needs = "needed" if registry.about(name).source else ""
            rows.append({"dataset": configuration, "tasks": fit, "data_source": needs, "what": what})
            what = f"as {name}, in another form"
    return rows


def first_sentence(markdown: str) -> str:
    """Of the first paragraph that is no heading."""
    paragraph = next(part for part in markdown.split("\n\n") if part.strip() and not part.startswith("#"))
    return " ".join(paragraph.split()).partition(". ")[0].rstrip(".:")


def parameters_of(task: str, arch: str) -> int:
    """Parameters of a network as the recipe of its built-in data set makes it, encoder and size included."""
    from kzoo.tasks import TASKS
    from kzoo.training import networks

    row = cli.pick(TASKS, task, "task")
    recipe = row.recipe(built_in(task, arch), arch)
    function = cli.pick(row.archs, arch, "arch")
    unknown = {name for name in networks.ENCODER_FLAGS if name not in networks.hyperparameters_of(function)}
    options = networks.network_options(
        {"set": None, **{name: value for name, value in recipe.items() if name not in unknown}}
    )
    shape = (*row.example.frames_for(arch), *cli.shape_of(recipe["size"]))
    return networks.build(row, arch, shape, row.example.units, **options).count_params()


def text_table(rows: list[dict]) -> str:
    """Aligned columns, the last one wrapped to WIDTH."""
    header = list(rows[0])
    cells = [header, *([str(row[name]) for name in header] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    indent = sum(widths[:-1]) + len(GAP) * (len(header) - 1)
    lines = []
    for line in cells:
        start = "".join(cell.ljust(width) + GAP for cell, width in zip(line[:-1], widths[:-1], strict=True))
        wrapped = textwrap.wrap(line[-1], max(WIDTH - indent, 20)) or [""]
        lines += [(start + wrapped[0]).rstrip(), *(" " * indent + more for more in wrapped[1:])]
    return "\n".join(lines) + "\n"


def markdown(rows: list[dict]) -> str:
    return tables.markdown_table(list(rows[0]), [list(row.values()) for row in rows])


TABLES = {"tasks": tasks, "archs": archs, "encoders": encoders, "datasets": datasets}


def main(arguments: list[str]):
    flag = flags.FLAGS
    wanted = arguments or list(TABLES)
    for name in wanted:
        if name not in TABLES:
            raise UserError(f"no table {name!r}; allowed: {', '.join(TABLES)}")
    if flag.task:
        cli.pick(task_rows(), flag.task, "task")
    found = {name: archs(flag.task, flag.parameters) if name == "archs" else TABLES[name]() for name in wanted}
    if flag.format == "json":
        print(json.dumps(found, indent=1))
        return
    for name, rows in found.items():
        print(f"## {name}\n\n{markdown(rows)}" if flag.format == "markdown" else f"{name.upper()}\n{text_table(rows)}")


if __name__ == "__main__":
    flags.DEFINE_enum("format", "text", ["text", "markdown", "json"], "of the tables")
    flags.DEFINE_string("task", None, "only architectures of this task")
    flags.DEFINE_boolean(
        "parameters", False, "count them, of each network at the recipe of its built-in data set: takes minutes for all"
    )
    cli.run(main, positional=True)
