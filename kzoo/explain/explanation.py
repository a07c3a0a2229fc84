"""Why a network answers as it does: maps of what counts, the first filters, and what single channels respond to."""

import functools
import pathlib

import keras
import numpy as np
from keras import ops
from tqdm.auto import tqdm

from kzoo import UserError, cli, files
from kzoo.explain import attribution, exciting_patches, reading
from kzoo.explain import targets as explain_targets
from kzoo.explain.methods import CAMS, EXCITED, GRADIENTS, METHODS, ODD
from kzoo.figures import base as figures
from kzoo.figures import explain as explain_figures
from kzoo.inference import grad_cam
from kzoo.nn import feature_maps
from kzoo.runs import Run

# Inputs that can be explained; others, masks for instance, are held as they are.
SOURCES = ("image", "frames", "keypoints_2d")


def explain(
    run,
    *,
    images=(),
    examples=(),
    split: str | None = None,
    output: str | None = None,
    methods=("all",),
    layers=(),
    channels=(),
    searched: int = 200,
    data_dir: str | None = None,
    out=None,
) -> dict:
    """Explain answers of the best network of a run.

    Writes explanation.png, .npz and .json, filters.png and patches.png.

    Args:
        run: `Run`, or its folder; images: files; examples: numbers in `split` (default: the run's); output: see
        `explain_targets.target`; methods: of METHODS, or "all", which leaves out what does not apply; layers: names, of
        Grad-CAM and patches; channels: whose patches are shown, of every layer; searched: examples of the training
        split that are searched for patches; data_dir: of prepared data sets (default: the run's); out: where to write
        (default: the run's folder of explanations).
    Returns:
        the content of `explanation.json`.
    """
    # What is asked for.
    everything = list(methods) == ["all"]
    known = {name: name for name in METHODS}
    methods = METHODS if everything else [cli.pick(known, asked.strip(), "method") for asked in methods]
    if not images and not examples:
        raise UserError("give images, or examples of the run's data set by their numbers")

    # Of which network, and which of its numbers.
    run = Run.open(run)
    model = run.model_at(run.shape)
    inputs, titles = reading.read_inputs(run, images, examples, split or run.val_split, data_dir)
    source = next(name for name in SOURCES if name in run.reads)
    answers = answers_of(model, inputs)
    names = explain_targets.names_of(run)
    asked = output or explain_targets.default(run.task, names, model, answers)
    target = explain_targets.target(run.task, names, model, asked)
    print(f"explaining --output={asked} of {', '.join(titles)}")
    scores = target.scores(answers)

    # What each method does; what was asked for is checked first: "all" leaves out what fails later.
    layered = functools.partial(explain_targets.taps, model, target.output, layers)
    if layers or channels:
        check_channels(layered(down=True), channels)

    def patches():
        searching = reading.searched_batches(run, searched, data_dir)
        return found_patches(model, layered(down=True), inputs, channels, searching, source)

    runners = {name: lambda name=name: attributed(name, model, inputs, scores, source) for name in GRADIENTS}
    runners |= {name: lambda name=name: looked(name, model, inputs, scores, layered()) for name in CAMS}
    runners |= {"filters": lambda: exciting_patches.first_filters(model), "patches": patches}
    found, skipped = _results({name: runners[name] for name in methods}, skip=everything)
    gaps = completeness(model, inputs, scores, source, found.get("integrated_gradients"))
    for method, reason in skipped.items():
        print(f"no {method}: {reason}")

    # What is written.
    about = {
        "run": run.name,
        "arch": run.arch,
        "output": asked,
        "score_reads": target.output,
        "inputs": titles,
        "scores": {label: number(score, answers) for label, score in scores},
        "skipped": skipped,
        **gaps,
    }
    own = run.explanation_folder(asked.replace(":", "_").replace("/", "_").replace(" ", "_"))
    return write(pathlib.Path(out or own), about, inputs[source], found)


def _results(runners: dict, *, skip: bool) -> tuple[dict, dict]:
    """What each method finds, and why others find nothing: {method: result}, {method: reason}.

    Args:
        runners: {method: function without arguments}; skip: go on where a method does not apply.
    """
    found, skipped = {}, {}
    for method in (bar := tqdm(runners, unit="method", dynamic_ncols=True)):
        bar.set_postfix_str(method)
        try:
            found[method] = runners[method]()
        except UserError as error:
            if not skip:
                raise
            skipped[method] = " ".join(str(error).split())
    return found, skipped


def answers_of(model, inputs: dict) -> dict:
    """{output: (N, …) array}."""
    network = keras.Model(model.inputs, feature_maps.outputs_by_name(model))
    answers = network(feature_maps.input_tensors(model, inputs), training=False)
    return {name: ops.convert_to_numpy(value) for name, value in answers.items()}


