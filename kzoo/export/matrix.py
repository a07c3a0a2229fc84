"""Every architecture in every form of export: what works, how exactly, how large and how fast it is."""

import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata

import keras
import numpy as np
from tqdm.auto import tqdm

from kzoo import UserError, cli, files
from kzoo.data.image_io import to_input
from kzoo.evaluation import child, costs
from kzoo.export import exporting, formats, matrix_document, serving
from kzoo.inference import predictors
from kzoo.nn import geometry
from kzoo.tasks import TASKS
from kzoo.training import environment, networks

PACKAGES = ("kzoo", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy")
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
# Times the network's height and width: not so large that pictures are shrunk by a power of 2 first.
OTHER_SIZE = (1.4, 1.2)
EXAMPLES = 4
PROGRAM = (sys.executable, "-m", "kzoo.programs.export_matrix")


def tiny(task: str, arch: str, **options):
    """A network of an architecture in small: few channels and stacks, the smallest encoder, seeded random weights,
    float32."""
    row = TASKS[task]
    function = cli.pick(row.archs, arch, "arch")
    shape = (*row.example.frames_for(arch), *row.example.size)
    defaults = function.__kwdefaults__ or {}
    narrow = {name: _narrow(defaults[name]) for name in NARROW if defaults.get(name)}
    small = {**narrow, **{name: value for name, value in SMALL.items() if name in defaults}}
    keras.utils.set_random_seed(0)
    with environment.float32():
        return networks.build(row, arch, shape, row.example.units, **{**small, **options})


def _narrow(width):
    return min(width, NARROWEST) if isinstance(width, int | float) else tuple(min(each, NARROWEST) for each in width)


def random_inputs(model, size: tuple[int, int] | None = None):
    """Seeded inputs of a network, of pictures of another `size` where it is given: (EXAMPLES, …), or {input name: …} of
    several."""
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
    shape, size = model.inputs[0].shape[-3:-1], pictures.shape[-3:-1]
    fitted = [to_input(picture, shape) for picture in pictures.reshape(-1, *pictures.shape[-3:])]
    inputs = np.stack([image for image, _ in fitted]).reshape(*pictures.shape[:-3], *shape, 3)
    answers = exporting.decoded(task, model.predict_on_batch(inputs), decoder)
    _, matrix = fitted[0]
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
    task = TASKS[task_name]
    model = tiny(task_name, arch)
    inputs = random_inputs(model)
    _settle(model, inputs)
    decoder, *_ = predictors.decoders_of(model, None)
    reference = exporting.reference_of(task, model, inputs, decoder, raw=True)
    rows = {}
    for form in forms:
        row = formats.EXPORTS[form]
        try:
            network = model
            if row.portable and "portable" in networks.hyperparameters_of(task.archs[arch]):
                network = tiny(task_name, arch, portable=True)
                network.set_weights(model.get_weights())
            with tempfile.TemporaryDirectory() as folder:
                artefact = pathlib.Path(folder) / row.file
                _, measured, _ = exporting.write_served(form, network, artefact, reference)
                rows[form] = {**measured, "other_size": _other_size(task, model, decoder, row, artefact)}
        except UserError as error:
            rows[form] = {"error": str(error)}
        files.write_json(path, rows)


def _settle(model, inputs):
    """Let the averages of batch normalisations be those of the inputs, so that answers are of usual sizes."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)


def _other_size(task, model, decoder, form: formats.Export, artefact) -> dict | None:
    """{name: difference} for pictures of another size; None where the form or the network takes one size alone."""
    if not (form.any_size and serving.takes_any_size(model)):
        return None
    size = tuple(int(factor * side) for factor, side in zip(OTHER_SIZE, model.inputs[0].shape[-3:-1], strict=True))
    inputs = random_inputs(model, size)
    expected = by_predict(task, model, decoder, inputs)
    answers = exporting.as_predictions(formats.run_in_batches(form.open(artefact), inputs, form.batch))
    formats.check(expected, answers)
    return formats.differences(expected, answers)


def in_child(task: str, arch: str, forms, limit: float, command=PROGRAM) -> dict:
    """{form: row} of `measure`, by processes of their own: where one dies, the form that it was at has failed, and
    another one goes on with the next.

    Args:
        limit: seconds a form.
    """
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "results.json"
        while missing := [form for form in forms if form not in rows]:
            call = [*command, f"--child={task}/{arch}", f"--formats={','.join(missing)}", f"--out={path}"]
            reason = "the process said nothing of it"
            try:
                child.output(call, timeout=limit * len(missing))
            except child.Failed as failure:
                reason = str(failure)
            except subprocess.TimeoutExpired:
                reason = f"the process took more than {limit:g} s a form"
            if path.exists():
                rows |= files.read_json(path)
                path.unlink()
            left = [form for form in missing if form not in rows]
            if left:
                rows[left[0]] = {"error": reason}
    return rows


def update(out, *, tasks=(), archs=(), forms=tuple(formats.EXPORTS), limit: float = 600.0, fresh: bool = False) -> dict:
    """Measure what is missing, and write the matrix into a Markdown document and all numbers into the JSON beside it.

    Args:
        out: the document; tasks, archs: only these, () means all; forms: of `formats.EXPORTS`; limit: seconds that one
        network may take for one form; fresh: measure again what was measured before.
    Returns:
        {"<task>/<arch>": {form: row}} of all that was ever measured for this document, see `measure`.
    """
    wanted = cases(tasks, archs)
    path = pathlib.Path(out).with_suffix(".json")
    matrix_document.with_place(out)
    kept = kept_results(path, wanted, forms, fresh)
    results = kept["results"]

    # One network after another, kept as soon as it is measured
    bar = tqdm(wanted, unit="arch", dynamic_ncols=True)
    for task, arch in bar:
        bar.set_postfix_str(f"{task}/{arch}")
        rows = results.setdefault(f"{task}/{arch}", {})
        missing = [form for form in forms if form not in rows]
        if missing:
            rows |= in_child(task, arch, missing, limit)
            files.write_json(path, kept)

    # In the order of the tables
    order = [f"{task}/{arch}" for task, arch in cases((), ())]
    kept["results"] = {network: results[network] for network in order if network in results}
    columns = [form for form in formats.EXPORTS if any(form in rows for rows in results.values())]
    matrix_document.write(out, kept, columns)
    return kept["results"]


def kept_results(path, wanted, forms, fresh: bool) -> dict:
    """What was measured before with these versions and stays, or the frame for it: {"versions", "date", "device",
    "results": {"<task>/<arch>": {form: row}}}.

    Raises:
        UserError: a package of the export is missing, the file is another one, or a part is asked for beside results of
        other versions.
    """
    try:
        versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}
    except metadata.PackageNotFoundError as error:
        raise UserError(f"the matrix needs {error.name}: pip install tf2onnx onnxruntime ai-edge-litert") from error
    if path.exists():
        kept = files.read_json(path)
        if not _is_kept(kept):
            raise UserError(f"{path} is not of an export matrix; name another document")
        if kept["versions"] == versions:
            for task, arch in wanted if fresh else ():
                for form in forms:
                    kept["results"].get(f"{task}/{arch}", {}).pop(form, None)
            return kept
        others = set(kept["results"]) - {f"{task}/{arch}" for task, arch in wanted}
        if others or set(forms) < set(formats.EXPORTS):
            raise UserError(
                f"{path} holds results of other versions, which a part would replace; measure all, or name another "
                "document"
            )
    device = f"a CPU ({platform.machine()}), threads: {costs.threads()}"
    return {"versions": versions, "date": time.strftime("%Y-%m-%d"), "device": device, "results": {}}


def _is_kept(kept) -> bool:
    if not isinstance(kept, dict) or not all(isinstance(kept.get(name), dict) for name in ("versions", "results")):
        return False
    return all(
        isinstance(rows, dict) and all(isinstance(row, dict) for row in rows.values())
        for rows in kept["results"].values()
    )


def cases(task_names, archs) -> list[tuple[str, str]]:
    """(task, arch) of the table of tasks, those asked for."""
    for name in task_names:
        cli.pick(TASKS, name, "task")
    everything = [(task, arch) for task in TASKS if task in task_names or not task_names for arch in TASKS[task].archs]
    known = {arch: task for task, arch in everything}
    for name in archs:
        cli.pick(known, name, "arch")
    return [(task, arch) for task, arch in everything if arch in archs or not archs]
