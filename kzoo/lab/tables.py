"""The report's tables and what its numbers hold for, as text."""

import pathlib
from xml.sax.saxutils import escape

from kzoo.lab import findings, measurements, plan


def pose_table(found: dict) -> list[list[str]]:
    """Header and rows of what the heads and the design choices score."""
    rows = found["rows"]
    base = rows.get(plan.SOFTARGMAX)
    table = [["task 1 and 2", "MPJPE", "to base", "train", "gap", "AP", "M par.", "min"]]
    for row in rows.values():
        if row["task"] == "pose":
            table.append(pose_row(row, base))
    mean = found["baselines"].get("mean_pose_px")
    if mean:
        table.append(["mean pose", f"{mean:.1f}", *[""] * 6])
    return table


def pose_row(row: dict, base: dict | None) -> list[str]:
    change = measurements.change(row, base) if base and row["ablation"] else None
    to_base = "" if change is None else f"{change:+.1f}"
    return [
        f"– {row['words']}" if row["ablation"] else row["words"],
        with_spread(row, 1),
        "base" if row is base else to_base,
        f"{row['curve']['train'][-1]:.1f}",
        f"{row['gap']:+.1f}",
        f"{row['scores']['AP']:.3f}" if "AP" in row["scores"] else "",
        *price(row),
    ]


def price(row: dict) -> tuple[str, str]:
    """Millions of parameters and CPU minutes."""
    minutes = row["cpu_minutes"]
    return f"{row['parameters'] / 1e6:.1f}", "" if minutes is None else f"{minutes:.1f}"


def seg_table(found: dict) -> list[list[str]]:
    """Header and rows of the three networks."""
    rows = found["rows"]
    table = [["task 3", "mIoU", "person", "backgr.", "train", "M par.", "min"]]
    for name in (plan.FCN, plan.ENCDEC, plan.UNET):
        if name in rows:
            table.append(seg_row(name, rows[name]))
    if "background_miou" in found["baselines"]:
        table.append(["background everywhere", f"{found['baselines']['background_miou']:.3f}", "0.000", *[""] * 4])
    return table


def seg_row(name: str, row: dict) -> list[str]:
    iou = row["tables"]["IoU per class"]
    classes = [f"{iou[name]:.3f}" if name in iou else "" for name in ("person", "background")]
    trained = f"{row['curve']['train'][-1]:.3f}"
    return [f"{name}: {row['words']}", with_spread(row, 3), *classes, trained, *price(row)]


def cause_table(found: dict, rows: dict[str, str]) -> list[list[str]]:
    """Header and rows of the shares of the labelled joints by cause. rows: row -> its column's words."""
    shares = {words: found["rows"][name]["tables"].get(measurements.CAUSES) for name, words in rows.items()}
    shares = {words: found for words, found in shares.items() if found}
    causes = list(next(iter(shares.values()), []))
    rows = [[cause, *(f"{100 * share[cause]:.1f} %" for share in shares.values())] for cause in causes]
    return [["share of the labelled joints", *shares], *rows]


def with_spread(row: dict, decimals: int) -> str:
    spread = f" ± {row['spread']:.{decimals}f}" if row["spread"] is not None else ""
    return f"{row['score']:.{decimals}f}{spread}"


def conditions(found: dict, command: str) -> list[str]:
    """What every number holds for."""
    held = found["conditions"]
    units = {"pose": "person crops", "seg": "pictures"}
    lines = [conditions_of_task(task, held[task], unit) for task, unit in units.items() if task in held]
    if held:
        lines += conditions_of_all(found, next(iter(held.values())))
    return [*lines, f'<font face="Courier" size="6.3">{escape(command)}</font>']


def conditions_of_task(task: str, held: dict, unit: str) -> str:
    how = f"boxes {held['boxes']}, decoder {held['decoder']}, " if task == "pose" else ""
    data = f"{escape(held['dataset'])} (fingerprint {held['fingerprint']}), trained on {findings.trained_on(held)}"
    return (
        f"<b>{task}</b>: {data}, scored on {held['examples']:,} {unit} ({escape(held['split'])}); "
        f"inputs {held['size']} px, {how}test-time augmentation {held['tta']}; "
        f"loss {held['loss']}, {held['optimizer']}, {held['epochs']} epochs, batches of {held['batch_size']}, "
        f"rate {held['lr']:g} ({held['schedule']}), augmentation {held['augment']:g}."
    )


def conditions_of_all(found: dict, held: dict) -> tuple[str, str]:
    """What the columns mean, and where the runs were trained."""
    rows = found["rows"].values()

    # Seeds
    counts = {row["seeds"] for row in rows}
    seeds = {seed for row in rows for seed in row["by_seed"]}
    numbered = findings.seed_words(sorted(seeds, key=int))
    means = ""
    if max(counts) > 1:
        numbered += " (mean ± SD; a row without ± has one seed)" if 1 in counts else " (mean ± SD)"
        means = " Curves and tables are means over a row's seeds, pictures are of the first of them."

    # Where
    minutes = [row["cpu_minutes"] for row in rows]
    spent = "" if None in minutes else f"{sum(minutes):.0f} CPU minutes in all on "
    weights = found["settings"]["encoder_weights"]
    weights = weights if weights == "imagenet" else pathlib.Path(weights).name
    versions = held["versions"]
    packages = ", ".join(f"{name} {versions[name]}" for name in ("tensorflow", "keras") if name in versions)
    where = f"{spent}{escape(held['device'])}; {packages}"
    return (
        "MPJPE in px of a 256-px crop, over labelled joints; AP by OKS with true boxes. The epoch that is best on the "
        "evaluation set is kept and scored on that same set. Training-set scores are without augmentation; "
        f"<i>train</i> and <i>gap</i> (evaluation minus training) are those after the last epoch.{means}",
        f"Encoder {found['settings']['encoder']}, weights {escape(weights)}; {numbered}; {where}.",
    )


def subtitle(found: dict) -> str:
    """One line under the title."""
    settings = found["settings"]
    rows = found["rows"]
    parts = [f"budget {settings['budget']}", f"encoder {settings['encoder']}"]
    regressions = [name for name, r in rows.items() if r["arch"] == "regression"]
    regression = min(regressions, key=lambda name: rows[name]["score"], default=None)
    for word, best in (("regression", regression), ("soft-argmax", measurements.best_softargmax(rows))):
        if best:
            score = rows[best]["score"]
            asked = findings.TARGETS[rows[best]["arch"]]
            parts.append(f"{word} <b>{score:.1f} px</b> (target {asked:.0f}: {'met' if score < asked else 'not met'})")
    values = {name: rows[name]["score"] for name in plan.SEGMENTATION if name in rows}
    if values:
        best = max(values, key=values.get)
        parts.append(f"{best} <b>{values[best]:.3f} mIoU</b>")
    return " · ".join(parts)
