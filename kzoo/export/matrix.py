"""Every architecture in every form of export: what works, how exactly, how large and how fast it is."""

import json
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata

from kzoo import UserError, cli, files

FORMS = ("saved_model", "onnx", "litert")
PACKAGES = ("kzoo", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy")
BEGIN, END = (
    "<!-- export matrix -->",
    "<!-- end of the export matrix -->",
)  # in a document that has more to say, the table stands between
SMALL = {
    "encoder": "small",
    "stacks": 2,
    "stages": 2,
    "depth": 2,
    "classes": 7,
    "kernels": (5, 5, 5, 5),
}  # hyperparameters, where a network has them
NARROW = (
    "width",
    "branch_width",
    "low_width",
    "fc_width",
    "features",
    "units",
    "filters",
    "channels",
    "widths",
    "refine_widths",
)
NARROWEST = 24  # these are at most so large
OTHER_SIZE = (
    1.4,
    1.2,
)  # times the network's height and width: not so large that pictures are shrunk by a power of 2 first
EXAMPLES = 4
FAR = 1e-3  # differences above get a note
EXPLAINED = {  # words of a note -> why it is so
    "seg/segnet": "A max-unpooling puts values where the encoder's window was highest. Where two pixels of a window are equal but for the "
    "last bit, another order of summation picks the other one, and all that lies above changes. TensorFlow does so to itself: with "
    "TF_ENABLE_ONEDNN_OPTS=0 predict differs from predict by as much."
}


def tiny(task: str, arch: str, **options):
    """A network of an architecture in small: few channels and stacks, the smallest encoder, seeded random weights,
    float32."""
    import keras

    from kzoo import runs, tasks
    from kzoo.training import networks

    row = tasks.TASKS[task]
    function, shape = cli.pick(row.archs, arch, "arch"), (*row.example.frames_for(arch), *row.example.size)
    defaults = function.__kwdefaults__ or {}
    narrow = {name: _narrow(defaults[name]) for name in NARROW if defaults.get(name)}
    small = {**narrow, **{name: value for name, value in SMALL.items() if name in defaults}}
    keras.utils.set_random_seed(0)
    with runs.float32():
        return networks.build(row, arch, shape, row.example.units, **{**small, **options})


def _narrow(width):
    return min(width, NARROWEST) if isinstance(width, int | float) else tuple(min(each, NARROWEST) for each in width)


def random_inputs(model, size: tuple[int, int] | None = None):
    """Seeded inputs of a network, of pictures of another `size` where it is given: (EXAMPLES, …), or {input name: …} of
    several."""
    import keras
    import numpy as np

    random = np.random.default_rng(0)

    def drawn(tensor):
        shape = list(tensor.shape[1:])
        if size:
            shape[-3:-1] = size
        if tensor.dtype != "uint8":
            return random.uniform(0, 1, (EXAMPLES, *shape)).astype(tensor.dtype)
        return random.integers(0, 256, (EXAMPLES, *shape), dtype="uint8")

    return keras.tree.map_structure(drawn, model.input)


def by_predict(task, model, decoder, pictures) -> dict:
    """Answers for pictures of any size, (N, [T,] H, W, 3) uint8, as `kzoo.predict` comes to them."""
    import numpy as np

    from kzoo.data.image_io import to_input
    from kzoo.export import formats
    from kzoo.nn import geometry

    shape, size = model.inputs[0].shape[-3:-1], pictures.shape[-3:-1]
    fitted = [to_input(picture, shape) for picture in pictures.reshape(-1, *pictures.shape[-3:])]
    inputs = np.stack([image for image, _ in fitted]).reshape(*pictures.shape[:-3], *shape, 3)
    answers, matrix = formats.decoded(task, model.predict_on_batch(inputs), decoder), fitted[0][1]
    if "coords" in answers:
        answers["coords"] = (geometry.transform_points(matrix, answers["coords"]) / size[::-1]).astype("float32")
    if "classes" in answers:
        answers["classes"] = np.stack([geometry.classes_at(classes, matrix, size) for classes in answers["classes"]])
    return answers


def measure(task_name: str, arch: str, forms, path):
    """Measure one architecture in this process, {form: row} into a JSON file that is rewritten after each form.

    A row is {"error": one line} or {"difference": {output: see `formats.difference`}, "other_size": {…} or None, "mib",
    "ms"}.
    """
    import keras

    from kzoo import tasks
    from kzoo.export import formats, serving
    from kzoo.inference import predictors
    from kzoo.training import networks

    results, task = {}, tasks.TASKS[task_name]
    model = tiny(task_name, arch)
    (decoder,) = predictors.decoders_of(model, None)
    inputs = random_inputs(model)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)  # averages become those of these pictures, so that answers are of usual sizes
    outputs = model.predict_on_batch(inputs)
    raw = tuple(name for name in outputs if task.outputs[name].served)
    expected = formats.decoded(task, outputs, decoder) | {f"raw_{name}": outputs[name] for name in raw}
    for form in forms:
        try:
            network = model
            if formats.EXPORTS[form].portable and "portable" in networks.hyperparameters_of(task.archs[arch]):
                network = tiny(task_name, arch, portable=True)
                network.set_weights(model.get_weights())
            network = serving.served(network, task, decoder, any_size=formats.EXPORTS[form].any_size, raw=raw)
            with tempfile.TemporaryDirectory() as folder:
                artefact = pathlib.Path(folder) / formats.EXPORTS[form].file
                row, _ = formats.written(form, network, artefact, inputs, expected, formats.as_predictions)
                row["other_size"] = _other_size(task, model, decoder, formats.EXPORTS[form], artefact)
            results[form] = row
        except UserError as error:
            results[form] = {"error": str(error)}
        files.write_json(path, results)


