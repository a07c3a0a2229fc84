"""Why a network answers as it does: maps of what counts in a picture, the first filters, and what single channels
respond to."""

import functools
import pathlib

from kzoo import UserError, cli, files

EXCITED = 4  # channels a layer whose patches are shown


GRADIENTS = (
    "saliency",
    "guided_backprop",
    "deconvnet",
    "integrated_gradients",
    "occlusion",
)  # of `attribution`, in the figure's order
CAMS = ("grad_cam", "grad_cam_pp")  # of `attention`
METHODS = (*GRADIENTS, *CAMS, "filters", "patches")
# The map of a score and that of its negative differ in sign alone: one of two directions is enough.
ODD = ("saliency", "integrated_gradients", "occlusion")
SOURCES = (
    "image",
    "frames",
    "keypoints_2d",
)  # inputs that can be explained; others, masks for instance, are held as they are


def explain(
    folder,
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
    """Explain answers of the best network of a run; writes explanation.png, .npz and .json, filters.png and
    patches.png.

    Args:
        folder: run folder; images: files; examples: numbers in `split` (default: the run's); output: see
        `explain_targets.target`;
        methods: of METHODS, or "all", which leaves out what does not apply; layers: names, of Grad-CAM and patches;
        channels: whose patches are shown, of every layer; searched: examples of the training split that are searched
        for patches; data_dir: of prepared data sets (default: the run's); out: where to write.
    Returns:
        the content of `explanation.json`.
    """
    everything = list(methods) == ["all"]
    methods = (
        METHODS
        if everything
        else [cli.pick({name: name for name in METHODS}, asked.strip(), "method") for asked in methods]
    )
    if not images and not examples:
        raise UserError(
            "give a picture, --image=<file>, or an example of the run's data set, --example=<number>; both may be repeated"
        )

    from tqdm.auto import tqdm

    from kzoo import runs
    from kzoo.explain import reading
    from kzoo.explain import targets as explain_targets

    run = runs.describe(folder)
    task, model, split = runs.task_of(run), runs.load_model(folder), split or run["flags"].get("val_split") or "val"
    source = next(name for name in SOURCES if name in [x.name for x in model.inputs])
    inputs, titles = reading.read_inputs(task, model, run, images, examples, split, data_dir)
    answers = answers_of(model, inputs)
    names = explain_targets.names_of(task, run)
    asked = output or explain_targets.default(task, names, model, answers)
    target = explain_targets.target(task, names, model, asked)
    print(f"explaining --output={asked} of {', '.join(titles)}")
    scores = target.scores(answers)
    layered = functools.partial(explain_targets.taps, model, target.output, layers)
    if layers or channels:  # what was asked for is checked first: "all" leaves out what fails later
        check_channels(layered(down=True), channels)

    def patches():
        searching = reading.searched_batches(task, model, run, searched, data_dir)
        return found_patches(model, layered(down=True), inputs, channels, searching, source)

    runners = {name: lambda name=name: attributed(name, model, inputs, scores, source) for name in GRADIENTS}
    runners |= {name: lambda name=name: looked(name, model, inputs, scores, layered()) for name in CAMS}
    runners |= {"filters": lambda: first_filters(model), "patches": patches}
    found, skipped = {}, {}
    for method in (bar := tqdm(methods, unit="method", dynamic_ncols=True)):
        bar.set_postfix_str(method)
        try:
            found[method] = runners[method]()
        except UserError as error:
            if not everything:
                raise
            skipped[method] = " ".join(str(error).split())
    gaps = completeness(model, inputs, scores, source, found.get("integrated_gradients"))
    for method, reason in skipped.items():
        print(f"no {method}: {reason}")
    out = pathlib.Path(
        out or pathlib.Path(folder) / "explanations" / asked.replace(":", "_").replace("/", "_").replace(" ", "_")
    )
    about = {
        "run": pathlib.Path(folder).name,
        "arch": run["flags"]["arch"],
        "output": asked,
        "score_reads": target.output,
        "inputs": titles,
        "scores": {label: number(score, answers) for label, score in scores},
        "skipped": skipped,
        **gaps,
    }
    return write(out, about, inputs[source], found)


def answers_of(model, inputs: dict) -> dict:
    """{output: (N, …) array}."""
    import keras
    from keras import ops

    from kzoo.nn import feature_maps

    network = keras.Model(model.inputs, feature_maps.outputs_by_name(model))
    return {
        name: ops.convert_to_numpy(value)
        for name, value in network(feature_maps.input_tensors(model, inputs), training=False).items()
    }


def number(score, answers: dict) -> list[float]:
    """A score's value for each example."""
    from keras import ops

    return [
        float(value)
        for value in ops.convert_to_numpy(score({name: ops.convert_to_tensor(a) for name, a in answers.items()}))
    ]


def attributed(method: str, model, inputs: dict, scores, source: str):
    """One array of the source's shape, or (N, [T,] H, W): signed of one score, of several the mean of the absolute
    values."""
    import numpy as np

    from kzoo.explain import attribution

    if len(scores) > 1 and method in ODD:
        scores = scores[::2]
    found = [attribution.METHODS[method](model, inputs, score, source=source) for _, score in scores]
    return found[0] if len(scores) == 1 else np.mean(np.abs(found), axis=0)


def completeness(model, inputs: dict, scores, source: str, found) -> dict:
    """{"completeness_gap": …} of the integrated gradients of one score, see `attribution.completeness_gap`."""
    from kzoo.explain import attribution

    if found is None or len(scores) > 1:
        return {}
    gaps = attribution.completeness_gap(model, inputs, scores[0][1], found, source=source)
    print(f"integrated gradients add up to the score's difference from a black picture but for {100 * max(gaps):.2g} %")
    return {"completeness_gap": [float(gap) for gap in gaps]}


def looked(method: str, model, inputs: dict, scores, taps: dict) -> dict:
    """{layer: (N, [T,] h, w)} in 0..1, the mean over the scores."""
    import numpy as np

    from kzoo.inference import grad_cam

    found = [grad_cam.attention_maps(model, inputs, score, list(taps.values()), method) for _, score in scores]
    return {name: np.mean(maps, axis=0) for name, maps in zip(taps, zip(*found, strict=True), strict=True)}


def first_filters(model):
    from kzoo.explain import exciting_patches

    return exciting_patches.first_filters(model)


def check_channels(taps: dict, channels):
    for name, layer in taps.items():
        if channels and max(channels) >= layer.shape[-1]:
            raise UserError(
                f"--channel={max(channels)}: layer {name} has {layer.shape[-1]} channels; allowed: 0 to {layer.shape[-1] - 1}"
            )


def found_patches(model, taps: dict, inputs: dict, channels, batches, source: str) -> dict:
    from kzoo.explain import exciting_patches

    chosen = {
        name: list(channels) or exciting_patches.excited(model, layer, inputs, EXCITED) for name, layer in taps.items()
    }
    return exciting_patches.find(model, taps, chosen, batches, source=source)


def write(out: pathlib.Path, about: dict, shown, found: dict) -> dict:
    """The figures, the maps and what they are, into a folder."""
    import numpy as np

    from kzoo.explain import exciting_patches
    from kzoo.figures import base as figures
    from kzoo.figures import explain as explain_figures

    maps = {name: found[name] for name in GRADIENTS if name in found}
    maps |= {f"{name}/{layer}": array for name in CAMS for layer, array in found.get(name, {}).items()}
    scores = about["scores"]
    if maps:
        first, *others = scores.values()
        titles = (
            about["inputs"]
            if others
            else [f"{title}\nscore {value:.3g}" for title, value in zip(about["inputs"], first, strict=True)]
        )
        heading = f"{about['arch']}, {about['output']}" + (f", mean of {len(scores)} directions" if others else "")
        figures.save(explain_figures.explanation_figure(shown, maps, titles, heading), out / "explanation.png")
    arrays, result = dict(maps), {**about, "signed": [name for name in GRADIENTS if name in found and len(scores) == 1]}
    if "filters" in found:
        layer, arrays["filters"], read = found["filters"]
        result["filters"] = {"layer": layer, "read": read}
        figures.save(
            explain_figures.filters_figure(arrays["filters"], f"{layer}: {read}; grey is 0"), out / "filters.png"
        )
    if "patches" in found:
        heading = f"patches of the training pictures that excite a channel most, and what excites it in them ({exciting_patches.PROJECTED})"
        figures.save(
            explain_figures.patches_figure(found["patches"], exciting_patches.COUNT, heading), out / "patches.png"
        )
        result["patches"] = {
            layer: {channel: [patch.told() for patch in units] for channel, units in channels.items()}
            for layer, channels in found["patches"].items()
        }
    result["shapes"] = {name: list(array.shape) for name, array in arrays.items()}
    with files.replacing(out / "explanation.npz") as temporary:
        np.savez_compressed(temporary, **arrays)
    files.write_json(out / "explanation.json", result)
    print(f"wrote {', '.join(sorted(path.name for path in out.iterdir() if path.is_file()))} to {out}")
    return result
