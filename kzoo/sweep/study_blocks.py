"""The report of many runs as blocks, headings, texts, lists, tables and figures: written as Markdown here, as a page by
`study_page`."""

import collections
import dataclasses
import itertools

from kzoo import runs
from kzoo.evaluation import tables
from kzoo.sweep import effects, study_report, study_rows

WHAT_EFFECTS_ARE = (
    "What a level adds to the mean over the factor's levels, all else equal: settings of the other factors count "
    "alike, and only those that have all levels."
)
EVERY_RUN = "Every run"  # a heading
PRUNED = (
    "In no mean and no comparison. A run that was pruned was stopped because it was behind: the means are of those "
    "that went on."
)


class Folder(str):
    """The name of a run folder, in a page a link to it: its path is in `path`."""

    path: str = ""

    @classmethod
    def of(cls, path: str) -> "Folder":
        folder = cls(path.rpartition("/")[2])
        folder.path = path
        return folder


@dataclasses.dataclass(frozen=True)
class Block:
    """kind: heading, text, list, table or figure. text: of the first two, the caption of the others; name: of a table
    or figure.

    `code` in texts and cells is marked by backticks; cells are texts, numbers or None.
    """

    kind: str
    text: str = ""
    level: int = 1
    name: str = ""
    items: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple, ...] = ()


def table(name: str, header, rows, text: str = "") -> Block:
    """Without the columns that are empty in all rows."""
    filled = [any(row[i] not in (None, "") for row in rows) for i in range(len(header))]
    kept = tuple(itertools.compress(header, filled))
    cells = tuple(tuple(itertools.compress(row, filled)) for row in rows)
    return Block("table", text, name=name, header=kept, rows=cells)


def blocks(result: dict) -> list[Block]:
    """The whole report from `study_report.analyse`."""
    groups = result["groups"]
    several = len(groups) > 1
    states = collections.Counter(run["state"] for run in result["runs"])
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    better = "more is better" if result["higher_is_better"] else "less is better"
    told = f"{len(result['runs'])} runs: {counts}. Score: {result['metric']}, {better}."
    found = [Block("heading", f"Report of {result['title']}"), Block("text", told)]
    found += _reports(result)
    if not groups:
        found.append(Block("text", "No run is complete yet: there is nothing to compare."))
    if several:
        found += _apart(result)
    for factor, flags in result["follows"].items():
        others = ", ".join(f"`{flag}`" for flag in flags)
        found.append(Block("text", f"With `{factor}` change {others}: they are part of what it does here."))
    for group in groups:
        found += _group(group, result, f"Group {group['name']}: " if several else "")
    found += _costs(result)
    found += _runs(result)
    return [
        *found,
        Block("heading", "How this was computed", 2),
        Block("text", result["method"]),
        Block("text", _sources(result)),
    ]


def _reports(result: dict) -> list[Block]:
    """Which reports the runs hold, and which of them count here."""
    counts = result.get("reports") or {}
    if len(counts) < 2 and not result.get("condition"):
        return []
    there = ", ".join(f"`{name}` ({count} of {len(result['runs'])} runs)" for name, count in counts.items())
    used = f"`{result['condition']}`" if result.get("condition") else "each training's own"
    return [Block("text", f"Reports in the run folders: {there}. Here: {used}; `--condition=NAME` takes another.")]


def _sources(result: dict) -> str:
    texts = {
        runs.REPORT: f"Scores of {runs.REPORT} are exact, of the best epoch's network on the whole split, under the "
        "conditions above.",
        runs.HISTORY: f"Scores of {runs.HISTORY} are those of the training loop's metric at the best epoch.",
    }
    sources = {group["conditions"]["source"] for group in result["groups"]}
    told = [texts[source] for source in sorted(sources)]
    told.append("The best epoch was chosen on the same split.")
    if result["costs"]:
        told.append(
            "Each network was measured once by `python -m kzoo.costs`, one after another, in a process of its own."
        )
    return " ".join(told)


def _words(conditions: dict, names) -> str:
    return ", ".join(f"{study_rows.CONDITIONS[name]}: {conditions[name] or 'unknown'}" for name in names)


def _apart(result: dict) -> list[Block]:
    """Which groups there are, and their scores side by side, in no order."""
    differ = result["differ"]
    groups = result["groups"]
    called = ", ".join(study_rows.CONDITIONS[name] for name in differ)
    text = (
        f"These runs were not all scored alike: they differ in {called}. Their scores do not measure the same thing, "
        f"so there are {len(groups)} groups, each with a ranking of its own, and none across them."
    )
    items = tuple(f"Group {group['name']}: {_words(group['conditions'], differ)}" for group in groups)
    return [Block("text", text), Block("list", items=items), _side_by_side(result)]


