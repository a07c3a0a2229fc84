"""A run's model card: what it is, what it was trained on, how well it does under which conditions, and where it ends.

Reference: Mitchell et al., Model Cards for Model Reporting, FAT* 2019, fig. 1.
"""

import math
import pathlib

from kzoo.datasets import registry
from kzoo.datasets.about import About
from kzoo.evaluation import conditions, report, tables
from kzoo.runs import Run, report_files

MODELS = pathlib.Path(__file__).parents[1] / "models"
IMAGENET = (
    "The encoder started from Keras's ImageNet weights; access to ImageNet is granted for non-commercial research and "
    "education."
)
UNKNOWN = About(licence="not known to kzoo")  # of a data set that is no longer in the registry
SHOWN = 4  # scores of other conditions
NAMED = 20  # units that are named at most
PRIVATE = ("data_dir", "data_source")  # flags that name folders of one machine


def paper(arch: str) -> str:
    """First line of an architecture's file: what it is and where it was published."""
    with (MODELS / f"{arch}.py").open() as file:
        return file.readline().strip().strip('"').strip()


def said(value) -> bool:
    """False for what a card leaves out: nothing, and what is not a number."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def scores_of(scores: dict, units) -> str:
    """Table of the scores that are numbers, and the names of those that are not defined."""
    table = report.score_values({name: value for name, value in scores.items() if said(value)}, units)
    undefined = [name for name, value in scores.items() if not said(value)]
    return table + (f"\nNot defined on this split: {', '.join(undefined)}.\n" if undefined else "")


def about_data(dataset: str) -> About:
    """What the data set of "people/clips" for instance says of itself."""
    name = dataset.partition("/")[0]
    return registry.about(name) if name in registry.NAMES else UNKNOWN


def limits(run: Run, result: dict) -> list[str]:
    """Sentences on what the scores do not tell."""
    flag, split = run.flags, result["split"]
    data = about_data(flag["dataset"])
    found = [*run.task.answers.limits, *([data.limits] if data.limits else [])]
    if run.task.learning == "clusters":
        if split == flag.get("train_split"):
            found.append(
                "It was scored on the pictures it was trained on, as is usual for clustering; labels took no part in "
                "training."
            )
    elif split.partition("[")[0] == run.val_split.partition("[")[0]:
        found.append(
            f"Its best epoch was chosen on `{split}`, on which it is scored here: on new pictures it may do worse."
        )
    if data.validation_is_test:
        found.append("`val` is the published test split of this data set.")
    return [*found, f"One training with seed {flag['seed']}: how much another seed changes is not known."]


def others_of(run: Run, result: dict, reports: dict[str, dict]) -> str:
    """Table of what the run scored under other conditions; "" where there are none."""
    rows = []
    for name, one in reports.items():
        if name == report_files.condition_of(result, run.flags):
            continue
        stale = one.get("network") and result.get("network") and one["network"] != result["network"]
        how = conditions.text(conditions.of_report(one, conditions.EXAMPLES, conditions.ANSWERS))
        scores = report.scores_line(dict(list(one["scores"].items())[:SHOWN]), run.task.evaluator.units)
        rows.append([name + " (of the network before it was trained on)" * bool(stale), how, scores])
    if not rows:
        return ""
    return "### Under other conditions\n\n" + tables.markdown_table(["report", "conditions", "scores"], rows)


def card(run: Run, result: dict, reports: dict[str, dict] | None = None) -> str:
    """A model card in Markdown.

    Args:
        result: content of `report.json`; reports: others of the run, see `Run.reports`.
    Returns:
        the text of the run folder's README.md.
    """
    flag, config, dataset = run.flags, run.config, run.config.dataset

    # What it is
    encoder = flag.get("encoder") or report.OWN_TRUNK
    if flag.get("encoder"):
        weights = flag.get("encoder_weights") or "none"
        encoder += {"none": ", from scratch", "imagenet": ", from ImageNet"}.get(weights, ", from a weights file")
    frames = "".join(f"{count} frames of " for count in config.frames)
    more = ", …" if len(run.names) > NAMED else ""
    about = {
        "task": flag["task"],
        "architecture": f"`{flag['arch']}`: {paper(flag['arch'])}",
        "encoder": encoder,
        "parameters": f"{config.parameters:,}",
        "input": f"{frames}{flag['size']} px, RGB as uint8, 0 to 255",
        "answers": f"{len(run.names)}: {', '.join(map(str, run.names[:NAMED]))}{more}",
        "precision in training": config.precision,
    }

    # What it was made of
    used = {
        "data set": dataset.name,
        "examples": ", ".join(f"{split} {count:,}" for split, count in dataset.splits.items()),
        "fingerprint": f"`{dataset.fingerprint}`",
        "licence": about_data(flag["dataset"]).licence,
    }
    made = {"started": config.started, "on": config.device, "commit": config.commit}
    made |= {**(config.versions or {}), "stopped": result.get("stopped")}
    kept = {name: value for name, value in flag.items() if name not in PRIVATE}

    # How well it does
    others = others_of(run, result, reports or {})
    known = conditions.of_report(result, conditions.EXAMPLES, conditions.ANSWERS)
    lines = [
        f"# {flag['task']}/{flag['arch']} on {dataset.name}\n",
        _facts(about),
        "## Data\n",
        _facts(used),
        *([f"{IMAGENET}\n"] if flag.get("encoder_weights") == "imagenet" else []),
        "## Scores\n",
        f"{tables.text(conditions.text(known, '; '))}.\n",
        scores_of(result["scores"], run.task.evaluator.units),
        *(f"- {tables.text(note)}" for note in result.get("notes", ())),
        *_compared(result),
        *([f"\n{others}"] if others else []),
        "\n## Limits\n",
        *(f"- {text}" for text in limits(run, result)),
        "\n## Training\n",
        f"```\n{report.command(kept)}\n```\n",
        _facts(made),
        "## Use\n",
        _use(run, result),
    ]
    return "\n".join(lines)


def _facts(facts: dict) -> str:
    return tables.markdown_table(["", ""], [[name, value] for name, value in facts.items() if said(value)])


def _compared(result: dict) -> list[str]:
    """The baselines' first score, a line each."""
    main = next(iter(result["scores"]))
    lines = [
        f"- {tables.text(main)} of {tables.text(name)}: {tables.number(row[main])}"
        for name, row in result.get("baselines", {}).items()
        if said(row.get(main))
    ]
    return ["\nFor comparison:\n", *lines] if lines else []


def _use(run: Run, result: dict) -> str:
    """Lines of Python that answer a picture."""
    folder = f"runs/{run.name}"
    lines = ["import kzoo", "", f'run = kzoo.load("{folder}")']
    if run.reads in (("image",), ("frames",)):
        lines.append('answer = run.predict("me.jpg")  # decoded, in the picture\'s own pixels')
    lines.append("outputs = run.model().predict(inputs)  # {output: array}")
    if "saved_model" in result.get("export", {}):
        lines += ["", "# without kzoo", "import tensorflow as tf", ""]
        lines.append(f'served = tf.saved_model.load("{folder}/saved_model")')
        lines.append('answers = served.signatures["serving_default"](tf.constant(inputs))')
    shape = ", ".join(map(str, ("N", *run.config.frames, *run.shape, 3)))
    about = f"`inputs`: ({shape}) uint8, or what else the network reads: {', '.join(run.reads)}."
    return "\n".join([about, "", "```python", *lines, "```", ""])
