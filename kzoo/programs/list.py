"""What there is: tables of tasks, architectures, encoders and data sets.

python -m kzoo.list
python -m kzoo.list archs --task=seg --parameters --format=markdown

The tables are read from the package's source, or from parts of it that import no framework: none has to start.
--parameters builds the networks, which takes seconds each.
"""

import json
import pathlib
import textwrap

from absl import flags

from kzoo import UserError, cli
from kzoo.cli import frameworks
from kzoo.datasets import registry
from kzoo.evaluation import model_card, tables
from kzoo.training import catalogue

WIDTH = 120
GAP = "  "
FROM_TFDS = "TFDS's own, downloaded on first use"


def tasks() -> list[dict]:
    rows = []
    for name, task in catalogue.tasks().items():
        score, better = task.score
        kept = f"{'smallest' if better == 'min' else 'largest'} {score}"
        if task.learning != "labels":
            kept = "the last"
        row = {"task": name, "archs": len(task.archs), "default": task.default, "epoch kept": kept}
        rows.append({**row, "built-in data": task.dataset_for()})
    return rows


def archs(task: str | None = None, parameters: bool = False) -> list[dict]:
    rows = []
    for name, row in catalogue.tasks().items():
        for arch in row.archs if task in (None, name) else ():
            weighed = {"parameters": f"{parameters_of(name, arch):,}"} if parameters else {}
            rows.append({"task": name, "arch": arch, **weighed, "what": model_card.paper(arch)})
    return rows


def encoders() -> list[dict]:
    rows = []
    for name, knows_imagenet in catalogue.encoders().items():
        rows.append({"encoder": name, "encoder_weights": f"{'imagenet, ' * knows_imagenet}none, or a file"})
    return rows


def datasets() -> list[dict]:
    rows, folder = [], pathlib.Path(registry.__file__).parent
    for name in registry.NAMES:
        readme = folder / name / "README.md"
        known = {
            task: [key for key in row.datasets if key.partition("/")[0] == name]
            for task, row in catalogue.tasks().items()
        }
        what = first_sentence(readme.read_text(encoding="utf-8")) if readme.exists() else FROM_TFDS
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
    frameworks.start()
    from kzoo.tasks import TASKS
    from kzoo.training import networks

    row = cli.pick(TASKS, task, "task")
    recipe = row.recipe(catalogue.tasks()[task].dataset_for(arch), arch)
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
            raise UserError(f"no table {name!r}; allowed: {', '.join(TABLES)}{cli.meant(name, TABLES)}")
    if flag.task is not None:
        cli.check_name(catalogue.tasks(), flag.task, "task")
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
        "parameters",
        False,
        "count them, of each network at the recipe of its built-in data set: takes minutes of one core for all",
    )
    cli.run(main, positional=True)
