"""From pictures to answers: a network, test-time augmentation, tiles, decoders. Two kinds, by `Task.input.dense`."""

from collections.abc import Callable

import keras
import numpy as np

from kzoo import UserError, cli
from kzoo.inference import tiling
from kzoo.inference import tta as averaging
from kzoo.nn import decoding
from kzoo.nn.geometry import flip_permutation
from kzoo.tasks import Task


def shift_right(maps) -> np.ndarray:
    """Maps (B, h, w, J) moved by one cell to the right, the first column kept (Xiao et al., ECCV 2018, released code,
    SHIFT_HEATMAP).

    It makes up for a pipeline that aligns the corners of picture and map, where the mirrored map lies a cell to the
    left. Ours aligns the centres, see `kzoo.nn.geometry`, and needs no shift.
    """
    return np.concatenate([maps[:, :, :1], maps[:, :, :-1]], axis=2)


MIRRORS = {  # feature that a network reads -> function (inputs, permutation of the joints) -> the mirrored picture's
    "image": lambda images, _: images[:, :, ::-1],
    "frames": lambda frames, _: frames[:, :, :, ::-1],
    "keypoints_2d": decoding.unflip_coords,
}
# Nothing; average with the answer for the mirrored picture; and shift its maps first.
MIRRORED_TTA = ("none", "flip", "flip_shift")
COLOUR_VARIANTS = 4  # colours that --tta=color_pca shows


class Mirrored:
    """A network's activated outputs for a batch of pictures, for `tta` averaged with those for the mirrored pictures:
    for joints.

    Outputs that are no answers (a row without `unflip`) are kept for pictures if nothing is averaged, and dropped
    otherwise.

    Args:
        calibrated: from raw scores to probabilities, see `kzoo.metrics.calibration`; None: scores stay raw.
    """

    def __init__(
        self,
        task: Task,
        model: keras.Model,
        metadata,
        *,
        tta: str = "none",
        decoders: tuple[str | None, ...] = (None,),
        calibrated: Callable | None = None,
    ):
        if tta not in MIRRORED_TTA:
            raise UserError(
                f"--tta={tta!r} is not for this task; allowed: {', '.join(MIRRORED_TTA)}{cli.meant(tta, MIRRORED_TTA)}"
            )
        if tta == "flip_shift" and not set(decoding.MAPS) & set(model.output_names):
            raise UserError(
                f"--tta=flip_shift shifts heat maps, and this network emits {', '.join(model.output_names)}; use "
                "--tta=flip"
            )
        self.rows, self.model, self.tta = {name: task.outputs[name] for name in model.output_names}, model, tta
        self.task, self.decoders, self.calibrated = task, decoders, calibrated
        main = task.main_of(model.output_names)
        if tta != "none" and not self.rows[main].unflip:
            raise UserError(
                f"--tta={tta}: the mirrored picture is one of another scene here, its {main} says nothing about this "
                "one's"
            )
        beside = tuple(name for name in task.evaluator.beside if name in model.output_names)
        self.scored = decoding.sources(model.output_names) or (main, *beside)
        self.permutation = flip_permutation(len(metadata[task.names]), metadata.get(f"flip_{task.names}", ()))

    def _outputs(self, inputs, names) -> dict:
        outputs = self.model.predict_on_batch(inputs)
        return {name: self.rows[name].activate(np.asarray(outputs[name])) for name in names}

    def _unflipped(self, name, value):
        value = self.rows[name].unflip(value, self.permutation)
        return shift_right(value) if self.tta == "flip_shift" and name in decoding.MAPS else value

    def __call__(self, inputs: np.ndarray, names=None) -> dict:
        """What the network reads, (B, H, W, 3) uint8 for instance, -> {output name: array} of the outputs `names`, by
        default of all."""
        names = names or tuple(self.rows)
        if self.tta == "none":
            return self._outputs(inputs, names)
        names = [name for name in names if self.rows[name].unflip]
        (mirror,) = (MIRRORS[tensor.name] for tensor in self.model.inputs)
        outputs, mirrored = self._outputs(inputs, names), self._outputs(mirror(inputs, self.permutation), names)
        return {name: 0.5 * (outputs[name] + self._unflipped(name, mirrored[name])) for name in names}

    def answers(self, inputs: np.ndarray) -> dict[str | None, dict]:
        """{decoder: decoded answers}; of joints with their raw "scores" (B, J)."""
        outputs = self(inputs, self.scored)
        raw = {"scores": decoding.raw_scores(outputs)} if decoding.sources(outputs) else {}
        decode = self.task.evaluator.decode
        return {name: {**decode(outputs, **({"decoder": name} if name else {})), **raw} for name in self.decoders}

    def answer(self, inputs: np.ndarray) -> dict:
        """Decoded answers by the first decoder; the "scores" (B, J) of joints, 0..1, are calibrated where this is, else
        the peaks of their maps, 1 where there are none. "confidence" (B,) is their mean."""
        decoded = next(iter(self.answers(inputs).values()))
        if "scores" not in decoded or self.calibrated is None:
            return decoded
        scores = self.calibrated(decoded["scores"])
        return {**decoded, "scores": scores, "confidence": scores.mean(axis=-1).astype("float32")}


