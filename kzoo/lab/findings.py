"""Sentences made from the numbers: who is better and by how much, whichever way it came out."""

import math

from kzoo.lab import measurements, plan

TARGETS = {"regression": 13.0, "softargmax": 11.0}  # MPJPE in px that the course expects to be undercut
LEVEL = 0.01  # a difference below this share is called level
UNITS = {"pose": ("px", 1, False), "seg": ("mIoU", 3, True)}  # unit, decimals, more is better


def amount(value: float, task: str) -> str:
    unit, decimals, _ = UNITS[task]
    return f"{value:.{decimals}f} {unit}"


def signed(value: float, task: str) -> str:
    return f"{value:+.{UNITS[task][1]}f}"


def seed_words(seeds) -> str:
    """`seed 0`, `seeds 0, 1, 2`"""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"


def compare(name: str, one: dict, other_name: str, other: dict) -> str:
    """One sentence on two rows of `measurements.collect`, at the seeds that both have; without a full stop."""
    task = one["task"]
    seeds = measurements.shared_seeds(one, other)
    values = [measurements.score_at(r, seeds or r["by_seed"]) for r in (one, other)]
    told = " against ".join(amount(v, task) for v in values)
    if set(one["by_seed"]) != set(other["by_seed"]):
        told += f", {seed_words(seeds)}" if seeds else ", of different seeds"
    difference = abs(values[0] - values[1])
    spreads = [r["spread"] for r in (one, other) if r["spread"] is not None]
    if difference < LEVEL * max(values):
        return f"{name} and {other_name} are level ({told})"
    word = "better" if (values[0] > values[1]) == UNITS[task][2] else "worse"
    noise = ""
    if spreads and difference < math.hypot(*spreads):
        noise = f", within the spread of {max(one['seeds'], other['seeds'])} seeds"
    share = 100 * difference / values[1]
    return f"{name} is {word} than {other_name} by {amount(difference, task)} ({share:.0f} %: {told}){noise}"


def target(arch: str, score: float, condition: dict) -> str:
    """Whether the course's number is reached, and what was different here."""
    asked = TARGETS[arch]
    if score < asked:
        return f"The course's target of {asked:.0f} px is met."
    return (
        f"The course's target of {asked:.0f} px is missed by {score - asked:.1f} px: inputs of {condition['size']} px, "
        f"{condition['epochs']} epochs on {trained_on(condition)}."
    )


def trained_on(condition: dict) -> str:
    """`1,200 of 3,150 training crops`"""
    whole = condition["splits"]["train"]
    count = int(condition["trained_on"].partition("[:")[2].rstrip("]") or whole)
    return f"{count:,} of {whole:,} training examples" if count < whole else f"all {whole:,} training examples"


def moved(values: list[float], task: str) -> str:
    word = "falls" if values[-1] < values[0] else "rises"
    return f"{word} from {amount(values[0], task)} to {amount(values[-1], task)}"


def evolution(found: dict) -> list[str]:
    """Item 1."""
    row = found["rows"][plan.IMAGENET]
    curve = row["curve"]
    mean = f" (mean of {row['seeds']} seeds)" if row["seeds"] > 1 else ""
    return [
        f"From epoch 1 to {row['epochs']} the error{mean} {moved(curve['train'], 'pose')} on the training set and "
        f"{moved(curve['val'], 'pose')} on the evaluation set, "
        f"whose lowest value is {amount(min(curve['val']), 'pose')} in epoch {row['best_epoch']}.",
        target("regression", row["score"], found["conditions"]["pose"]),
    ]


def initialisation(found: dict) -> list[str]:
    """Item 2."""
    imagenet, scratch = (found["rows"][name] for name in (plan.IMAGENET, plan.SCRATCH))
    sentences = [compare("Training from ImageNet", imagenet, "training from scratch", scratch) + "."]
    faster, slower = (imagenet, scratch) if imagenet["score"] <= scratch["score"] else (scratch, imagenet)
    name = "ImageNet" if faster is imagenet else "scratch"
    reached = next((i for i, v in enumerate(faster["curve"]["val"], start=1) if v <= min(slower["curve"]["val"])), None)
    if reached:
        sentences.append(f"From {name} the other's best value is reached in epoch {reached} of {faster['epochs']}.")
    mean = found["baselines"].get("mean_pose_px")
    if mean:
        gains = f"{mean - imagenet['score']:.1f} px from ImageNet and {mean - scratch['score']:.1f} px from scratch"
        sentences.append(
            f"Always answering the mean pose of the training set errs by {mean:.1f} px; against that training gains "
            f"{gains}."
        )
    return sentences


