"""Reports: one run's scores as JSON and Markdown; many runs as answers with their uncertainty.

python -m kzoo.report STUDY [--nocosts]                        # of python -m kzoo.sweep: its folder, or its name in runs/sweeps
python -m kzoo.report RUN RUN … [--out=FOLDER] [--nocosts]     # what differs between their flags is what is compared
"""

import math
import pathlib
import shlex

from absl import flags

from kzoo import UserError, cli, files
from kzoo.tables import markdown_table

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
    columns = [name for name in next(iter(decoders.values())) if name.startswith(("mpjpe", "pck@")) or name in ("AP", "AR")]
    return markdown_table(["decoder", *columns], [[name, *(scores[column] for column in columns)] for name, scores in decoders.items()])


def gain_table(gains: dict[str, dict]) -> str:
    """What each family of test-time augmentation brings to the mIoU, in all and for each forward pass more than one."""
    plain, rows = gains["none"]["miou"], []
    for name, found in gains.items():
        gain, more = 100 * (found["miou"] - plain), found["passes"] - 1
        rows.append([name, found["passes"], found["miou"], f"{gain:+.2f}" if more else "", f"{gain / more:+.3f}" if more else ""])
    return markdown_table(["average with", "forward passes", "mIoU", "gain (points)", "gain per extra pass"], rows)


def baseline_table(scores: dict[str, float], baselines: dict[str, dict], how: str) -> str:
    """Errors of a network beside those of what needs no training, and their ratio to retrieval's."""
    rows = [["this network", scores], *baselines.items()]
    errors = [name for name in baselines["retrieval"] if name.endswith(("_m", "_deg"))]
    shares = [name for name in baselines["retrieval"] if name.startswith("within")]
    medians = [name for name in errors if "median" in name]
    table = [
        [name, *(row[e] for e in (*errors, *shares)), *(_ratio(row, baselines["retrieval"], e) for e in medians)] for name, row in rows
    ]
    return markdown_table(["", *errors, *shares, *(f"{name} ÷ retrieval's" for name in medians)], table) + f"\nRetrieval: {how}.\n"


def score_table(rows: dict[str, dict]) -> str:
    """Scores by name, those of the first row as columns."""
    columns = list(next(iter(rows.values())))
    return markdown_table(["", *columns], [[name, *(scores.get(column) for column in columns)] for name, scores in rows.items()])


def export_table(rows: dict[str, dict], failed: dict[str, str]) -> str:
    """Exports, each in its own runtime, beside the network's own answers."""
    if not rows:
        return "".join(f"- no {form}: {reason}\n" for form, reason in failed.items())
    one = next(iter(rows.values()))
    columns = ["", "file", "MiB", "ms per image", "largest difference to predict", one["score"], "change"]
    table = [["predict", "", None, one["predict_ms"], "", one["predict"], ""]]
    for form, row in rows.items():
        differences = ", ".join(f"{name} {value:.1e}" for name, value in row["difference"].items())
        table.append([form, row["file"], row["mib"], row["ms"], differences, row["value"], f"{row['value'] - row['predict']:+.1e}"])
    inside = f"; decoder inside: {one['decoder']}" if one["decoder"] else ""
    said = (
        f"On the first {one['examples']} examples{inside}. Milliseconds: median at batch 1, threads: {one['threads']}. Of whole numbers "
        "the difference is the share of them that differ. What goes in and comes out is told in exports.json.\n"
    )
    return "\n".join([markdown_table(columns, table), said, *(f"- no {form}: {reason}\n" for form, reason in failed.items())])


def _ratio(scores: dict, others: dict, name: str) -> float:
    """NaN where the other is 0: on the training split retrieval finds each picture itself."""
    return scores[name] / others[name] if others[name] else math.nan