def _side_by_side(result: dict) -> Block:
    """A row a setting, a column a group; without the factors that are the same within each group."""
    groups = result["groups"]
    order = [run["name"] for run in result["runs"]]
    constant = [name for name in _factors(groups) if all(_is_constant(name, group) for group in groups)]
    scores: dict = {}
    for group in groups:
        by_run = sorted(group["settings"], key=lambda row: order.index(row["runs"][0]))  # by rank they would tell one
        for row in by_run:
            setting = tuple(item for item in row["setting"].items() if item[0] not in constant)
            scores.setdefault(setting, {})[group["name"]] = row["score"]
    factors = list(dict.fromkeys(name for setting in scores for name, _ in setting))
    letters = [group["name"] for group in groups]
    cells = []
    for setting, by_group in scores.items():
        levels = [study_report.level_text(dict(setting).get(name)) for name in factors]
        cells.append((*levels, *(_with_interval(by_group.get(letter)) for letter in letters)))
    header = (*factors, *(f"group {letter}" for letter in letters))
    caption = "Mean scores side by side (95 % interval), in the order of the runs: columns do not compare."
    return table("side by side", header, cells, caption)


def _factors(groups: list[dict]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for row in group["settings"] for name in row["setting"]))


def _is_constant(factor: str, group: dict) -> bool:
    return len({row["setting"].get(factor) for row in group["settings"]}) == 1


def _with_interval(score: effects.Estimate | None) -> str | None:
    return score and f"{tables.number(score.value)} ({study_report.interval_text(score)})"


def _beside_best(row: dict) -> str:
    """Of a setting, beside the one with the best mean."""
    behind = row["behind"]
    if row["best"]:
        return "best mean"
    if behind is None:
        return "no seed in common with the best"
    if behind.low is None:
        return (
            f"not told apart from the best: {'one seed' if behind.blocks == 1 else f'{behind.blocks} seeds'} in common"
        )
    if behind.high < 0:  # the best mean is over other seeds, too
        ahead = study_report.interval_text(behind.turned())
        return f"ahead of the best mean on the {behind.blocks} seeds in common: by {ahead}"
    if not row["told_apart"]:
        return f"not told apart from the best: behind by {study_report.interval_text(behind)}"
    return f"behind by {study_report.interval_text(behind)}"


def _headed(prefix: str, text: str) -> str:
    return prefix + text if prefix else text.capitalize()


def _group(group: dict, result: dict, prefix: str) -> list[Block]:
    letter = group["name"]
    metric = result["metric"]
    conditions = _words(group["conditions"], [name for name in study_rows.CONDITIONS if group["conditions"][name]])
    none = Block("text", "There is no pair of settings to compare.")
    found = [
        Block("heading", _headed(prefix, "answers"), 2),
        Block("text", f"Scored alike: {conditions}."),
        Block("list", items=tuple(group["answers"])) if group["answers"] else none,
        Block("heading", _headed(prefix, "settings"), 2),
        _settings(group["settings"], letter, metric),
        Block("figure", name=f"curves {letter}"),
        Block("figure", name=f"price {letter}"),
    ]
    if any(group["effects"].values()):
        effects_table = _effects(group["effects"], letter, metric)
        found += [
            Block("heading", _headed(prefix, "main effects"), 2),
            effects_table,
            Block("figure", name=f"effects {letter}"),
        ]
    for factor, levels in group["effects"].items():
        if not levels:
            found.append(
                Block(
                    "text",
                    f"`{factor}` has no main effect here: no setting of the other factors has all of its levels.",
                )
            )
    if group["comparisons"]:
        found += [
            Block("heading", _headed(prefix, "paired comparisons"), 2),
            _pairs(group["comparisons"], letter, result["called"]),
        ]
    return [*found, *(Block("figure", name=f"range {name} {letter}") for name in group["ranges"])]


def _settings(settings: list[dict], letter: str, metric: str) -> Block:
    names = list(dict.fromkeys(name for row in settings for name in row["setting"]))
    names = [name for name in names if len({row["setting"].get(name) for row in settings}) > 1] or names
    header = ("place", *names, f"mean {metric}", "95 % interval", "seeds", "beside the best mean", *study_report.COSTS)
    rows = []
    for place, row in enumerate(settings, 1):
        levels = [study_report.level_text(row["setting"].get(name)) for name in names]
        score = row["score"]
        prices = [row["costs"][name] for name in study_report.COSTS]
        rows.append(
            (place, *levels, score.value, study_report.interval_text(score), score.blocks, _beside_best(row), *prices)
        )
    return table(f"settings {letter}", header, rows, _uneven(settings))