def number(score, answers: dict) -> list[float]:
    """A score's value for each example."""
    values = score({name: ops.convert_to_tensor(answer) for name, answer in answers.items()})
    return [float(value) for value in ops.convert_to_numpy(values)]


def attributed(method: str, model, inputs: dict, scores, source: str):
    """A method of GRADIENTS: one array of the source's shape, or (N, [T,] H, W).

    It is signed of one score, of several the mean of the absolute values.
    """
    if len(scores) > 1 and method in ODD:
        scores = scores[::2]
    found = [attribution.METHODS[method](model, inputs, score, source=source) for _, score in scores]
    return found[0] if len(scores) == 1 else np.mean(np.abs(found), axis=0)


def completeness(model, inputs: dict, scores, source: str, found) -> dict:
    """{"completeness_gap": …} of the integrated gradients of one score, see `attribution.completeness_gap`."""
    if found is None or len(scores) > 1:
        return {}
    gaps = attribution.completeness_gap(model, inputs, scores[0][1], found, source=source)
    print(f"integrated gradients add up to the score's difference from a black picture but for {100 * max(gaps):.2g} %")
    return {"completeness_gap": [float(gap) for gap in gaps]}


def looked(method: str, model, inputs: dict, scores, taps: dict) -> dict:
    """A method of CAMS: {layer: (N, [T,] h, w)} in 0..1, the mean over the scores."""
    found = [grad_cam.attention_maps(model, inputs, score, list(taps.values()), method) for _, score in scores]
    return {name: np.mean(maps, axis=0) for name, maps in zip(taps, zip(*found, strict=True), strict=True)}


def check_channels(taps: dict, channels):
    """Raises UserError where a layer has no such channel."""
    for name, layer in taps.items():
        count = layer.shape[-1]
        if channels and max(channels) >= count:
            raise UserError(f"channel {max(channels)}: layer {name} has {count} channels; allowed: 0 to {count - 1}")


def found_patches(model, taps: dict, inputs: dict, channels, batches, source: str) -> dict:
    """See `exciting_patches.find`; without `channels` of those that the pictures excite most."""
    chosen = {}
    for name, layer in taps.items():
        chosen[name] = list(channels) or exciting_patches.excited(model, layer, inputs, EXCITED)
    return exciting_patches.find(model, taps, chosen, batches, source=source)


def write(out: pathlib.Path, about: dict, shown, found: dict) -> dict:
    """The figures, the maps and what they are, into a folder."""
    # What counts in the inputs.
    maps = {name: found[name] for name in GRADIENTS if name in found}
    maps |= {f"{name}/{layer}": array for name in CAMS for layer, array in found.get(name, {}).items()}
    several = len(about["scores"]) > 1
    if maps:
        _save_maps(out, about, shown, maps)
    arrays = dict(maps)
    result = {**about, "signed": [name for name in GRADIENTS if name in found and not several]}

    # The first filters.
    if "filters" in found:
        layer, arrays["filters"], read = found["filters"]
        result["filters"] = {"layer": layer, "read": read}
        figure = explain_figures.filters_figure(arrays["filters"], f"{layer}: {read}; grey is 0")
        figures.save(figure, out / "filters.png")

    # What excites single channels.
    if "patches" in found:
        heading = (
            "patches of the training pictures that excite a channel most, and what excites it in them "
            f"({exciting_patches.PROJECTED})"
        )
        figure = explain_figures.patches_figure(found["patches"], exciting_patches.COUNT, heading)
        figures.save(figure, out / "patches.png")
        result["patches"] = {
            layer: {channel: [patch.told() for patch in units] for channel, units in channels.items()}
            for layer, channels in found["patches"].items()
        }

    # The numbers.
    result["shapes"] = {name: list(array.shape) for name, array in arrays.items()}
    with files.replacing(out / "explanation.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    files.write_json(out / "explanation.json", result)
    print(f"wrote {', '.join(sorted(path.name for path in out.iterdir() if path.is_file()))} to {out}")
    return result


def _save_maps(out: pathlib.Path, about: dict, shown, maps: dict):
    """explanation.png: the inputs and the maps, of one score with its values."""
    titles, heading = about["inputs"], f"{about['arch']}, {about['output']}"
    first, *others = about["scores"].values()
    if others:
        heading += f", mean of {len(about['scores'])} directions"
    else:
        titles = [f"{title}\nscore {value:.3g}" for title, value in zip(titles, first, strict=True)]
    figures.save(explain_figures.explanation_figure(shown, maps, titles, heading), out / "explanation.png")