def _other_size(task, model, decoder, form, artefact) -> dict | None:
    from kzoo.export import formats, serving

    if not (form.any_size and serving.takes_any_size(model)):
        return None
    size = tuple(int(factor * side) for factor, side in zip(OTHER_SIZE, model.inputs[0].shape[-3:-1], strict=True))
    inputs = random_inputs(model, size)
    expected = by_predict(task, model, decoder, inputs)
    found = formats.as_predictions(formats.run_in_batches(form.open(artefact), inputs, form.batch))
    formats.check(expected, found)
    return {name: formats.difference(value, found[name]) for name, value in expected.items()}


def in_child(task: str, arch: str, forms, limit: float, command=(sys.executable, "-m", "kzoo.export_matrix")) -> dict:
    """{form: row} of `measure`, by processes of their own."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "results.json"
        while missing := [form for form in forms if form not in results]:
            call = [*command, f"--child={task}/{arch}", f"--formats={','.join(missing)}", f"--out={path}"]
            try:
                ended = subprocess.run(
                    call, capture_output=True, text=True, errors="replace", timeout=limit * len(missing)
                )
                reason = _last_words(ended)
            except subprocess.TimeoutExpired:
                reason = f"the process took more than {limit:g} s a form"
            if path.exists():
                results |= files.read_json(path)
                path.unlink()
            left = [form for form in missing if form not in results]
            if left:
                results[left[0]] = {"error": reason}
    return results


def _last_words(ended: subprocess.CompletedProcess) -> str:
    code = ended.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    lines = [
        line for line in ended.stderr.splitlines() if line.strip() and not re.match(r"WARNING|[IWE]\d{4} ", line)
    ]  # TensorFlow's log
    return f"the process {how}" + (f": {lines[-1].strip()[:200]}" if lines else "")


def table(results: dict, forms) -> str:
    """Markdown: a row for each network, and what failed or is far from `predict`, with the upstream error and why it is
    so."""
    from kzoo.evaluation import tables

    rows, notes = [], []
    for key, found in results.items():
        rows.append(key.split("/"))
        for form in forms:
            cell, note = _cell(found.get(form))
            if note:
                note = f"`{key}` to {form}: {note}"
                notes.append(note + next((f"\n   Why: {why}" for words, why in EXPLAINED.items() if words in note), ""))
                cell += f" ({len(notes)})"
            rows[-1].append(cell)
    numbered = "".join(f"{number}. {note}\n" for number, note in enumerate(notes, start=1))
    return f"{tables.markdown_table(['task', 'arch', *forms], rows)}\n{numbered or 'Nothing failed.'}"


def _cell(row: dict | None) -> tuple[str, str]:
    """Largest difference, size, latency; and what is to be told of them."""
    if row is None or "error" in row:
        return ("fails", row["error"]) if row else ("not measured", "")
    everything = [*row["difference"].items(), *(row["other_size"] or {}).items()]
    far = ", ".join(f"{name} differs by up to {value:.0e}" for name, value in everything if value > FAR)
    return f"{max(value for _, value in everything):.0e}, {row['mib']:.2g} MiB, {row['ms']:.2g} ms", far


def document(kept: dict, forms) -> str:
    """The table and how it came about."""
    versions = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    return (
        f"{BEGIN}\n{table(kept['results'], forms)}\nA cell: largest difference to `predict` over all answers and raw outputs (of classes "
        "the share that differ), size on disk, milliseconds for one example (median after warm-up). Networks are small and have random "
        f"weights: sizes and times compare forms, not architectures.\nMeasured {kept['date']} by `python -m kzoo.export_matrix` on "
        f"{kept['device']}: {versions}.\n{END}\n"
    )


def with_place(out) -> str:
    """The text of a document that has a place for the table, or none yet. Raises UserError where it has no place."""
    text = pathlib.Path(out).read_text() if pathlib.Path(out).exists() else ""
    if text and BEGIN not in text:
        raise UserError(f"--out={out} has no line {BEGIN!r}, where the table would stand; add it, or name another file")
    return text


def write(out, kept: dict, forms):
    """Put the table into a document, in place of the one that is there."""
    before, begins, rest = with_place(out).partition(BEGIN)
    new = document(kept, forms)
    files.write_text(out, before + new.rstrip("\n") + rest.partition(END)[2] if begins else new)


def kept_results(path, wanted, forms, fresh: bool) -> dict:
    """What was measured before with these versions and stays, or the frame for it.

    Raises:
        UserError: a package of the export is missing, the file is another one, or a part is asked for beside results of
        other versions.
    """
    from kzoo.export import formats

    try:
        versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}
    except metadata.PackageNotFoundError as error:
        raise UserError(f"the matrix needs {error.name}: pip install 'kzoo[export]'") from error
    if path.exists():
        kept = json.loads(path.read_text())
        if not isinstance(kept, dict) or not {"versions", "results"} <= set(kept):
            raise UserError(f"{path} is not of an export matrix; give another --out")
        if kept["versions"] == versions:
            for task, arch in wanted if fresh else ():
                for form in forms:
                    kept["results"].get(f"{task}/{arch}", {}).pop(form, None)
            return kept
        if set(kept["results"]) - {f"{task}/{arch}" for task, arch in wanted} or set(forms) < set(FORMS):
            raise UserError(
                f"{path} holds results of other versions, which a part would replace; measure all, or give another --out"
            )
    device = f"a CPU ({platform.machine()}), threads: {formats.threads()}"
    return {"versions": versions, "date": time.strftime("%Y-%m-%d"), "device": device, "results": {}}


def cases(task_names, archs) -> list[tuple[str, str]]:
    """(task, arch) of the table of tasks, those asked for."""
    from kzoo.tasks import TASKS

    for name in task_names:
        cli.pick(TASKS, name, "task")
    everything = [(task, arch) for task in TASKS if task in task_names or not task_names for arch in TASKS[task].archs]
    for name in archs:
        cli.pick(dict((arch, task) for task, arch in everything), name, "arch")
    return [(task, arch) for task, arch in everything if arch in archs or not archs]
