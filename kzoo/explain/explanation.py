"""Why a network answers as it does: maps of what counts, the first filters, and what single channels respond to."""

import functools
import pathlib

import keras
import numpy as np
from keras import ops
from tqdm.auto import tqdm

from kzoo import UserError, files
from kzoo.explain import attribution, exciting_patches, reading
from kzoo.explain import targets as explain_targets
from kzoo.explain.methods import CAMS, EXCITED, GRADIENTS, ODD, asked_methods
from kzoo.figures import base as figures
from kzoo.figures import explain as explain_figures
from kzoo.inference import grad_cam
from kzoo.nn import feature_maps
from kzoo.runs import Run
from kzoo.training import interruption

# Inputs that can be explained; others, masks for instance, are held as they are.
SOURCES = ("image", "frames", "keypoints_2d")
DESCRIPTION = "explanation.json"  # written last
STOPPED = "stopped"


def explain(
    run,
    *,
    images=(),
    examples=(),
    split: str | None = None,
    output: str | None = None,
    methods=("quick",),
    layers=(),
    channels=(),
    searched: int = 200,
    steps: int | None = None,
    batch_size: int | None = None,
    data_dir: str | None = None,
    out=None,
) -> dict:
    """Explain answers of the best network of a run.

    Writes explanation.png, .npz and .json, filters.png and patches.png, whichever there are.

    Args:
        run: `Run`, or its folder; images: files; examples: numbers in `split` (default: the run's); output: see
        `explain_targets.target`; methods: of METHODS, "quick" or "all"; layers: names, of Grad-CAM and patches;
        channels: whose patches are shown, of every layer; searched: examples of the training split that are searched
        for patches; steps: gradients of the integrated ones, None: until they add up; batch_size: inputs that go
        through the network together, None: what `attribution.PIXELS` allows; data_dir: of prepared data sets (default:
        the run's); out: where to write (default: the run's folder of explanations).
    Returns:
        the content of `explanation.json`; in "skipped" {method: why it was left out}, in "failed" those
        of them that should apply.
    Raises:
        UserError: a mistake in what is asked for, or nothing that applies. KeyboardInterrupt: after a signal, when what
        was found has been written, to the folder STOPPED in `out` where that holds a whole explanation.
    """
    # What is asked for.
    methods = asked_methods(methods)
    if not images and not examples:
        raise UserError("give images, or examples of the run's data set by their numbers")

    # Of which network, and which of its numbers.
    run = Run.open(run)
    inputs, titles = reading.read_inputs(run, images, examples, split or run.val_split, data_dir)
    model = run.model_at(run.shape)
    source = next(name for name in SOURCES if name in run.reads)
    answers = answers_of(model, inputs)
    names = explain_targets.names_of(run)
    asked = output or explain_targets.default(run.task, names, model, answers)
    target = explain_targets.target(run.task, names, model, asked)
    print(f"explaining --output={asked} of {', '.join(titles)}")
    scores = target.scores(answers)

    own = run.explanation_folder(asked.replace(":", "_").replace("/", "_").replace(" ", "_"))
    out = pathlib.Path(out or own)
    files.check_writable(out)

    # What each method does; what was asked for is checked first, as what fails later is left out.
    layered = functools.partial(explain_targets.taps, model, target.output, layers)
    if layers or channels:
        check_channels(layered(down=True), channels)

    def patches():
        searching = reading.searched_batches(run, searched, data_dir)
        return found_patches(model, layered(down=True), inputs, channels, searching, source)

    keywords = Keywords(model, steps, batch_size)
    runners = {name: lambda name=name: attributed(name, model, inputs, scores, source, keywords) for name in GRADIENTS}
    runners |= {name: lambda name=name: looked(name, model, inputs, scores, layered()) for name in CAMS}
    runners |= {"filters": lambda: exciting_patches.first_filters(model), "patches": patches}
    found, skipped, failed, stopped = _results({name: runners[name] for name in methods})
    if not found and stopped:
        raise stopped
    if not found:
        raise UserError(f"nothing that was asked for applies: {'; '.join(f'{k}: {v}' for k, v in skipped.items())}")
    gaps = completeness(model, inputs, scores, source, found.get("integrated_gradients"))
    # What is written.
    about = {
        "run": run.name,
        "arch": run.arch,
        "output": asked,
        "score_reads": target.output,
        "inputs": titles,
        "scores": {label: number(score, answers) for label, score in scores},
        "skipped": skipped,
        "failed": failed,
        **gaps,
    }
    if not stopped:
        return write(out, about, inputs[source], found)
    if (out / DESCRIPTION).exists():
        out = out / STOPPED  # a whole explanation is not replaced by a part of one
    write(out, about, inputs[source], found)
    stopped.args = (f"stopped; {', '.join(found)} of {len(methods)} methods are in {out}",)
    raise stopped


