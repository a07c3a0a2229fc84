"""One run's scores as JSON and Markdown."""

import math
import shlex

from kzoo.evaluation import conditions, tables
from kzoo.evaluation.tables import markdown_table

COMMA_LISTS = ("milestones", "border")  # flags that take one list; other lists are flags that may be repeated
OWN_TRUNK = "its own"  # of networks that take no --encoder


def command(flag: dict, program: str = "train.py") -> str:
    """The command line that gives these flags."""
    parts = [f"python {program}"]
    for name, value in flag.items():
        if name in COMMA_LISTS and value:
            value = [",".join(map(str, value))]
        for item in value if isinstance(value, list) else [value]:
            if item is None or name in ("resume", "out"):
                continue
            if isinstance(item, bool):
                parts.append(f"--{name}" if item else f"--no{name}")
            else:
                parts.append(f"--{name}={shlex.quote(str(item))}")
    return " ".join(parts)


def decoder_table(decoders: dict[str, dict]) -> str:
    """Scores of one pass by decoder, the one that counts first."""
    columns = [
        name for name in next(iter(decoders.values())) if name.startswith(("mpjpe", "pck@")) or name in ("AP", "AR")
    ]
    return markdown_table(
        ["decoder", *columns], [[name, *(scores[column] for column in columns)] for name, scores in decoders.items()]
    )


def gain_table(gains: dict[str, dict]) -> str:
    """What each family of test-time augmentation brings to the mIoU, in all and for each forward pass more than one."""
    plain, rows = gains["none"]["miou"], []
    for name, found in gains.items():
        gain, more = 100 * (found["miou"] - plain), found["passes"] - 1
        rows.append(
            [
                name,
                found["passes"],
                found["miou"],
                f"{gain:+.2f}" if more else "",
                f"{gain / more:+.3f}" if more else "",
            ]
        )
    return markdown_table(["average with", "forward passes", "mIoU", "gain (points)", "gain per extra pass"], rows)


def baseline_table(scores: dict[str, float], baselines: dict[str, dict], how: str) -> str:
    """Errors of a network beside those of what needs no training, and their ratio to retrieval's."""
    rows = [["this network", scores], *baselines.items()]
    errors = [name for name in baselines["retrieval"] if name.endswith(("_m", "_deg"))]
    shares = [name for name in baselines["retrieval"] if name.startswith("within")]
    medians = [name for name in errors if "median" in name]
    table = [
        [name, *(row[e] for e in (*errors, *shares)), *(_ratio(row, baselines["retrieval"], e) for e in medians)]
        for name, row in rows
    ]
    return (
        markdown_table(["", *errors, *shares, *(f"{name} ÷ retrieval's" for name in medians)], table)
        + f"\nRetrieval: {how}.\n"
    )


def score_values(scores: dict, units) -> str:
    """Scores with their units, where one has any."""
    rows = [[name, value, unit_of(name, units)] for name, value in scores.items()]
    if not any(unit for _, _, unit in rows):
        return markdown_table(["score", "value"], [row[:2] for row in rows])
    return markdown_table(["score", "value", "unit"], rows)


def score_table(rows: dict[str, dict]) -> str:
    """Scores by name, those of the first row as columns."""
    columns = list(next(iter(rows.values())))
    return markdown_table(
        ["", *columns], [[name, *(scores.get(column) for column in columns)] for name, scores in rows.items()]
    )


def export_table(rows: dict[str, dict], failed: dict[str, str]) -> str:
    """Exports, each in its own runtime, beside the network's own answers."""
    if not rows:
        return "".join(f"- no {form}: {reason}\n" for form, reason in failed.items())
    one = next(iter(rows.values()))
    columns = ["", "file", "MiB", "ms per image", "largest difference to predict", one["score"], "change"]
    table = [["predict", "", None, one["predict_ms"], "", one["predict"], ""]]
    for form, row in rows.items():
        differences = ", ".join(f"{name} {value:.1e}" for name, value in row["difference"].items())
        table.append(
            [
                form,
                row["file"],
                row["mib"],
                row["ms"],
                differences,
                row["value"],
                f"{row['value'] - row['predict']:+.1e}",
            ]
        )
    inside = f"; decoder inside: {one['decoder']}" if one["decoder"] else ""
    said = (
        f"On the first {one['examples']} examples{inside}. Milliseconds: median at batch 1, threads: {one['threads']}. "
        "Of whole numbers the difference is the share of them that differ. What goes in and comes out is told in "
        "exports.json.\n"
    )
    return "\n".join(
        [markdown_table(columns, table), said, *(f"- no {form}: {reason}\n" for form, reason in failed.items())]
    )


def _ratio(scores: dict, others: dict, name: str) -> float:
    """NaN where the other is 0: on the training split retrieval finds each picture itself."""
    return scores[name] / others[name] if others[name] else math.nan


def unit_of(score: str, units) -> str:
    """Of a score: that of the first of `units` (of a task's evaluator) that its name begins or ends with; shares, in
    0..1, have none."""
    return next((unit for name, unit in units.items() if score.startswith(name) or score.endswith(name)), "")


def scores_line(scores: dict, units) -> str:
    """`mpjpe 10.7 px of a 256-px crop, auc 0.61`."""
    told = []
    for name, value in scores.items():
        told.append(f"{name} {tables.number(value) or 'not defined'} {unit_of(name, units)}".strip())
    return ", ".join(told)


def text(result: dict) -> str:
    """`report.md` of one evaluation.

    Args:
        result: content of `report.json`.
    """
    from kzoo.tasks import TASKS  # loads Keras; reports of many runs read this file without

    flag = result["flags"]
    units = TASKS[flag["task"]].evaluator.units
    how = conditions.text(conditions.of_report(result, conditions.ANSWERS))
    lines = [
        f"# {flag['task']}/{flag['arch']} on {result['dataset']}, split {tables.text(result['split'])}\n",
        f"{result['examples']} examples, encoder {flag['encoder'] or OWN_TRUNK}, {result['parameters']:,} parameters, "
        f"trained with seed {flag['seed']}; {how}.\n",
        score_values(result["scores"], units),
    ]
    if "baselines" in result:
        if "retrieval" in result:
            table = baseline_table(result["scores"], result["baselines"], result["retrieval"])
        else:
            table = score_table({"this network": result["scores"], **result["baselines"]})
        lines.append("## Baselines\n\n" + table)
    if "gains" in result:
        lines.append("## Test-time augmentation\n\n" + gain_table(result["gains"]))
    if "decoders" in result:
        lines.append("## Decoders\n\n" + decoder_table(result["decoders"]))
    if result.get("export") or result.get("export_failed"):
        lines.append("## Exports\n\n" + export_table(result["export"], result["export_failed"]))
    for title, table in result["tables"].items():
        lines.append(
            f"## {tables.text(title)}\n\n"
            + markdown_table(["", "value"], [[name, value] for name, value in table.items()])
        )
    lines += [f"- {tables.text(note)}" for note in result["notes"]]
    if "stopped" in result:
        lines.append(f"- training: {tables.text(result['stopped'])}")
    if "seconds" in result:
        lines.append(f"- {result['seconds']} seconds for reading, answers, scores and baselines of this split")
    lines.append(f"\nTrained by {tables.code(command(flag))}\n")
    return "\n".join(lines)