class Dense:
    """Class probabilities of each pixel, averaged over the variants of `kzoo.inference.tta`: for segmentation.

    Args:
        network_at: (height, width) -> the network for pictures of that size, see `sized`.
        size: (H, W) of the pictures; metadata: of the data set; mode: of `tta.TTA`; shifts: see `tta.color_pca`.
    """

    def __init__(
        self, task: Task, network_at: Callable, metadata, size: tuple[int, int], *, mode: str = "none", shifts=()
    ):
        permutation = flip_permutation(len(metadata[task.names]), metadata[f"flip_{task.names}"])
        self.task, self.network_at, self.mode = task, network_at, mode
        self.scored = task.main[:1]
        self.known = {} if mode == "none" else averaging.families(size, permutation, np.reshape(shifts, (-1, 3)))
        self.variants = averaging.variants_of(mode, self.known)

    @property
    def passes(self) -> dict[str, int]:
        """Forward passes of every name in `answers`."""
        return (
            averaging.passes(self.known)
            if self.mode == "all"
            else {self.mode: sum(variant.passes for variant in self.variants)}
        )

    def __call__(self, images: np.ndarray) -> dict:
        """(B, H, W, 3) uint8 -> {main output: (B, H, W, C) float32 probabilities}."""
        return {self.task.main[0]: averaging.predict(self.network_at, images, self.variants)}

    def answers(self, images: np.ndarray) -> dict[str, dict]:
        """{mode: decoded answers} of (B, H, W, 3) uint8; for "all" of every family too, "all" first."""
        if self.mode != "all":
            return {self.mode: self.task.evaluator.decode(self(images))}
        decoded = {
            name: self.task.evaluator.decode({self.task.main[0]: found})
            for name, found in averaging.gains(self.network_at, images, self.known)
        }
        return {"all": decoded.pop("all"), **decoded}

    def answer(self, images: np.ndarray) -> dict:
        """Decoded answers, averaged over all variants."""
        return self.task.evaluator.decode(self(images))


STRIDE = 32  # what the sides of a network's input are multiples of


def rounded(shape: tuple[int, int]) -> tuple[int, int]:
    """The next multiples of `STRIDE`."""
    return tuple(-(-side // STRIDE) * STRIDE for side in shape)


def overlap_of(tile: tuple[int, int]) -> int:
    """Pixels that tiles overlap by where nothing is asked for: half of the shorter side, if steps of STRIDE remain."""
    return min(min(tile) // 2, min(tile) - STRIDE)


def sized(
    task: Task, model_at: Callable, *, tile: tuple[int, int] | None = None, overlap: int = 0, classes: int = 0
) -> Callable:
    """The network for pictures of any size, as a function of that size.

    Args:
        model_at: (height, width), multiples of `STRIDE` -> keras model.
        tile: put the answer together from tiles of this size, see `kzoo.inference.tiling`; None: the whole picture at
            once, black added at its lower and right end up to a multiple of `STRIDE`, and cut off again.
    Returns:
        (height, width) -> function (B, height, width, 3) uint8 -> (B, height, width, C) probabilities. Keeps the models
        it has made.
    """
    models, name = {}, task.main[0]

    def network(images, shape):
        if shape not in models:
            models[shape] = model_at(shape)
        return task.outputs[name].activate(np.asarray(models[shape].predict_on_batch(images)[name]))

    def whole(images):
        height, width = images.shape[1:3]
        down, right = rounded((height, width))
        padded = np.pad(images, [(0, 0), (0, down - height), (0, right - width), (0, 0)])
        return network(padded, (down, right))[:, :height, :width]

    def tiled(images):
        def predict(tiles):
            return network(tiles, tile)

        return np.stack(
            [tiling.predict_tiled(predict, image, tile=tile, overlap=overlap, classes=classes) for image in images]
        )

    return lambda size: tiled if tile else whole


def decoders_of(model: keras.Model, wanted: str | None) -> tuple[str | None, ...]:
    """Names of the decoders to score, the one that counts first; (None,) for networks that need none.

    Args:
        wanted: of DECODERS, "coords", "all", or None for the network's default.
    """
    allowed = decoding.applicable(model.output_names)
    if wanted and not allowed:
        raise UserError(
            f"--decoder={wanted} is for joints and heat maps, and this network emits {', '.join(model.output_names)}"
        )
    if wanted not in (None, "all", *allowed):
        emitted = ", ".join(model.output_names)
        raise UserError(
            f"--decoder={wanted!r} is not for a network that emits {emitted}; allowed: {', '.join(allowed)}"
            f"{cli.meant(wanted, allowed)}"
        )
    return allowed if wanted == "all" else (wanted or next(iter(allowed), None),)
