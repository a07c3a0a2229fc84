"""The table of a study of `kzoo.sweep`: a row for each trial, mean and standard deviation over seeds."""

import pathlib
import statistics

from kzoo import UserError, files, runs
from kzoo.evaluation import tables
from kzoo.sweep import run_scores

TABLE = "sweep.json"


def direction_of(study) -> str:
    return study.direction.name.lower().removesuffix("imize")


def table(place, study) -> dict:
    """What a study found so far.

    Args:
        place: `studies.Place`; study: `optuna.Study`.
    Returns:
        {"study", "score", "direction", "best": number of a trial or None, "trials": a row each, "over_seeds": means and
        deviations}.
    """
    score = study.user_attrs["score"]
    direction = direction_of(study)
    trials = study.get_trials(deepcopy=False)
    rows = [trial_row(trial, place, score) for trial in trials]
    complete = [row for row in rows if row["state"] == "complete"]
    better = max if direction == "max" else min
    best = better(complete, key=lambda row: row[score], default={"trial": None})
    return {
        "study": place.name,
        "score": score,
        "direction": direction,
        "best": best["trial"],
        "trials": rows,
        "over_seeds": over_seeds(trials, score),
    }


def parameters_of(trial) -> dict:
    """Of a trial that waits, those that it will have."""
    return trial.params or trial.system_attrs.get("fixed_params", {})


def trial_row(trial, place, score: str) -> dict:
    folder = place.of_trial(trial)
    minutes = run_scores.minutes_of(runs.read_history(folder))
    return {
        "trial": trial.number,
        **parameters_of(trial),
        "state": trial.state.name.lower(),
        score: trial.value if trial.state.is_finished() else None,
        "minutes": None if minutes is None else round(minutes, 2),
        "folder": str(folder) if "folder" in trial.user_attrs else None,
        "error": trial.user_attrs.get("error"),
    }


def over_seeds(trials, score: str) -> list[dict]:
    """Mean and deviation of trials that differ in nothing but the seed, of those that are complete."""
    groups: dict = {}
    for trial in trials:
        parameters = parameters_of(trial)
        if "seed" in parameters and trial.state.name == "COMPLETE":
            others = {name: value for name, value in parameters.items() if name != "seed"}
            groups.setdefault(tuple(sorted(others.items())), (others, []))[1].append(trial.value)
    rows = []
    for others, values in groups.values():
        deviation = statistics.stdev(values) if len(values) > 1 else None
        rows.append({**others, "seeds": len(values), score: statistics.mean(values), "sd": deviation})
    return rows


def columns_of(rows: list[dict]) -> list[str]:
    """In the order of the fullest row: trials that wait may have no parameters yet. An empty column of errors is left
    out."""
    names = max(rows, key=len, default=())
    return [name for name in names if name != "error" or any(row[name] for row in rows)]


def markdown(result: dict) -> str:
    """The table for people."""
    columns = columns_of(result["trials"])
    cells = [list(map(row.get, columns)) for row in result["trials"]]
    text = f"# {tables.text(result['study'])}\n\n{tables.markdown_table(columns, cells)}"
    text += f"\n{run_scores.MINUTES}\n" if "minutes" in columns else ""
    if result["best"] is not None:
        text += f"\nBest: trial {result['best']} ({result['score']}, {result['direction']}).\n"
    if result["over_seeds"]:
        score = result["score"]
        rows = []
        names = [name for name in result["over_seeds"][0] if name not in (score, "sd")]
        for row in result["over_seeds"]:
            spread = "" if row["sd"] is None else f" ± {row['sd']:.2g}"
            rows.append([*(row[name] for name in names), f"{tables.number(row[score])}{spread}"])
        text += f"\n## Mean ± standard deviation (n - 1) over seeds\n\n{tables.markdown_table([*names, score], rows)}"
    return text


def written(folder) -> dict | None:
    """`table` as it was last written to a study's folder."""
    path = pathlib.Path(folder) / TABLE
    if not path.exists():
        return None
    result = files.read_json(path)
    if not _is_table(result):
        raise UserError(f"{path} is no table of a sweep; python -m kzoo.sweep --study=… --show writes it anew")
    return result


def _is_table(result) -> bool:
    """Whether what others read of `table` is there."""
    if not isinstance(result, dict) or not isinstance(result.get("trials"), list):
        return False
    if not isinstance(result.get("study"), str) or not isinstance(result.get("score"), str):
        return False
    texts = {"state": str, "folder": str | None, "error": str | None}
    return result.get("direction") in ("min", "max") and all(
        isinstance(row, dict)
        and {"trial", *texts} <= set(row)
        and all(isinstance(row[name], texts[name]) for name in texts)
        for row in result["trials"]
    )


def write(place, study) -> dict:
    """`sweep.md`, `sweep.json` and `sweep.csv` in the study's folder; returns `table`."""
    result = table(place, study)
    files.write_json(place.folder / TABLE, result)
    files.write_text(place.folder / "sweep.md", markdown(result))
    files.write_text(place.folder / "sweep.csv", tables.csv_text(columns_of(result["trials"]), result["trials"]))
    return result
