"""Run folders side by side, all scores of each, and what `kzoo.report` writes of a study or of runs."""

import dataclasses
import math
import pathlib

from kzoo import UserError, files
from kzoo.evaluation import conditions, report, tables
from kzoo.figures import base as figures
from kzoo.runs import Run
from kzoo.sweep import run_scores, studies, study_blocks, study_page, study_rows

COMPARISON = "runs/comparison"  # where the report of runs goes by default


@dataclasses.dataclass(frozen=True)
class Written:
    """A report: folder and names of its files; text: the report in Markdown; analysis: see `study_report.analyse`."""

    folder: pathlib.Path
    names: tuple[str, ...]
    text: str
    analysis: dict


def row(run: Run, condition: str | None = None) -> dict:
    """One run as a flat row: what it was, its best epoch, and its scores where it was scored.

    Args:
        condition: the report whose scores are told, see `Run.reports`; None: the training's own.
    """
    flags = run.flags
    history = run.history
    result = {
        "run": run.name,
        "arch": run.arch,
        "dataset": flags["dataset"],
        "encoder": flags["encoder"] or report.OWN_TRUNK,
        "weights": flags["encoder_weights"] if flags["encoder_weights"] in (None, "none", "imagenet") else "file",
        "size": flags["size"],
        "epochs": len(history),
        "seed": flags["seed"],
        "parameters": run.config.parameters,
    }
    score = run.config.score
    _, best = run_scores.best_of(run_scores.curve_of(history, score), run.config.mode == "max")
    if best is not None:
        result[f"best {score}"] = best
    minutes = run_scores.minutes_of(history)
    if minutes is not None:
        result["minutes"] = round(minutes, 1)
    scored = study_rows.reports_of(run).get(condition) if condition else run.report
    return {**result, **scores_of(scored)} if scored else result


def scores_of(scored: dict) -> dict:
    """Conditions, scores and baselines of the content of `report.json`."""
    result = conditions.of_report(scored, conditions.EXAMPLES, conditions.ANSWERS)
    result.pop("examples", None)  # the split tells how many
    result |= scored["scores"]
    for name, others in scored.get("baselines", {}).items():
        main = next(iter(others))
        result[f"{main} of {name}"] = others[main]
        if "retrieval" in scored:  # 0 on the training split, where retrieval finds each picture itself
            own = scored["scores"].get(main)
            result[f"{main} ÷ {name}'s"] = own / others[main] if own is not None and others[main] else math.nan
    return result


def side_by_side(opened: dict[str, Run], condition: str | None = None) -> tuple[str, list[dict]]:
    """Runs by name: Markdown table, and the same rows as dictionaries."""
    rows = [{**row(run, condition), "run": name} for name, run in opened.items()]
    columns = list(dict.fromkeys(key for one in rows for key in one))
    cells = [[one.get(column, "") for column in columns] for one in rows]
    table = tables.markdown_table(columns, cells)
    return table + (f"\n{run_scores.MINUTES}\n" if "minutes" in columns else ""), rows


def write(runs: study_rows.Runs, out: pathlib.Path) -> str:
    """comparison.md and .json, all scores of each run, and comparison.png, the curves of both sets; returns the
    table."""
    opened = {one.name: Run.open(one.folder) for one in runs.rows}
    table, rows = side_by_side(opened, runs.condition)
    files.write_text(out / "comparison.md", table)
    files.write_json(out / "comparison.json", rows)
    histories = {name: run.history for name, run in opened.items()}
    firsts = [history[0] for history in histories.values() if history]
    if any(f"val_{runs.metric}" in first for first in firsts):  # clustering has curves of its own
        figures.save(figures.curves(histories, runs.metric), out / "comparison.png")
    return table


def write_report(
    names, out=None, *, storage: str | None = None, with_costs: bool = True, condition: str | None = None
) -> Written:
    """The report of a study, or of run folders.

    Args:
        names: one study, by its folder or its name in runs/sweeps, or run folders; out: folder to write to (default:
        the study's, or runs/comparison); storage: of the study, see `study_rows.of_study`; with_costs: measure what the
        networks cost, those that are not known yet; condition: whose reports are ranked, see `study_rows.shared`.
    Raises:
        UserError: names of nothing, or of a study beside others; a folder that would lose its own report.
    """
    if not names:
        raise UserError("name a study, or the run folders to compare: python -m kzoo.report STUDY, or RUN RUN …")
    study = studies.find(names[0])
    if study and len(names) > 1:
        raise UserError(f"{names[0]} is a study: one study or several run folders make a report, got {' '.join(names)}")
    folder = pathlib.Path(out or study or COMPARISON)
    files.check_writable(folder)
    runs = study_rows.of_study(study, storage, condition) if study else study_rows.of_folders(names, condition)
    if Run.exists(folder):
        raise UserError(f"--out={folder} is a run folder, whose own report would be lost; give another folder")
    text = "" if study else write(runs, folder) + "\n"
    analysis = study_page.write(runs, folder, with_costs=with_costs)
    text += study_blocks.markdown(study_blocks.blocks(analysis))
    names = ("report.html, .md, .json and .csv", *(() if study else ("comparison.md, .json and .png",)))
    return Written(folder, names, text, analysis)
