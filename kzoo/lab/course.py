"""The lab course's report: which runs it needs, trained and put on two pages."""

import pathlib
import shlex

from kzoo import UserError, cli, files
from kzoo.cli import frameworks
from kzoo.datasets.about import OFFICIAL
from kzoo.lab import plan
from kzoo.runs import Run
from kzoo.training import catalogue, checks


def lab(settings: plan.Settings, out="report.pdf", work=None) -> dict:
    """Train what is not trained yet and write the report.

    Args:
        settings: what to train on and how; out: path of the PDF; work: folder of the runs.
    Returns:
        the content of the JSON file beside the PDF.
    Raises:
        UserError: before anything is trained, for settings that cannot give the report or differ from those of the runs
        in `work`.
    """
    out = pathlib.Path(out)
    if out.suffix != ".pdf":
        raise UserError(f"--out={out} must end with .pdf")
    work = pathlib.Path(work or out.with_name(f"{out.stem}-runs"))
    settings.check()
    check_encoder_name(settings)
    checks.parent(settings.data_dir, "data_dir")
    if not pathlib.Path(settings.data_source).exists() and settings.data_source != OFFICIAL:
        raise UserError(f"no data at --data_source={settings.data_source!r}; give a COCO folder or coco_subset.zip")
    for folder in (out.parent, work):
        files.check_writable(folder)
    frameworks.start()

    from kzoo.data import builders as data_sets  # slow: only once the flags are known to be sound
    from kzoo.lab import findings, measurements, pages, runner

    # What to train on, and which runs
    pages.needed()
    check_encoder(settings)
    builders = {}
    sizes = {}
    for task in plan.BUDGETS["quick"].flags:
        builder = data_sets.prepare(f"coco_subset/{task}", settings.data_dir, settings.data_source or None)
        builders[task] = builder
        sizes[task] = {split: data_sets.size_of(builder, split) for split in ("train", "val")}
    planned = plan.runs(settings, sizes)
    plan.keep(work, settings, planned)

    # The runs
    done = sum(runner.is_finished(work / one.name) for one in planned)
    takes = plan.BUDGETS[settings.budget].takes
    print(f"{len(planned)} runs in {work}, {done} of them finished; all take {takes}", flush=True)
    failed = runner.work(work, planned)

    # Their numbers, and the pages
    found = measurements.collect(work, settings, planned, failed, builders)
    if not found["rows"]:
        reasons = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise UserError(f"no run has ended, so there is nothing to report: {reasons}")
    poses, pictures = look(work, found, settings.data_dir)
    told = findings.findings(found)
    command = command_of(settings, out, work)
    result = {**found, "findings": told, "command": command, "pages": None}
    files.write_json(out.with_suffix(".json"), result)  # the numbers stay where the pages cannot be laid out
    result["pages"] = pages.write(out, found, told, command, pages.figures_of(found, poses, pictures))
    files.write_json(out.with_suffix(".json"), result)
    return result


def check_encoder_name(settings: plan.Settings):
    """Raises UserError where there is no such encoder, or it has no weights of ImageNet and no others are given."""
    known = catalogue.encoders()
    cli.check_name(known, settings.encoder, "encoder")
    if settings.encoder_weights == "imagenet" and not known[settings.encoder]:
        able = ", ".join(name for name, imagenet in known.items() if imagenet)
        raise UserError(
            f"there are no ImageNet weights for --encoder={settings.encoder}; give --encoder_weights=<file>, "
            f"or one of: {able}"
        )


def check_encoder(settings: plan.Settings):
    """Build the encoder with its weights, which may download them.

    Raises:
        UserError: the weights are not its own.
    """
    import keras

    from kzoo.nn import encoders

    encoders.encode(keras.Input((64, 64, 3), dtype="uint8"), settings.encoder, settings.encoder_weights)


def look(work: pathlib.Path, found: dict, data_dir: str | None) -> tuple[dict | None, dict | None]:
    """Examples of the runs, see `kzoo.lab.examples`; adds the spread of the latent maps to `found`. None where the runs
    are missing."""
    from kzoo.lab import examples, measurements

    rows = found["rows"]
    poses = pictures = None

    def opened(*names) -> dict[str, Run]:
        return {name: Run.open(work / rows[name]["run"]) for name in names if name in rows}

    best = measurements.best_softargmax(rows)
    if best:
        poses = examples.poses(opened(best)[best], data_dir)
        median = poses["persons"][len(poses["persons"]) // 2]["image"]
        poses["compared"] = {}
        found["spreads"] = {}
        for name, run in opened(plan.SOFTARGMAX, plan.NO_REGULARISER).items():
            found["spreads"][name] = examples.map_spread(run, data_dir)
            poses["compared"][name] = examples.maps_of(run, [median], data_dir)[0]
    networks = opened(plan.UNET, plan.ENCDEC, plan.FCN)
    if networks:
        pictures = examples.segmentations(networks, data_dir)
    return poses, pictures


def command_of(settings: plan.Settings, out: pathlib.Path, work: pathlib.Path) -> str:
    """The line that makes this report again."""
    given = {**vars(settings), "work": work, "out": out}
    return "python -m kzoo.lab " + " ".join(
        f"--{name}={shlex.quote(str(value))}" for name, value in given.items() if value is not None
    )
