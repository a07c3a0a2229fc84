"""The table of a study of `kzoo.sweep`: a row for each trial, mean and standard deviation over seeds."""

import csv
import io
import statistics

from kzoo import files
from kzoo.evaluation import tables
from kzoo.sweep import study_trials


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
    score, rows, groups = study.user_attrs["score"], [], {}
    for trial in study.get_trials(deepcopy=False):
        state, folder = trial.state.name.lower(), place.of_trial(trial)
        parameters = trial.params or trial.system_attrs.get("fixed_params", {})
        seconds = [row["seconds"] for row in study_trials.history(folder) if "seconds" in row]
        rows.append(
            {
                "trial": trial.number,
                **parameters,
                "state": state,
                score: trial.value if trial.state.is_finished() else None,
                "minutes": round(sum(seconds) / 60, 2) if seconds else None,
                "folder": str(folder) if "folder" in trial.user_attrs else None,
                "error": trial.user_attrs.get("error"),
            }
        )
        if "seed" in parameters and state == "complete":
            groups.setdefault(tuple(sorted({**parameters, "seed": ""}.items())), []).append((parameters, trial.value))
    over_seeds = [
        {
            **{name: value for name, value in members[0][0].items() if name != "seed"},
            "seeds": len(members),
            score: statistics.mean(values := [value for _, value in members]),
            "sd": statistics.stdev(values) if len(values) > 1 else None,
        }
        for members in groups.values()
    ]
    complete, direction = [row for row in rows if row["state"] == "complete"], direction_of(study)
    best = (max if direction == "max" else min)(complete, key=lambda row: row[score], default={"trial": None})["trial"]
    return {
        "study": place.name,
        "score": score,
        "direction": direction,
        "best": best,
        "trials": rows,
        "over_seeds": over_seeds,
    }


def columns_of(rows: list[dict]) -> list[str]:
    """In the order of the fullest row: trials that wait may have no parameters yet. An empty column of errors is left
    out."""
    names = max(rows, key=len, default=())
    return [name for name in names if name != "error" or any(row[name] for row in rows)]


def markdown(result: dict) -> str:
    """The table for people."""
    columns = columns_of(result["trials"])
    rows = [{**row, "error": (row["error"] or "").replace("|", "\\|")} for row in result["trials"]]
    text = f"# {result['study']}\n\n{tables.markdown_table(columns, [[row.get(name) for name in columns] for row in rows])}"
    if result["best"] is not None:
        text += f"\nBest: trial {result['best']} ({result['score']}, {result['direction']}).\n"
    if result["over_seeds"]:
        score, rows = result["score"], []
        names = [name for name in result["over_seeds"][0] if name not in (score, "sd")]
        for row in result["over_seeds"]:
            spread = "" if row["sd"] is None else f" ± {row['sd']:.2g}"
            rows.append([*(row[name] for name in names), f"{tables.number(row[score])}{spread}"])
        text += f"\n## Mean ± standard deviation (n - 1) over seeds\n\n{tables.markdown_table([*names, score], rows)}"
    return text


def write(place, study) -> dict:
    """`sweep.md`, `sweep.json` and `sweep.csv` in the study's folder; returns `table`."""
    result, text = table(place, study), io.StringIO()
    writer = csv.DictWriter(text, columns_of(result["trials"]), extrasaction="ignore")
    writer.writeheader()
    writer.writerows(result["trials"])
    files.write_json(place.folder / "sweep.json", result)
    files.write_text(place.folder / "sweep.md", markdown(result))
    files.write_text(place.folder / "sweep.csv", text.getvalue())
    return result
