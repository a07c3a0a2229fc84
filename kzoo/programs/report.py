"""Reports: one run's scores as JSON and Markdown; many runs as answers with their uncertainty.

python -m kzoo.report STUDY [--nocosts]                        # of python -m kzoo.sweep: its folder, or its name in runs/sweeps
python -m kzoo.report RUN RUN … [--out=FOLDER] [--nocosts]     # what differs between their flags is what is compared
"""

import math
import pathlib

from absl import flags

from kzoo import UserError, cli, files
from kzoo.evaluation.report import OWN_TRUNK, _ratio
from kzoo.evaluation.tables import markdown_table


def row(folder) -> dict:
    """One run as a flat row: what it was, its best epoch, and the scores of `report.json` where there is one."""
    from kzoo.training.callbacks import read_history

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
        result |= {key: report[key] for key in ("split", "boxes", "crop", "tta", "decoder") if key in report} | report[
            "scores"
        ]
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
    from kzoo.sweep import study_blocks, study_page, study_rows

    if not arguments:
        raise UserError("name a study, or the run folders to compare: python -m kzoo.report STUDY, or RUN RUN …")
    study = study_of(arguments[0])
    if study and len(arguments) > 1:
        raise UserError(
            f"{arguments[0]} is a study: one study or several run folders make a report, got {' '.join(arguments)}"
        )
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
    from kzoo.figures import base as figures
    from kzoo.training.callbacks import read_history

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
    flags.DEFINE_boolean(
        "costs", True, "measure each network's FLOPs, time and memory once, and keep them in costs.json"
    )


if __name__ == "__main__":
    define_flags()
    cli.run(main, positional=True)