def choices(found: dict) -> list[str]:
    """Item 3, the ablation."""
    rows = found["rows"]
    base = rows[plan.SOFTARGMAX]

    # The base at the seeds that changed rows have too
    changed = {r["words"]: r for r in rows.values() if r["ablation"]}
    paired = {name: r for name, r in changed.items() if measurements.shared_seeds(base, r)}
    others = {seed for r in paired.values() for seed in r["by_seed"]}
    seeds = [seed for seed in base["by_seed"] if seed in others] or list(base["by_seed"])
    score = measurements.score_at(base, seeds)
    at = f" ({seed_words(seeds)})" if len(seeds) < base["seeds"] else ""

    # What each change does to it
    changes = {name: measurements.change(r, base) for name, r in paired.items()}
    worse = sorted((name for name, d in changes.items() if d >= LEVEL * score), key=lambda name: -changes[name])
    better = sorted((name for name, d in changes.items() if d <= -LEVEL * score), key=changes.get)
    level = [name for name in changes if name not in (*worse, *better)]

    def told(names):
        return "; ".join(f"{name} ({changes[name]:+.1f} px)" for name in names)

    sentences = []
    if worse:
        sentences.append(f"Worse than the base of {score:.1f} px{at}: {told(worse)}.")
    if better:
        sentences.append(f"Better than the base of {score:.1f} px{at}: {told(better)}.")
    if level:
        sentences.append(f"Level with it (within {100 * LEVEL:.0f} %): {told(level)}.")
    alone = [name for name in changed if name not in paired]
    if alone:
        sentences.append(f"Not compared, for the base has no run of their seed: {'; '.join(alone)}.")
    if any(r["seeds"] == 1 for r in changed.values()):
        spread = ""
        if base["spread"] is not None:
            spread = f"; the base's {base['seeds']} seeds spread by {base['spread']:.1f} px"
        sentences.append(f"One seed a row: how far chance alone would move these numbers was not measured{spread}.")
    return sentences


def heads(found: dict) -> list[str]:
    """Item 3, regression against soft-argmax."""
    rows = found["rows"]
    best = measurements.best_softargmax(rows)
    base = rows.get(plan.SOFTARGMAX)
    regression = rows.get(plan.IMAGENET)
    sentences = []
    if base and regression:
        sentences.append(
            compare("Soft-argmax (base)", base, "scalar regression", regression)
            + ", on the same data, encoder and epochs."
        )
    if best and best != plan.SOFTARGMAX:
        row = rows[best]
        at = ""
        if base and set(row["by_seed"]) != set(base["by_seed"]):
            seeds = measurements.shared_seeds(row, base)
            at = f", against {amount(measurements.score_at(base, seeds), 'pose')} of the base ({seed_words(seeds)})"
        sentences.append(f"The best row of soft-argmax is: {row['words']}, {amount(row['score'], 'pose')}{at}.")
    if best:
        sentences.append(target("softargmax", rows[best]["score"], found["conditions"]["pose"]))
    return sentences


def maps(found: dict) -> list[str]:
    """Item 4, what the latent maps look like."""
    spreads = found.get("spreads", {})
    if plan.SOFTARGMAX not in spreads:
        return []
    base = spreads[plan.SOFTARGMAX]
    plain = spreads.get(plan.NO_REGULARISER)
    told = f"Around their mean the latent maps spread by {base:.0f} px (standard deviation along an axis) in the base"
    if plain is None:
        return [f"{told}."]
    told += f" and by {plain:.0f} px without the regulariser"
    if abs(plain / base - 1) <= LEVEL:
        return [f"{told}: level."]
    return [f"{told}, which {'narrows' if plain > base else 'widens'} them {max(plain / base, base / plain):.1f}-fold."]


