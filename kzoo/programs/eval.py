"""Score a trained run: exact scores, pictures, export. Exit code 1 where an export could not be made.

python eval.py --run=runs/<name> --split=val --tta=flip --pictures=16
python eval.py --run=runs/<name> --export=saved_model,onnx,litert
python eval.py --run=runs/<name> --decoder=all
python eval.py --run=runs/<name> --tta=all --size=384x512
"""

import dataclasses
import importlib.util
import pathlib
import sys

from absl import flags

from kzoo import UserError, cli, files, runs
from kzoo.cli import frameworks
from kzoo.runs import Run
from kzoo.training import catalogue, checks, interruption

FLAGS = flags.FLAGS
PACKAGES = {"onnx": ("tf2onnx", "onnxruntime"), "litert": ("ai-edge-litert",)}  # form of export -> that it needs


def define_flags():
    """Not on import: other programs have flags of these names."""
    cli.DEFINE_path("run", None, "run folder that train.py wrote")
    flags.DEFINE_string("split", None, "TFDS split; slices like val[:100] are allowed (default: the run's --val_split)")
    flags.DEFINE_string(
        "size", None, "of the pictures in pixels: side of a square or <height>x<width> (default: the run's)"
    )
    flags.DEFINE_string(
        "tile",
        None,
        "put the answer together from overlapping tiles of this size, for pictures too large for memory (seg)",
    )
    flags.DEFINE_integer(
        "overlap",
        None,
        "of the tiles in pixels (default: half of a tile)",
        lower_bound=0,
        upper_bound=cli.LARGEST_COUNT,
    )
    flags.DEFINE_enum(
        "tta",
        "none",
        ["none", "flip", "flip_shift", "scales", "color_pca", "crops", "all"],
        "test-time augmentation, averaged in probability. flip: the mirrored picture; flip_shift (pose): its heat maps "
        "moved by a cell first, "
        "which makes up for corner-aligned pipelines and which ours does not need. seg: scales (0.75, 1.25), color_pca "
        "(4 colours), crops "
        "(corners and centre), all: everything, with a table of what each brings per forward pass",
    )
    flags.DEFINE_string(
        "decoder",
        None,
        "from heat maps to joints: argmax, quarter, dark, udp, softargmax, debiased_softargmax; coords: the network's "
        "own; all: a "
        "table of them (default: coords where the network emits them, else dark)",
    )
    flags.DEFINE_integer(
        "pictures", 0, "examples to draw: best, median and worst", lower_bound=0, upper_bound=cli.LARGEST_COUNT
    )
    flags.DEFINE_list(
        "export",
        [],
        "some of saved_model, onnx, litert: written to the run folder with pre- and post-processing inside, checked in "
        "their own runtimes",
    )
    flags.DEFINE_bool(
        "export_raw", False, "exports also give the network's outputs as they are, logits and heat maps, as raw_<name>"
    )
    flags.DEFINE_integer(
        "export_examples",
        64,
        "examples of the split that each export is compared with predict on",
        lower_bound=1,
        upper_bound=cli.LARGEST_COUNT,
    )
    flags.DEFINE_integer("batch_size", 32, "examples a step", lower_bound=1, upper_bound=cli.LARGEST_BATCH)
    cli.DEFINE_path("data_dir", None, "where prepared data sets lie (default: the run's)")
    cli.DEFINE_path("out", None, "folder of report and pictures (default: the run folder)")


def evaluate(
    run: Run,
    *,
    pictures: int = 0,
    export: tuple[str, ...] = (),
    export_raw: bool = False,
    export_examples: int = 64,
    out=None,
    **conditions,
):
    """Score a run on a split, export it, write the report and draw.

    Args:
        pictures: examples to draw; export: keys of `kzoo.export.formats.EXPORTS`, written to the run folder;
        export_raw, export_examples: see `kzoo.export.exporting.export`; out: folder of report and figures in place of
        the run's; conditions: of the score, see `kzoo.evaluation.scoring.score`.
    Returns:
        `kzoo.evaluation.scoring.Result`.
    """
    if out and pathlib.Path(out).resolve() == run.folder.resolve():
        out = None
    files.check_writable(out or run.folder)  # before the work
    if export:
        files.check_writable(run.folder)
    if out:
        run.check_out(out)
    else:
        _ = run.reports  # damage is told before the work
    from kzoo.evaluation import drawing, scoring, writing  # slow: only once the flags are known to parse

    if export:  # TensorFlow alone can export, so other backends do without
        from kzoo.export import exporting

        at = exporting.check(run, export, conditions.get("size"))
    scored = scoring.score(run, **conditions)
    if export:
        examples = scored.first(export_examples)
        rows, failed = exporting.export(
            run, export, shape=at, decoder=scored.result.decoder, examples=examples, raw=export_raw
        )
        result = dataclasses.replace(scored.result, export=rows, export_failed=failed)
        scored = dataclasses.replace(scored, result=result)
    scored = writing.keep(run, scored, out)
    drawing.draw(run, scored, pictures, out)
    return scored.result


def check(forms: tuple[str, ...]):
    """Mistakes that can be told before a framework starts. Raises UserError."""
    for form in forms:
        cli.check_name(catalogue.names_in("export/formats", "EXPORTS"), form, "export")
    packages = [name for form in forms for name in PACKAGES.get(form, ())]
    missing = [name for name in packages if not importlib.util.find_spec(name.replace("-", "_"))]
    if missing:
        raise UserError(f"--export={','.join(forms)} needs what is not installed: pip install {' '.join(missing)}")
    if FLAGS.decoder:
        cli.check_name((*catalogue.decoders(), "all"), FLAGS.decoder, "decoder")
    for size in (FLAGS.size, FLAGS.tile):
        cli.shape_of(size or 1)
    checks.split(FLAGS.split, "split")
    checks.parent(FLAGS.data_dir, "data_dir")


def places(run: Run, result, out) -> str:
    """Where the report of a result is."""
    if out:
        return f"the report to {out}/"
    if not result.condition:
        return f"the training's own report, {run.folder}/{runs.REPORT_TEXT}"
    return (
        f"{run.folder}/{runs.REPORTS}/{result.condition}.md, pictures beside it in {result.condition}/; compare with "
        f"--condition={result.condition} of kzoo.report"
    )


def main():
    if not FLAGS.run:
        raise UserError("--run=<run folder> is needed")
    run = Run.open(FLAGS.run)
    forms = tuple(form.strip() for form in FLAGS.export)
    check(forms)
    names = ("split", "size", "tta", "decoder", "tile", "overlap", "batch_size", "data_dir")
    names += ("pictures", "export_raw", "export_examples", "out")
    files.check_writable(FLAGS.out or run.folder)  # before a framework starts
    with interruption.told(lambda: f"stopped; {run.folder} is whole, what was not finished is as it was before"):
        frameworks.start()
        result = evaluate(run, export=forms, **{name: FLAGS[name].value for name in names})

    from kzoo.evaluation import report

    print(report.text(result.to_json()))
    print(f"wrote {places(run, result, FLAGS.out)}")
    for form, row in (result.export or {}).items():
        print(f"exported {form} to {FLAGS.run}/{row['file']}")
    for form, reason in (result.export_failed or {}).items():
        print(f"eval.py: no {form}: {' '.join(reason.split())}", file=sys.stderr)
    if result.export_failed:
        sys.exit(1)
    if run.reads in (("image",), ("frames",)):
        print(f"next: {cli.command('predict', f'--run={run.folder}', '--images=photos', '--out=answers')}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
