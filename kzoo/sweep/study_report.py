"""The report of many runs: what they say, how surely, and at what price. `report.md`, `.json`, `.csv` and `.html` in
one folder.

Runs are compared within a group alone: the runs that share data, split, boxes, crop, flip, decoder and metric
(`study_rows.CONDITIONS`).
"""

import dataclasses
import itertools
import math
import pathlib

from tqdm.auto import tqdm

from kzoo import files
from kzoo.evaluation import costs, tables
from kzoo.runs import Run
from kzoo.sweep import effects, study_rows

COSTS = {  # columns, by the name of what `costs.measure` finds
    "parameters": lambda found: found["parameters"],
    "GFLOPs": lambda found: None if found["flops"] is None else found["flops"] / 1e9,
    "ms each, batch 1": lambda found: found["ms_per_example"]["1"],
    "ms each, batch 8": lambda found: found["ms_per_example"]["8"],
    "network MiB": lambda found: found["network_memory_mib"],
    "process MiB": lambda found: found["peak_memory_mib"],
}
SURE = 0.05  # p-value up to which the signs of the pairs speak too
BETTER, BY_INTERVAL, APART = "better", "better by the interval alone", "not told apart"
CALLED = {
    "miou": "mIoU",
    "mpjpe": "px MPJPE",
    "mpjpe_mm": "mm MPJPE",
    "acc": "accuracy",
    "position_error": "m position error",
}
METHOD = f"""Intervals are made to hold the truth in 95 of 100 such studies: percentile bootstrap over seeds, its
distances from the mean widened by t/z · √(n/(n − 1)), since few seeds show too little (kzoo/sweep/effects.py has the
check). Seeds are resampled as blocks, the same ones for all settings: all resamples up to {effects.ALL_UP_TO} seeds,
{effects.RESAMPLES:,} (random seed 0) from then on; fewer than {effects.FEWEST} seeds have no interval. A pair is two
runs that differ in one factor and in nothing else, seed included. p is the share of all signs of the pairs'
differences that give a mean difference as large; it takes pairs for independent, and Holm's correction counts all
comparisons of the group, which intervals do not. Better means: the interval leaves out 0, and p ≤ {SURE:g};
{BY_INTERVAL} where p is above that, as it must be with few pairs (n of them cannot give less than 2/2ⁿ, before the
correction): it trusts that noise is near normal.""".replace("\n", " ")


def measured_costs(runs: study_rows.Runs, folder: pathlib.Path, *, only_known: bool = False) -> dict:
    """Costs by network: those in `costs.json` of the folder; others are measured one after another and added to it, or
    left out."""
    path = folder / "costs.json"
    known = files.read_json(path) if path.exists() else {}
    counted = [row for row in runs.rows if row.counted]
    wanted = {row.network: row.folder for row in counted if Run.open(row.folder).has_model}
    missing = [] if only_known else [network for network in wanted if network not in known]
    failed = {}
    for network in tqdm(missing, desc="costs", unit="network", dynamic_ncols=True, disable=None if missing else True):
        found = costs.in_own_process(wanted[network])
        if "error" in found:
            failed[network] = found
        else:
            known[network] = found
            files.write_json(path, known)
    measured = {**failed, **known}
    return {network: measured[network] for network in wanted if network in measured}


def groups_of(rows: list[study_rows.Row]) -> list[tuple[dict, list[study_rows.Row]]]:
    """(conditions, rows) of the runs that may be compared with each other."""
    found: dict = {}
    for row in rows:
        found.setdefault(tuple(row.conditions.items()), []).append(row)
    return [(dict(conditions), members) for conditions, members in found.items()]


def level_text(level):
    """Of a path its last part; people/clips is none."""
    is_path = isinstance(level, str) and (level.startswith(("/", ".", "~")) or level.count("/") > 1)
    return (level.rpartition("/")[2] or level) if is_path else level


def level_name(factor: str, level) -> str:
    """`unet`, `encoder_weights=none`"""
    return f"`{level_text(level)}`" if factor == "arch" else f"`{factor}={level_text(level)}`"