def _results(runners: dict) -> tuple[dict, dict, list[str], KeyboardInterrupt | None]:
    """What each method finds, and why others find nothing: {method: result}, {method: reason}, of the latter those that
    failed though they should apply, and the signal that has ended it.

    Args:
        runners: {method: function without arguments}.
    """
    found, skipped, failed, stopped = {}, {}, [], None
    with tqdm(runners, unit="method", dynamic_ncols=True) as bar:
        for method in bar:
            bar.set_postfix_str(method)
            if stopped:
                skipped[method] = "stopped before"
                continue
            try:
                with interruption.told(lambda: ""):  # whatever a framework makes of it
                    found[method] = runners[method]()
            except KeyboardInterrupt as error:
                stopped = error
                skipped[method] = "stopped"
            except UserError as error:
                skipped[method] = " ".join(str(error).split())
            except Exception as error:  # whatever a framework may say: the other methods' results are not lost
                failed.append(method)
                skipped[method] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return found, skipped, failed, stopped


class Keywords:
    """Of the methods of GRADIENTS; one copy of the network serves all scores of a method."""

    def __init__(self, model, steps: int | None, batch_size: int | None):
        self.copy_of = functools.cache(functools.partial(attribution.differentiable, model))
        self.own = {name: {"batch_size": batch_size} for name in ("integrated_gradients", "occlusion")}
        if steps:
            self.own["integrated_gradients"] |= {"steps": steps, "tolerance": 0}

    def of(self, method: str) -> dict:
        relu = attribution.RELUS.get(method)
        copy = {"copy": self.copy_of(relu)} if relu else {}
        return {**self.own.get(method, {}), **copy}


def answers_of(model, inputs: dict) -> dict:
    """{output: (N, …) array}."""
    network = keras.Model(model.inputs, feature_maps.outputs_by_name(model))
    answers = network(feature_maps.input_tensors(model, inputs), training=False)
    return {name: ops.convert_to_numpy(value) for name, value in answers.items()}


def number(score, answers: dict) -> list[float]:
    """A score's value for each example."""
    values = score({name: ops.convert_to_tensor(answer) for name, answer in answers.items()})
    return [float(value) for value in ops.convert_to_numpy(values)]


def attributed(method: str, model, inputs: dict, scores, source: str, keywords: Keywords):
    """A method of GRADIENTS: one array of the source's shape, or (N, [T,] H, W).

    It is signed of one score, of several the mean of the absolute values.
    """
    if len(scores) > 1 and method in ODD:
        scores = scores[::2]
    function = functools.partial(attribution.METHODS[method], model, inputs, source=source, **keywords.of(method))
    found = [function(score) for _, score in scores]
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
    """See `exciting_patches.find`; without `channels` of those that the pictures excite most.

    Units are ranked by what an activation with a ceiling reads: all that reach it are equal behind it.
    """
    chosen = {}
    read = {name: feature_maps.before_saturation(model, layer) for name, layer in taps.items()}
    for name, layer in read.items():
        chosen[name] = list(channels) or exciting_patches.excited(model, layer, inputs, EXCITED)
    return exciting_patches.find(model, read, chosen, batches, source=source)


def write(out: pathlib.Path, about: dict, shown, found: dict) -> dict:
    """The figures, the maps and what they are, into a folder."""
    # What counts in the inputs.
    maps = {name: found[name] for name in GRADIENTS if name in found}
    maps |= {f"{name}/{layer}": array for name in CAMS for layer, array in found.get(name, {}).items()}
    several = len(about["scores"]) > 1
    drawn = {}
    if maps:
        drawn["explanation.png"] = _maps_figure(about, shown, maps)
    arrays = dict(maps)
    result = {**about, "signed": [name for name in GRADIENTS if name in found and not several]}

    # The first filters.
    if "filters" in found:
        layer, arrays["filters"], read = found["filters"]
        result["filters"] = {"layer": layer, "read": read}
        drawn["filters.png"] = explain_figures.filters_figure(arrays["filters"], f"{layer}: {read}; grey is 0")

    # What excites single channels.
    if "patches" in found:
        heading = (
            "patches of the training pictures that excite a channel most, and what excites it in them "
            f"({exciting_patches.PROJECTED})"
        )
        drawn["patches.png"] = explain_figures.patches_figure(found["patches"], exciting_patches.COUNT, heading)
        result["patches"] = {
            layer: {channel: [patch.told() for patch in units] for channel, units in channels.items()}
            for layer, channels in found["patches"].items()
        }

    # Files, the one that tells of the others last.
    for name, figure in drawn.items():
        figures.save(figure, out / name)
    result["shapes"] = {name: list(array.shape) for name, array in arrays.items()}
    result["files"] = [*drawn, "explanation.npz", DESCRIPTION]
    with files.replacing(out / "explanation.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    files.write_json(out / DESCRIPTION, result)
    print(f"wrote {', '.join(result['files'])} to {out}")
    return result


def _maps_figure(about: dict, shown, maps: dict):
    """The inputs and the maps, of one score with its values."""
    titles, heading = about["inputs"], f"{about['arch']}, {about['output']}"
    first, *others = about["scores"].values()
    if others:
        heading += f", mean of {len(about['scores'])} directions"
    else:
        titles = [f"{title}\nscore {value:.3g}" for title, value in zip(titles, first, strict=True)]
    return explain_figures.explanation_figure(shown, maps, titles, heading)
