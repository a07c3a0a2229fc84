"""Under which conditions a score was made: written once, for reports, model cards, comparisons and studies.

The keys are those of `report.json`. Runs that differ in a condition that keeps them apart are never ranked together.
"""

import dataclasses

from kzoo.runs import report_files

DATA, EXAMPLES, ANSWERS = "data", "examples", "answers"  # of what a condition is one


@dataclasses.dataclass(frozen=True)
class Condition:
    """words: what it is called before people; of: DATA, which a run has from its training on, EXAMPLES, those of it
    that were scored, or ANSWERS, how the network was asked; ranked: may runs that differ in it be ranked together?"""

    words: str
    of: str
    ranked: bool = False


CONDITIONS = {
    "task": Condition("task", DATA),
    "dataset": Condition("data set", DATA),
    "fingerprint": Condition("data fingerprint", DATA),
    "split": Condition("split", EXAMPLES),
    "examples": Condition("examples", EXAMPLES, ranked=True),  # the split and the fingerprint tell them apart
    "boxes": Condition("boxes", ANSWERS),
    "crop": Condition("crop (px)", ANSWERS),
    "tile": Condition("tiles (px)", ANSWERS),
    "overlap": Condition("overlap of tiles (px)", ANSWERS),
    "tta": Condition("test-time augmentation", ANSWERS),
    "decoder": Condition("decoder", ANSWERS),
}
SIZES = ("crop", "tile")  # 64 and 64x64 are one
APART = tuple(name for name, condition in CONDITIONS.items() if not condition.ranked)


def of_report(report: dict, *kinds: str) -> dict:
    """{name: value} of the conditions that `report.json` holds.

    Args:
        report: its content; kinds: of DATA, EXAMPLES and ANSWERS; by default all.
    """
    wanted = kinds or (DATA, EXAMPLES, ANSWERS)
    found = {name: report[name] for name, row in CONDITIONS.items() if row.of in wanted and name in report}
    return {name: report_files.size_text(value) if name in SIZES else value for name, value in found.items()}


def of_training(flags: dict) -> dict:
    """{name: value} of the conditions of the scores in a run's history, which know no test-time augmentation.

    Args:
        flags: of train.py; those that a run of an older version lacks count as their defaults.
    """
    size = report_files.size_text(flags.get("size"))
    return {"split": flags.get("val_split") or "val", "crop": size, "tta": "none"}


def text(conditions: dict, separator: str = ", ") -> str:
    """`split: val, crop (px): 128` of {name: value}, without what is not told."""
    told = {name: value for name, value in conditions.items() if value not in (None, "")}
    return separator.join(f"{CONDITIONS[name].words}: {value}" for name, value in told.items())