def failures(found: dict) -> list[str]:
    """Item 4, what goes wrong in the best run of soft-argmax."""
    tables = found["rows"][measurements.best_softargmax(found["rows"])]["tables"]
    sentences = []
    shares = tables.get(measurements.CAUSES)
    if shares:
        wrong = sorted((cause for cause in shares if cause != "good"), key=lambda cause: -shares[cause])
        causes = ", ".join(f"{cause} {100 * shares[cause]:.0f} %" for cause in wrong)
        good = f"{100 * shares['good']:.0f} % of the labelled joints are as good as a human's"
        sentences.append(f"{good}; the others by cause: {causes}.")
    errors = {name: error for name, error in tables["MPJPE per joint (px)"].items() if math.isfinite(error)}
    joints = sorted(errors, key=errors.get)
    if len(joints) > 2:
        told = {name: f"{name.replace('_', ' ')} {error:.0f} px" for name, error in errors.items()}
        low = " and ".join(map(told.get, joints[:2]))
        high = " and ".join(map(told.get, joints[:-3:-1]))
        sentences.append(f"Easiest are {low}, hardest {high}.")
    return sentences


def overfitting(found: dict) -> list[str]:
    """Item 4, training against evaluation set, all rows of pose."""
    rows = {name: r for name, r in found["rows"].items() if r["task"] == "pose"}
    widest = max(rows.values(), key=lambda r: r["gap"])
    sentences = [f"Largest gap after the last epoch: {widest['words']}, {gap(widest)}."]
    beside = {"the base": rows.get(plan.SOFTARGMAX), "without augmentation": rows.get(plan.NO_AUGMENTATION)}
    others = [f"{words} {gap(r)}" for words, r in beside.items() if r and r is not widest]
    if others:
        sentences.append(f"Beside it: {', '.join(others)}.")
    rising = {}
    for r in rows.values():
        least = min(r["curve"]["val"])
        rise = r["curve"]["val"][-1] - least
        if rise > LEVEL * least:
            rising[r["words"]] = (rise, r["best_epoch"])
    if rising:
        told = "; ".join(f"{name} ({rise:+.1f} px since epoch {epoch})" for name, (rise, epoch) in rising.items())
        sentences.append(f"The evaluation error rose again in {len(rising)} of {len(rows)} rows: {told}.")
    else:
        risen = f"had the evaluation error risen again by over {100 * LEVEL:.0f} % at the end"
        sentences.append(f"In none of the {len(rows)} rows {risen}.")
    return sentences


def gap(row: dict) -> str:
    train, val = (row["curve"][split][-1] for split in ("train", "val"))
    return f"{signed(val - train, row['task'])} {UNITS[row['task']][0]} (training {train:.1f}, evaluation {val:.1f})"


def networks(found: dict) -> list[str]:
    """Item 5."""
    rows = found["rows"]
    pairs = (
        ("The decoder without skips", plan.ENCDEC, "the encoder alone", plan.FCN),
        ("With skips the decoder", plan.UNET, "without them", plan.ENCDEC),
    )
    sentences = [compare(a, rows[one], b, rows[other]) + "." for a, one, b, other in pairs if {one, other} <= set(rows)]
    known = [r for name, r in rows.items() if name in plan.SEGMENTATION]
    if "background_miou" in found["baselines"]:
        sentences.append(f"Answering background everywhere has {amount(found['baselines']['background_miou'], 'seg')}.")
    widest = max(known, key=lambda r: -r["gap"])
    train, val = (widest["curve"][split][-1] for split in ("train", "val"))
    sentences.append(f"Largest gap of training to evaluation set: {widest['words']}, {train:.3f} against {val:.3f}.")
    return sentences


ITEMS = {  # heading -> (rows without which it cannot be answered, sentences)
    "evolution": ((plan.IMAGENET,), evolution),
    "initialisation": ((plan.IMAGENET, plan.SCRATCH), initialisation),
    "choices": ((plan.SOFTARGMAX,), choices),
    "heads": ((plan.IMAGENET, plan.SOFTARGMAX), heads),
    "maps": ((plan.SOFTARGMAX,), maps),
    "failures": ((plan.SOFTARGMAX,), failures),
    "overfitting": ((plan.SOFTARGMAX,), overfitting),
    "networks": (plan.SEGMENTATION, networks),
}


def findings(found: dict) -> dict[str, list[str]]:
    """{part of the report: sentences}; a part whose runs are missing says which and why.

    Args:
        found: of `measurements.collect`, with "spreads": {row: px} where latent maps were measured.
    """
    result = {}
    for name, (needed, sentences) in ITEMS.items():
        missing = [row for row in needed if row not in found["rows"]]
        reasons = "; ".join(f"{row}: {found['failed'].get(row, 'not trained')}" for row in missing)
        result[name] = [f"Not answered, for runs are missing. {reasons}."] if missing else sentences(found)
    return result
