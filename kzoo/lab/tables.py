"""The report's tables and what its numbers hold for, as text."""

import pathlib
from xml.sax.saxutils import escape

from kzoo.lab import findings, measurements, plan


def pose_table(found: dict) -> list[list[str]]:
    """Header and rows of what the heads and the design choices score."""
    rows, base = found["rows"], found["rows"].get(plan.SOFTARGMAX)
    table = [["task 1 and 2", "MPJPE", "to base", "train", "gap", "AP", "M par.", "min"]]
    for name, row in rows.items():
        if row["task"] == "pose":
            change = measurements.change(row, base) if base and row["ablation"] else None
            to_base = "base" if name == plan.SOFTARGMAX else "" if change is None else f"{change:+.1f}"
            words = f"– {row['words']}" if row["ablation"] else row["words"]
            table.append(
                [
                    words,
                    with_spread(row, 1),
                    to_base,
                    f"{row['curve']['train'][-1]:.1f}",
                    f"{row['gap']:+.1f}",
                    f"{row['scores']['AP']:.3f}" if "AP" in row["scores"] else "",
                    f"{row['parameters'] / 1e6:.1f}",
                    f"{row['cpu_minutes']:.1f}" if row["cpu_minutes"] is not None else "",
                ]
            )
    if mean := found["baselines"].get("mean_pose_px"):
        table.append(["mean pose", f"{mean:.1f}", *[""] * 6])
    return table


def seg_table(found: dict) -> list[list[str]]:
    """Header and rows of the three networks."""
    table = [["task 3", "mIoU", "person", "backgr.", "train", "M par.", "min"]]
    for name in (plan.FCN, plan.ENCDEC, plan.UNET):
        if row := found["rows"].get(name):
            iou = row["tables"]["IoU per class"]
            table.append(
                [
                    f"{name}: {row['words']}",
                    with_spread(row, 3),
                    *(f"{iou[c]:.3f}" if c in iou else "" for c in ("person", "background")),
                    f"{row['curve']['train'][-1]:.3f}",
                    f"{row['parameters'] / 1e6:.1f}",
                    f"{row['cpu_minutes']:.1f}" if row["cpu_minutes"] is not None else "",
                ]
            )
    if "background_miou" in found["baselines"]:
        table.append(["background everywhere", f"{found['baselines']['background_miou']:.3f}", "0.000", *[""] * 4])
    return table


def cause_table(found: dict, rows: dict[str, str]) -> list[list[str]]:
    """Header and rows of the shares of the labelled joints by cause. rows: row -> its column's words."""
    shares = {words: found["rows"][name]["tables"].get(measurements.CAUSES) for name, words in rows.items()}
    shares = {words: found for words, found in shares.items() if found}
    causes = list(next(iter(shares.values()), []))
    return [
        ["share of the labelled joints", *shares],
        *([cause, *(f"{100 * s[cause]:.1f} %" for s in shares.values())] for cause in causes),
    ]


def with_spread(row: dict, decimals: int) -> str:
    spread = f" ± {row['spread']:.{decimals}f}" if row["spread"] is not None else ""
    return f"{row['score']:.{decimals}f}{spread}"


def conditions(found: dict, command: str) -> list[str]:
    """What every number holds for."""
    lines, settings = [], found["settings"]
    for task, unit in (("pose", "person crops"), ("seg", "pictures")):
        if c := found["conditions"].get(task):
            how = f"boxes {c['boxes']}, decoder {c['decoder']}, " if task == "pose" else ""
            lines.append(
                f"<b>{task}</b>: {escape(c['dataset'])} (fingerprint {c['fingerprint']}), trained on {findings.trained_on(c)}, scored on "
                f"{c['examples']:,} {unit} ({escape(c['split'])}); inputs {c['size']} px, {how}test-time augmentation {c['tta']}; "
                f"loss {c['loss']}, {c['optimizer']}, {c['epochs']} epochs, batches of {c['batch_size']}, "
                f"rate {c['lr']:g} ({c['schedule']}), augmentation {c['augment']:g}."
            )
    c = next(iter(found["conditions"].values()), None)
    if c:
        counts = {r["seeds"] for r in found["rows"].values()}
        numbered = findings.seed_words(sorted({seed for r in found["rows"].values() for seed in r["by_seed"]}, key=int))
        if max(counts) > 1:
            numbered += f" (mean ± SD{'; a row without ± has one seed' if 1 in counts else ''})"
        minutes = [r["cpu_minutes"] for r in found["rows"].values()]
        spent = "" if None in minutes else f"{sum(minutes):.0f} CPU minutes in all on "
        weights = settings["encoder_weights"]
        weights = weights if weights == "imagenet" else pathlib.Path(weights).name
        packages = ", ".join(
            f"{name} {c['versions'][name]}" for name in ("tensorflow", "keras") if name in c["versions"]
        )
        lines.append(
            "MPJPE in px of a 256-px crop, over labelled joints; AP by OKS with true boxes. The epoch that is best on the evaluation set "
            "is kept and scored on that same set. Training-set scores are without augmentation; <i>train</i> and <i>gap</i> "
            "(evaluation minus training) are those after the last epoch."
            + (
                " Curves and tables are means over a row's seeds, pictures are of the first of them."
                if max(counts) > 1
                else ""
            )
        )
        lines.append(
            f"Encoder {settings['encoder']}, weights {escape(weights)}; {numbered}; {spent}{escape(c['device'])}; {packages}."
        )
    return [*lines, f'<font face="Courier" size="6.3">{escape(command)}</font>']


def subtitle(found: dict) -> str:
    """One line under the title."""
    settings, rows = found["settings"], found["rows"]
    parts = [f"budget {settings['budget']}", f"encoder {settings['encoder']}"]
    regressions = [name for name, r in rows.items() if r["arch"] == "regression"]
    regression = min(regressions, key=lambda name: rows[name]["score"], default=None)
    for word, best in (("regression", regression), ("soft-argmax", measurements.best_softargmax(rows))):
        if best:
            score, asked = rows[best]["score"], findings.TARGETS[rows[best]["arch"]]
            parts.append(f"{word} <b>{score:.1f} px</b> (target {asked:.0f}: {'met' if score < asked else 'not met'})")
    values = {name: rows[name]["score"] for name in plan.SEGMENTATION if name in rows}
    if values:
        best = max(values, key=values.get)
        parts.append(f"{best} <b>{values[best]:.3f} mIoU</b>")
    return " · ".join(parts)