def amounts(*values: float) -> list[str]:
    """All to the same decimal place: two digits of half their range, of a single one its own two digits."""
    size = (max(values) - min(values)) / 2 or abs(values[0])
    places = min(8, max(0, 1 - math.floor(math.log10(size)))) if size else 2
    return [f"{value:.{places}f}" for value in values]


def p_text(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"


def interval_text(found: effects.Estimate, sign: int = 1) -> str:
    """ "0.021 to 0.040", or the range of one or two seeds in so many words."""
    found = found if sign > 0 else found.turned()
    if found.low is not None:
        return " to ".join(amounts(found.low, found.high))
    low, high = amounts(found.least, found.most)
    return "1 seed: no interval" if found.blocks == 1 else f"2 seeds, no interval: {low} and {high}"


def analyse_group(conditions: dict, rows: list[study_rows.Row], runs: study_rows.Runs, found_costs: dict) -> dict:
    """What runs that may be compared say: settings by rank, effects, comparisons, ranges."""
    scores = effects.Scores.of([(row.settings, row.seed, row.score) for row in rows])
    best, behind = effects.behind_best(scores, runs.higher_is_better)

    # Settings by rank
    settings = []
    for i, setting in enumerate(scores.settings):
        members = [row for row in rows if row.settings == setting]
        settings.append(
            {
                "setting": setting,
                "runs": [row.name for row in members],
                "score": effects.estimate(scores.values[i]),
                "best": i == best,
                "behind": behind[i],
                "told_apart": behind[i] is not None and behind[i].low is not None and behind[i].low > 0,
                "costs": cost_columns(members[0], found_costs),
            }
        )
    settings.sort(key=lambda row: row["score"].value, reverse=runs.higher_is_better)

    # Pairs of levels of each factor
    factors = [name for name in (scores.settings[0]) if name not in runs.ranges and len(scores.levels(name)) > 1]
    compared = [found for name in factors for found in compare_levels(scores, name, runs.higher_is_better)]
    for found, p in zip(compared, effects.holm([found["p"] for found in compared]), strict=True):
        found["p_holm"] = p
        found["verdict"] = (BETTER if p <= SURE else BY_INTERVAL) if found["advantage"].clear else APART

    # Numbers from a range
    ranges = {}
    for name in runs.ranges:
        values = [row.settings[name] for row in rows]
        if len(set(values)) > 1:
            ranges[name] = effects.rank_correlation(values, [row.score for row in rows])
    return {
        "conditions": conditions,
        "settings": settings,
        "effects": {name: effects.effects(scores, name) for name in factors},
        "comparisons": compared,
        "ranges": ranges,
    }


def compare_levels(scores: effects.Scores, factor: str, higher_is_better: bool) -> list[dict]:
    """All pairs of a factor's levels that have pairs of runs, the better one first."""
    found = []
    for one, other in itertools.combinations(scores.levels(factor), 2):
        pair = effects.compare(scores, factor, one, other)
        if pair is None:
            continue
        difference = pair["difference"]
        swapped = difference.value < 0 if higher_is_better else difference.value > 0  # the other is better
        turned = swapped == higher_is_better  # the advantage of the better one is the negative difference
        sign = -1 if turned else 1
        lost = pair["pairs"] - pair["won"] - pair["tied"]
        found.append(
            {
                "factor": factor,
                "one": other if swapped else one,
                "other": one if swapped else other,
                "advantage": difference.turned() if turned else difference,
                "won": lost if turned else pair["won"],
                "by_cell": [(others, sign * value) for others, value in pair["by_cell"]],
                **{name: pair[name] for name in ("pairs", "tied", "p")},
            }
        )
    return found


def cost_columns(row: study_rows.Row, found_costs: dict) -> dict:
    found = found_costs.get(row.network)
    if not found or "error" in found:
        return {**dict.fromkeys(COSTS), "parameters": row.parameters}
    return {name: column(found) for name, column in COSTS.items()}


def sentence(found: dict, called: str) -> str:
    """A comparison in words."""
    one, other = (level_name(found["factor"], found[which]) for which in ("one", "other"))
    advantage = found["advantage"]
    pairs = f"{found['won']} of {found['pairs']} pairs"
    (amount,) = amounts(advantage.value)
    if advantage.value == 0:
        return f"{one} and {other} scored the same ({found['pairs']} pairs)."
    if advantage.low is None:
        few = "1 seed" if advantage.blocks == 1 else f"{advantage.blocks} seeds"
        better = f"{one} scored better than {other} by {amount} {called} ({pairs})"
        return f"{better}, with {few}: too few to tell it from chance."
    amount, low, high = amounts(advantage.value, advantage.low, advantage.high)
    sure = f"95 % interval {low} to {high}, {pairs}, {p_text(found['p_holm'])}"
    if found["verdict"] == APART:
        return f"{one} and {other} are not told apart: {amount} {called} in favour of {one} ({sure})."
    text = f"{one} is better than {other} by {amount} {called} ({sure})"
    if found["verdict"] == BETTER:
        return f"{text}."
    return f"{text}, by the interval alone."


def answers(group: dict, called: str) -> list[str]:
    """Comparisons of each factor in words: all of up to 3 levels, those with the best level of more."""
    said = []
    for factor in dict.fromkeys(found["factor"] for found in group["comparisons"]):
        of_factor = [found for found in group["comparisons"] if found["factor"] == factor]
        levels = {found[which] for found in of_factor for which in ("one", "other")}
        if len(levels) > 3:
            ahead = max(levels, key=lambda level: sum(found["one"] == level for found in of_factor))
            of_factor = [found for found in of_factor if ahead in (found["one"], found["other"])]
        said += [sentence(found, called) for found in of_factor]
    for name, found in group["ranges"].items():
        if found["rho"] is not None:
            interval = f", 95 % interval {found['low']:.2f} to {found['high']:.2f}" if "low" in found else ""
            sure = f"{found['n']} runs{interval}, {p_text(found['p'])}"
            said.append(f"`{name}` and the score: Spearman's rho {found['rho']:.2f} ({sure}).")
    return said


def analyse(runs: study_rows.Runs, found_costs: dict) -> dict:
    """Content of the report: of each group and of all runs.

    Args:
        found_costs: {network of a row: costs}, may be empty.
    Returns:
        {"title", "metric", "called", "higher_is_better", "groups": see `analyse_group`, "differ": conditions that make
        the groups, "follows", "runs": rows, "costs"}.
    """
    called = CALLED.get(runs.metric, runs.metric)

    # The groups, in which runs may be compared
    counted = groups_of([row for row in runs.rows if row.counted])
    groups = [analyse_group(conditions, rows, runs, found_costs) for conditions, rows in counted]
    differ = [name for name in study_rows.CONDITIONS if len({conditions[name] for conditions, _ in counted}) > 1]
    for letter, group in zip(map(group_name, itertools.count()), groups, strict=False):
        group |= {"name": letter, "answers": answers(group, called)}

    # All runs
    of_run = {name: group["name"] for group in groups for setting in group["settings"] for name in setting["runs"]}
    rows = [
        {
            **dataclasses.asdict(row),
            "score": row.score if row.counted else None,  # a pruned run's is of another epoch
            "folder": row.folder and str(row.folder),
            "group": of_run.get(row.name),
            **cost_columns(row, found_costs),
        }
        for row in runs.rows
    ]
    return {
        "title": runs.title,
        "metric": runs.metric,
        "called": called,
        "higher_is_better": runs.higher_is_better,
        "method": METHOD,
        "groups": groups,
        "differ": differ,
        "follows": runs.follows,
        "condition": runs.condition,
        "reports": runs.reports,
        "ranges": list(runs.ranges),
        "runs": rows,
        "costs": list(found_costs.values()),
    }


def group_name(number: int) -> str:
    """A … Z, then A1 …"""
    return chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")


def as_json(value):
    """Estimates as dictionaries, without what is not finite."""
    if isinstance(value, effects.Estimate):
        return as_json(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_csv(result: dict) -> str:
    """One line a run: what varies, score, conditions, costs."""
    left_out = ("settings", "conditions", "curve", "network")
    rows = []
    for row in result["runs"]:
        own = {name: value for name, value in row.items() if name not in left_out}
        rows.append({**own, **row["settings"], **row["conditions"]})
    return tables.csv_text(list(dict.fromkeys(name for row in rows for name in row)), rows)
