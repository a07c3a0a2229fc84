"""Which number of a network's answer is explained: `<output>[:<unit>[:<component>]]` becomes one score, or several that
are averaged.

A score has a sign: what raises it is shown. A class, a joint's peak and a cluster have one. A coordinate has none, as
left is no more than right; its two directions then are two scores, and the maps of both are averaged.
"""

import dataclasses
from collections.abc import Callable, Mapping

import keras
import numpy as np

from kzoo import UserError
from kzoo.explain.methods import allowed
from kzoo.nn import decoding, feature_maps
from kzoo.runs import Run
from kzoo.tasks import Task
from kzoo.tasks.explained import Explained


@dataclasses.dataclass(frozen=True)
class Target:
    """What is explained.

    scores: ({output: (B, …) array} of the pictures that are explained) -> ((label, {output: tensor} -> (B,)), …). What
    must stay the same when the picture is changed (the pixels of a class, the cell of a peak, the most likely cluster)
    is read from these first answers.
    """

    name: str
    output: str  # of the network, which the scores read
    scores: Callable


def names_of(run: Run) -> dict[str, list[str]]:
    """Names of the units: what the run's data set tells ({"joints": …, "classes": …}), and the run's own."""
    told = {key: value for key, value in run.config.dataset.metadata.items() if key in ("joints", "classes")}
    return {**told, run.task.names: list(run.names)}


def target(task: Task, names: Mapping[str, list[str]], model: keras.Model, asked: str) -> Target:
    """The target of `--output=<output>[:<unit>[:<component>]]`.

    Of coords the score is the peak of the joint's map where the network emits one, unless components are named; there
    need not be coords.

    Args:
        names: see `names_of`; units without names go by their number from 0, and all may. asked: for instance
        coords:left_wrist:x.
    Raises:
        UserError: no such output, unit or component, or a unit that is needed.
    """
    output, *parts = asked.split(":")
    maps = next((name for name in decoding.MAPS if name in model.output_names), None)
    rows = task.answers.explained
    known = [name for name in rows if name in model.output_names or (name == decoding.OWN and maps)]
    if output not in known:
        raise UserError(
            f"--output={asked}: no output {output!r} that can be explained; {allowed(output, known or ['none'])}"
        )
    row, unit = rows[output], None
    units = _units(row, names, model, output)
    if row.units and (parts or not row.optional):
        if not parts:
            raise UserError(
                f"--output={asked} must name one of the {row.units}, --output={output}:<name>; "
                f"allowed: {', '.join(units)}"
            )
        unit = _index(asked, row.units, units, parts.pop(0))
    components = parts.pop(0) if parts else ""
    choices = [*row.components, row.components] if row.components else []
    if parts or (components and components not in choices):
        wrong = ":".join([components, *parts])
        raise UserError(f"--output={asked}: no component {wrong!r} of {output}; {allowed(wrong, choices or ['none'])}")
    if output == decoding.OWN and maps and not components:
        output = maps
    if output not in model.output_names:
        raise UserError(
            f"--output={asked}: the network emits {maps} and no coordinates of its own; allowed: {maps}:{units[unit]}"
        )
    return Target(asked, output, rows[output].scores(asked, output, unit, components or row.components))


def _units(row: Explained, names, model, output) -> list[str]:
    outputs = feature_maps.outputs_by_name(model)
    counted = (
        outputs[output].shape[row.axis]
        if output in outputs
        else next(outputs[x].shape[-1] for x in decoding.MAPS if x in outputs)
    )
    count = counted if row.units else 0
    known = names.get(row.units, ())
    return list(known) if len(known) == count else [str(number) for number in range(count)]


def _index(asked, what, units, name) -> int:
    if name in units:
        return units.index(name)
    if name.isdecimal() and int(name) < len(units):
        return int(name)
    raise UserError(
        f"--output={asked}: {name!r} is not one of the {what} and no number below {len(units)}; {allowed(name, units)}"
    )


def default(task: Task, names: Mapping[str, list[str]], model: keras.Model, answers: dict) -> str:
    """What is explained where nothing is asked for: the scored output, and of its units the plainest one of the first
    picture.

    That is the joint with the highest peak, or where there are no maps the one farthest from the middle of the joints;
    the largest class but for the background; the most likely cluster.

    Args:
        answers: {output: (B, …) array}.
    """
    rows = task.answers.explained
    output = next(name for name in (*task.main, *rows) if name in model.output_names and name in rows)
    row, units = rows[output], _units(rows[output], names, model, output)
    if not row.units or row.optional:
        return output
    found = np.asarray(answers[output][0])
    if row.units == "classes":
        counts = np.bincount(found.argmax(axis=-1).ravel(), minlength=len(units))
        counts[0] *= units[0] != "background"
        return f"{output}:{units[counts.argmax()]}"
    shown = (
        next((name for name in decoding.MAPS if name in model.output_names), None)
        if task.outputs[output].label == "keypoints"
        else None
    )
    if shown:
        peaks = task.outputs[shown].activate(np.asarray(answers[shown][:1])).max(axis=(1, 2))[0]
        return f"{output}:{units[peaks.argmax()]}"
    found = found if found.ndim == 2 else found[len(found) // 2]
    return f"{output}:{units[np.linalg.norm(found - found.mean(axis=0), axis=-1).argmax()]}"


def taps(model: keras.Model, output: str, layers=(), *, down: bool = False) -> dict:
    """{name: keras tensor} of the maps that Grad-CAM or patches read.

    By default they have the sizes of `feature_maps.feature_maps`, or the last four sizes where no map has one of these.
    Of each size it is the last map of features: maps with a channel for each joint or class already are answers.

    Args:
        output: of the network; layers: names; down: by default only on the way down, before the first smaller map,
            which is the encoder. What comes later sees the whole picture.
    Raises:
        UserError: no such layer, or no maps at all.
    """
    if layers:
        return {name: feature_maps.tap(model, name) for name in layers}
    last = _features_by_size(model, output, down)
    try:
        found = [last.get(x.shape[1:3], x) for x in feature_maps.feature_maps(model, output)]
    except UserError:
        found = list(last.values())[-4:]
        if not found:
            raise
    return {feature_maps.operation_of(model, x).name: x for x in found}


def _features_by_size(model, output, down: bool) -> dict:
    """{(h, w): the last map of this size on the way to an output}, behind the first weights and of the picture's
    aspect."""
    height, width = next((x.shape[-3:-1] for x in model.inputs if len(x.shape) >= 4 and x.shape[-1] == 3), (0, 0))
    answers = {x.shape[-1] for x in model.outputs if len(x.shape) == 4}
    last, weighted = {}, False
    for operation in keras.Model(
        model.inputs, feature_maps.outputs_by_name(model)[output]
    ).operations:  # ordered by depth
        if isinstance(operation, keras.Model):  # a network within the network: its maps are out of reach
            continue
        weighted |= bool(getattr(operation, "weights", ()))
        x = operation.output
        if not weighted or not isinstance(x, keras.KerasTensor) or len(x.shape) != 4 or x.shape[-1] in answers:
            continue
        size, passed = x.shape[1:3], down and any(smaller[0] < x.shape[1] for smaller in last)
        if abs(size[0] * width - size[1] * height) <= max(height, width) and not passed:
            last[size] = x
    return last