def _effects(of_group: dict, letter: str, metric: str) -> Block:
    header = ("factor", "level", f"mean {metric}", "effect", "95 % interval", "other settings", "seeds")
    rows = []
    for factor, levels in of_group.items():
        for level, row in levels.items():
            effect = row["effect"]
            interval = study_report.interval_text(effect)
            named = (factor, study_report.level_text(level))
            rows.append((*named, row["mean"], effect.value, interval, row["cells"], effect.blocks))
    return table(f"effects {letter}", header, rows, WHAT_EFFECTS_ARE)


def _pairs(comparisons: list[dict], letter: str, called: str) -> Block:
    told = ("factor", "better", "than", f"by ({called})", "95 % interval", "pairs won", "least in a setting", "most")
    rows = []
    for row in comparisons:
        advantage = row["advantage"]
        cells = [value for _, value in row["by_cell"]]
        won = f"{row['won']} of {row['pairs']}"
        rows.append(
            (
                row["factor"],
                *(study_report.level_text(row[which]) for which in ("one", "other")),
                advantage.value,
                study_report.interval_text(advantage),
                f"{won} ({row['tied']} tied)" if row["tied"] else won,
                *((min(cells), max(cells)) if len(cells) > 1 else (None, None)),
                row["p"],
                row["p_holm"],
                row["verdict"] if advantage.low is not None else "too few seeds",
            )
        )
    return table(f"pairs {letter}", (*told, "p", "p (Holm)", "verdict"), rows)


def _uneven(settings: list[dict]) -> str:
    counts = {row["score"].blocks for row in settings}
    return (
        "Settings have different numbers of seeds, and means differ by that too; pairs do not."
        if len(counts) > 1
        else ""
    )


def _costs(result: dict) -> list[Block]:
    found = [cost for cost in result["costs"] if cost]
    errors = sorted({cost["error"] for cost in found if "error" in cost})
    machines = sorted({_machine(cost) for cost in found if "error" not in cost})
    told = [f"Costs were measured on {'; '.join(machines)}."] if machines else []
    told += [f"Costs could not be measured: {error}" for error in errors]
    return [Block("text", text) for text in told]


def _machine(cost: dict) -> str:
    return f"{cost['device']}, {cost['threads']} thread{'s' if cost['threads'] > 1 else ''}"


def _runs(result: dict) -> list[Block]:
    """Every run; scores of each group in a column of its own, which sorts by itself."""
    rows = result["runs"]
    letters = [group["name"] for group in result["groups"]]
    names = list(dict.fromkeys(name for row in rows for name in row["settings"]))
    scores = [f"{result['metric']} ({letter})" for letter in letters] if len(letters) > 1 else [result["metric"]]
    header = ("run", *names, "seed", *scores, "epoch", *study_report.COSTS, "minutes of training", "state", "folder")

    def settings(row):
        return (row["name"], *(study_report.level_text(row["settings"].get(name)) for name in names), row["seed"])

    def line(row):
        found = [row["score"] if row["group"] == letter else None for letter in letters] or [None]
        minutes = None if row["minutes"] is None else round(row["minutes"], 2)
        folder = row["folder"] and Folder.of(row["folder"])
        prices = [row[name] for name in study_report.COSTS]
        return (*settings(row), *found, row["epoch"], *prices, minutes, row["state"], folder)

    found = [Block("heading", EVERY_RUN, 2), table("every run", header, [line(row) for row in rows])]
    left = [(*settings(row), row["state"], row["error"]) for row in rows if row["group"] is None]
    if left:
        header = ("run", *names, "seed", "state", "error")
        found += [Block("heading", "Not counted", 2), table("not counted", header, left, PRUNED)]
    return found


def cell_text(value) -> str:
    """Numbers to four digits, large integers with commas."""
    is_large = isinstance(value, int) and not isinstance(value, bool) and value >= 10_000
    return f"{value:,}" if is_large else tables.number(value)


def markdown(found: list[Block]) -> str:
    """The report without its figures, which are in report.html."""
    parts = []
    for block in found:
        if block.kind == "heading":
            parts.append(f"{'#' * block.level} {tables.text(block.text)}\n")
        elif block.kind == "list":
            parts.append("".join(f"- {tables.text(item)}\n" for item in block.items))
        elif block.kind == "table" and block.rows:
            rows = [list(map(cell_text, row)) for row in block.rows]
            caption = f"{tables.text(block.text)}\n\n" if block.text else ""
            parts.append(caption + tables.markdown_table(list(block.header), rows))
        elif block.kind == "text":
            parts.append(f"{tables.text(block.text)}\n")
    return "\n".join([*parts, "Curves, charts, pictures and links to the runs: report.html.\n"])