def write(folder, result: dict):
    """`report.json` and `report.md` of one evaluation."""
    folder = pathlib.Path(folder)
    flag = result["flags"]
    how = {
        "boxes": "boxes: ",
        "crop": "crop (px): ",
        "tile": "in tiles of ",
        "overlap": "overlapping by ",
        "tta": "test-time augmentation: ",
        "decoder": "decoder: ",
    }
    how = ", ".join(f"{text}{result[key]}" for key, text in how.items() if key in result)
    lines = [
        f"# {flag['task']}/{flag['arch']} on {result['dataset']}, split {result['split']}\n",
        f"{result['examples']} examples, encoder {flag['encoder'] or OWN_TRUNK}, {result['parameters']:,} parameters, "
        f"trained with seed {flag['seed']}; "
        f"{how}.\n",
        markdown_table(["score", "value"], [[name, value] for name, value in result["scores"].items()]),
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
        lines.append(f"## {title}\n\n" + markdown_table(["", "value"], [[name, value] for name, value in table.items()]))
    lines += [f"- {note}" for note in result["notes"]]
    if "stopped" in result:
        lines.append(f"- training: {result['stopped']}")
    lines.append(f"\nTrained by `{command(flag)}`\n")
    files.write_json(folder / "report.json", result)
    files.write_text(folder / "report.md", "\n".join(lines))


def row(folder) -> dict:
    """One run as a flat row: what it was, its best epoch, and the scores of `report.json` where there is one."""
    from kzoo.callbacks import read_history

    folder = pathlib.Path(folder)
    run = files.read_json(folder / "run.json")
    flag, history = run["flags"], read_history(folder)
    result = {
        "run": folder.name,
        "arch": flag["arch"],
        "dataset": flag["dataset"],
        "encoder": flag["encoder"] or OWN_TRUNK,
        "weights": flag["encoder_weights"] if flag["encoder_weights"] in (None, "none", "imagenet") else "file",
        "size": flag["size"],
        "epochs": len(history),
        "seed": flag["seed"],
        "parameters": run["parameters"],
    }
    scored = [h for h in history if not math.isnan(h.get(run["score"], math.nan))]
    if scored:
        better = min if run["mode"] == "min" else max
        result[f"best {run['score']}"] = better(h[run["score"]] for h in scored)
    if history:
        result["minutes"] = round(sum(h.get("seconds", math.nan) for h in history) / 60, 1)
    if (folder / "report.json").exists():
        report = files.read_json(folder / "report.json")
        result |= {key: report[key] for key in ("split", "boxes", "crop", "tta", "decoder") if key in report} | report["scores"]
        for name, scores in report.get("baselines", {}).items():
            main = next(iter(scores))
            result[f"{main} of {name}"] = scores[main]
            if "retrieval" in report:
                result[f"{main} ÷ {name}'s"] = _ratio(report["scores"], scores, main)
    return result


def compare(folders: dict[str, pathlib.Path]) -> tuple[str, list[dict]]:
    """Runs side by side, by name: Markdown table and the same rows as dictionaries."""
    rows = [{**row(folder), "run": name} for name, folder in folders.items()]
    columns = list(dict.fromkeys(key for r in rows for key in r))
    return markdown_table(columns, [[r.get(column, "") for column in columns] for r in rows]), rows


def study_of(argument: str) -> pathlib.Path | None:
    """The folder of the study that an argument names: its path, or its name in runs/sweeps; None for run folders."""
    places = [pathlib.Path(argument), pathlib.Path("runs/sweeps") / argument]
    return next((place for place in places if (place / "study.json").exists()), None)


def main(arguments: list[str]):
    from kzoo.sweeps import study_blocks, study_page, study_rows

    if not arguments:
        raise UserError("name a study, or the run folders to compare: python -m kzoo.report STUDY, or RUN RUN …")
    study = study_of(arguments[0])
    if study and len(arguments) > 1:
        raise UserError(f"{arguments[0]} is a study: one study or several run folders make a report, got {' '.join(arguments)}")
    if study:
        out, runs = pathlib.Path(flags.FLAGS.out or study), study_rows.of_study(study, flags.FLAGS.storage)
    else:
        out, runs = pathlib.Path(flags.FLAGS.out or "runs/comparison"), study_rows.of_folders(arguments)
    if (out / "run.json").exists():
        raise UserError(f"--out={out} is a run folder, whose own report would be lost; give another folder")
    if not study:
        compare_curves(runs, out)
    result = study_page.write(runs, out, with_costs=flags.FLAGS.costs)
    print(study_blocks.markdown(study_blocks.blocks(result)))
    print(f"wrote {out}/report.html, .md, .json and .csv" + f", {out}/comparison.md, .json and .png" * (not study))


def compare_curves(runs, out: pathlib.Path):
    """comparison.md and .json, all scores of each of `study_rows.Runs`, and comparison.png, the curves of both sets."""
    from kzoo import figures
    from kzoo.callbacks import read_history

    table, rows = compare({run.name: run.folder for run in runs.rows})
    files.write_text(out / "comparison.md", table)
    files.write_json(out / "comparison.json", rows)
    histories = {run.name: read_history(run.folder) for run in runs.rows}
    if any(f"val_{runs.metric}" in rows[0] for rows in histories.values() if rows):  # clustering has curves of its own
        figures.save(figures.curves(histories, runs.metric), out / "comparison.png")
    print(table)


def define_flags():
    """Not on import: other programs have flags of these names."""
    flags.DEFINE_string("out", None, "folder to write to (default: the study's, or runs/comparison)")
    flags.DEFINE_string("storage", None, "of the study, as of kzoo.sweep (default: journal.log beside its folder)")
    flags.DEFINE_boolean("costs", True, "measure each network's FLOPs, time and memory once, and keep them in costs.json")


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
