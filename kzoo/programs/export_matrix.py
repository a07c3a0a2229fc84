"""Every architecture in every form of export: what works, how exactly, how large and how fast it is.

python -m kzoo.export_matrix                                     # all of them into docs/export.md: half an hour on one core
python -m kzoo.export_matrix --task=seg --arch=unet,segnet --formats=onnx --out=some.md

Networks are small, their weights random: no data set, no training. Each one gets pre- and post-processing
(`kzoo.export.serving`), is written, opened in the form's own runtime, and compared with the network between NumPy's and
OpenCV's pre- and post-processing, on pictures of its size and, where the runtime takes them, of another one. Every
network has a process of its own; where that dies or takes too long, the form it was at has failed and a new process
goes on with the next. What is in <out>.json is not measured again; --fresh starts anew.
"""

import pathlib

from absl import flags

from kzoo import cli, files
from kzoo.export.matrix import FORMS, cases, in_child, kept_results, measure, with_place, write

FLAGS = flags.FLAGS


def define_flags():
    """Not on import: other programs have flags of these names."""
    flags.DEFINE_list("task", [], "only these tasks")
    flags.DEFINE_list("arch", [], "only these architectures")
    flags.DEFINE_list("formats", list(FORMS), f"of {', '.join(FORMS)}")
    flags.DEFINE_string("out", "docs/export.md", "Markdown file; what it says outside of the table is kept")
    flags.DEFINE_integer("limit", 600, "seconds that one network may take for one form", lower_bound=1)
    flags.DEFINE_bool("fresh", False, "measure again what was measured before")
    flags.DEFINE_string(
        "child",
        None,
        "<task>/<arch>: measure this one alone, in this process, into --out; how the program calls itself",
    )


def main():
    forms = [cli.pick({form: form for form in FORMS}, name.strip(), "formats") for name in FLAGS.formats]
    if FLAGS.child:
        task, _, arch = FLAGS.child.partition("/")
        measure(task, arch, forms, FLAGS.out)
        return
    from tqdm.auto import tqdm

    wanted = cases(FLAGS.task, FLAGS.arch)
    cache = pathlib.Path(FLAGS.out).with_suffix(".json")
    with_place(FLAGS.out)
    results = (kept := kept_results(cache, wanted, forms, FLAGS.fresh))["results"]
    for task, arch in (bar := tqdm(wanted, unit="arch", dynamic_ncols=True)):
        bar.set_postfix_str(f"{task}/{arch}")
        found = results.setdefault(f"{task}/{arch}", {})
        missing = [form for form in forms if form not in found]
        if missing:
            found |= in_child(task, arch, missing, FLAGS.limit)
            files.write_json(cache, kept)
    order = [f"{task}/{arch}" for task, arch in cases((), ())]
    kept["results"] = {key: results[key] for key in order if key in results}
    write(FLAGS.out, kept, [form for form in FORMS if any(form in found for found in results.values())])
    failed = sum("error" in row for found in results.values() for row in found.values())
    print(f"wrote {FLAGS.out}: {len(results)} networks, {failed} failures")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
