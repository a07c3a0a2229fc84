"""The lab course's report: trains what its five items need and writes two pages of answers.

python -m kzoo.lab --data_source=<COCO folder or the lab's coco_subset.zip> --out=report.pdf --budget=quick
python -m kzoo.lab --data_source=… --encoder=mobilenetv2 --encoder_weights=<file> --out=report.pdf

After Ctrl-C, a crash or kill -9 the same command goes on: finished runs stay, the one that was cut is continued.
"""

import pathlib
import shlex
import sys
import tempfile

from absl import flags

from kzoo import UserError, cli, files
from kzoo.course import plan

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    flags.DEFINE_string("data_source", None, "a COCO folder with annotations/ and images/, or the lab's coco_subset.zip")
    flags.DEFINE_string("data_dir", None, "where prepared data sets lie (default: ~/tensorflow_datasets)")
    flags.DEFINE_string("out", "report.pdf", "the report; its numbers go to <the same name>.json")
    flags.DEFINE_enum("budget", "quick", list(plan.BUDGETS), "quick: small pictures, part of the data; full: the course's setting")
    flags.DEFINE_string("encoder", "resnet50", "see kzoo/encoders.py; one with ImageNet weights, or any with a file of its own")
    flags.DEFINE_string("encoder_weights", "imagenet", "imagenet or a weights file")
    flags.DEFINE_string("work", None, "folder of the runs (default: <name of the report>-runs beside it)")
    flags.DEFINE_integer("seed", 0, "of the runs; --budget=full takes the next ones too", lower_bound=0)


def lab(settings: plan.Settings, out="report.pdf", work=None) -> dict:
    """Train what is not trained yet and write the report.

    Args:
        settings: what to train on and how; out: path of the PDF; work: folder of the runs.
    Returns:
        the content of the JSON file beside the PDF.
    Raises:
        UserError: before anything is trained, for settings that cannot give the report or differ from those of the runs in `work`.
    """
    out = pathlib.Path(out)
    if out.suffix != ".pdf":
        raise UserError(f"--out={out} must end with .pdf")
    work = pathlib.Path(work or out.with_name(f"{out.stem}-runs"))
    settings.check()
    try:  # hours of training should not end at a report that cannot be written
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise UserError(f"could not write to {out.parent}, where --out lies: {error.strerror}") from error

    from kzoo import data  # slow: only once the flags are known to be sound
    from kzoo.course import findings, numbers, pages, runner

    pages.needed()
    check_encoder(settings)
    builders = {
        task: data.prepare(f"coco_subset/{task}", settings.data_dir, settings.data_source or None) for task in plan.BUDGETS["quick"].flags
    }
    sizes = {task: {split: data.size_of(builder, split) for split in ("train", "val")} for task, builder in builders.items()}
    planned = plan.runs(settings, sizes)
    plan.keep(work, settings, planned)
    done = sum(runner.is_finished(work / run.name) for run in planned)
    print(f"{len(planned)} runs in {work}, {done} of them finished; all take {plan.BUDGETS[settings.budget].takes}", flush=True)
    failed = runner.work(work, planned)

    found = numbers.collect(work, settings, planned, failed, builders)
    if not found["rows"]:
        raise UserError(f"no run has ended, so there is nothing to report: {'; '.join(f'{n}: {why}' for n, why in failed.items())}")
    poses, pictures = look(work, found, settings.data_dir)
    told, command = findings.findings(found), command_of(settings, out, work)
    result = {**found, "findings": told, "command": command, "pages": None}
    files.write_json(out.with_suffix(".json"), result)  # the numbers stay where the pages cannot be laid out
    result["pages"] = pages.write(out, found, told, command, pages.figures_of(found, poses, pictures))
    files.write_json(out.with_suffix(".json"), result)
    return result


def check_encoder(settings: plan.Settings):
    """Build the encoder with its weights, which may download them.

    Raises:
        UserError: there is no such encoder, or the weights are not its own.
    """
    import keras

    from kzoo import encoders

    encoder = cli.pick(encoders.ENCODERS, settings.encoder, "encoder")
    if settings.encoder_weights == "imagenet" and not encoder.imagenet:
        able = ", ".join(name for name, other in encoders.ENCODERS.items() if other.imagenet)
        raise UserError(f"there are no ImageNet weights for --encoder={settings.encoder}; give --encoder_weights=<file>, or one of: {able}")
    encoders.encode(keras.Input((64, 64, 3), dtype="uint8"), settings.encoder, settings.encoder_weights)


def look(work: pathlib.Path, found: dict, data_dir: str | None) -> tuple[dict | None, dict | None]:
    """Examples of the runs, see `kzoo.course.examples`; adds the spread of the latent maps to `found`. None where the runs are missing."""
    from kzoo.course import examples, numbers

    rows, poses, pictures = found["rows"], None, None
    if best := numbers.best_softargmax(rows):
        poses = examples.poses(work / rows[best]["run"], data_dir)
        median, poses["compared"], found["spreads"] = len(poses["persons"]) // 2, {}, {}
        for name in (plan.SOFTARGMAX, plan.NO_REGULARISER):
            if name in rows:
                opened = examples.Opened(work / rows[name]["run"], data_dir)
                found["spreads"][name] = examples.map_spread(opened)
                poses["compared"][name] = examples.maps_of(opened, [poses["persons"][median]["image"]])[0]
    folders = {name: work / rows[name]["run"] for name in (plan.UNET, plan.ENCDEC, plan.FCN) if name in rows}
    if folders:
        pictures = examples.segmentations(folders, data_dir)
    return poses, pictures


def command_of(settings: plan.Settings, out: pathlib.Path, work: pathlib.Path) -> str:
    """The line that makes this report again."""
    given = {**vars(settings), "work": work, "out": out}
    return "python -m kzoo.lab " + " ".join(f"--{name}={shlex.quote(str(value))}" for name, value in given.items() if value is not None)


def main():
    names = ("data_source", "budget", "encoder", "encoder_weights", "seed", "data_dir")
    cli.hear_signals()
    result = lab(plan.Settings(**{name: FLAGS[name].value for name in names}), FLAGS.out, FLAGS.work)
    for lines in result["findings"].values():
        print(" ".join(lines))
    out = pathlib.Path(FLAGS.out)
    print(f"wrote {out} ({result['pages']} pages, {out.stat().st_size / 1e6:.1f} MB) and {out.with_suffix('.json')}")
    if result["failed"]:
        print(f"{', '.join(result['failed'])} failed; the same command tries again", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    cli.run(main)
