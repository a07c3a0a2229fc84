"""Every architecture in every form of export: what works, how exactly, how large and how fast it is.

python -m kzoo.export_matrix       # all of them into docs/export.md: half an hour on one core
python -m kzoo.export_matrix --task=seg --arch=unet,segnet --formats=onnx --out=some.md

Networks are small, their weights random: no data set, no training. Each one gets pre- and post-processing
(`kzoo.export.serving`), is written, opened in the form's own runtime, and compared with the network between NumPy's and
OpenCV's pre- and post-processing, on pictures of its size and, where the runtime takes them, of another one. Every
network has a process of its own; where that dies or takes too long, the form it was at has failed and a new process
goes on with the next. What is in <out>.json is not measured again; --fresh starts anew.
"""

import pathlib

from absl import flags

from kzoo import UserError, cli, files
from kzoo.cli import frameworks
from kzoo.training import catalogue, interruption

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    flags.DEFINE_list("task", [], "only these tasks")
    flags.DEFINE_list("arch", [], "only these architectures")
    flags.DEFINE_list("formats", [], "only these forms of export, of those that --export of eval.py knows")
    cli.DEFINE_path("out", "docs/export.md", "Markdown file; what it says outside of the table is kept")
    flags.DEFINE_integer(
        "limit", 600, "seconds that one network may take for one form", lower_bound=1, upper_bound=cli.LARGEST_COUNT
    )
    flags.DEFINE_bool("fresh", False, "measure again what was measured before")
    flags.DEFINE_string(
        "child",
        None,
        "<task>/<arch>: measure this one alone, in this process, into --out; how the program calls itself",
    )


def main():
    known = catalogue.names_in("export/formats", "EXPORTS")
    forms = [name.strip() for name in FLAGS.formats] or list(known)
    for form in forms:
        cli.check_name(known, form, "formats")
    for task in FLAGS.task:
        cli.check_name(catalogue.tasks(), task, "task")
    for arch in FLAGS.arch:
        cli.check_name([name for task in catalogue.tasks().values() for name in task.archs], arch, "arch")
    out = pathlib.Path(FLAGS.out)
    if not out.name or out.is_dir():
        raise UserError(f"--out={FLAGS.out} must be a Markdown file, docs/export.md for instance")
    files.check_writable(out.parent)
    task, _, arch = (FLAGS.child or "").partition("/")
    if FLAGS.child:
        cli.check_name(catalogue.tasks(), task, "child")
        cli.check_name(catalogue.tasks()[task].archs, arch, "child")
    frameworks.start()
    from kzoo.export import matrix

    if FLAGS.child:
        matrix.measure(task, arch, forms, FLAGS.out)
        return
    with interruption.told(lambda: "stopped; what was measured is kept, the same command goes on (without --fresh)"):
        results = matrix.update(
            FLAGS.out, tasks=FLAGS.task, archs=FLAGS.arch, forms=forms, limit=FLAGS.limit, fresh=FLAGS.fresh
        )
    failed = sum("error" in row for rows in results.values() for row in rows.values())
    print(f"wrote {FLAGS.out}: {len(results)} networks, {failed} failures")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
