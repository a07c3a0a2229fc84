"""Weights that PyTorch has learned, for encoders here: a state dict of torchvision or timm in, a file for
--encoder_weights out.

python -m kzoo.convert --from=torchvision --arch=resnet50 FILE OUT.weights.h5
python train.py --encoder=resnet50_torch --encoder_weights=OUT.weights.h5 …

The numbers are copied, none is changed. The networks that they fit, and why Keras's own do not, are in
kzoo/nn/pytorch_encoders.py.
"""

import pathlib
import pickle
import re
from collections.abc import Callable, Mapping

import numpy as np
from absl import flags

from kzoo import UserError, cli, files
from kzoo.cli import frameworks
from kzoo.training import catalogue

SOURCES = ("torchvision", "timm")
SUFFIX = ".weights.h5"
ENVELOPES = ("state_dict", "model")  # under which training programs keep the state dict
# Of the classifier, and the counters of batch normalisation: no part of an encoder.
DROPPED = re.compile(r"(fc|classifier|pre_logits|head)\..*|.*\.num_batches_tracked")


def resnet_prefix(layer: str, source: str) -> str:
    """ "conv3_block1_2_bn" -> "layer2.0.bn2"; the same in both sources."""
    found = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if not found:
        return {"conv1_conv": "conv1", "conv1_bn": "bn1"}[layer]
    stage, block, number, kind = found.groups()
    inner = f"downsample.{int(kind == 'bn')}" if number == "0" else f"{kind}{number}"
    return f"layer{int(stage) - 1}.{int(block) - 1}.{inner}"


def vgg16_prefix(layer: str, source: str) -> str:
    """ "block2_conv1" -> "features.5": convolution, ReLU, …, pool are numbered in a row; the same in both sources."""
    block, number = map(int, re.fullmatch(r"block(\d)_conv(\d)", layer).groups())
    before = (2, 2, 3, 3, 3)[: block - 1]
    return f"features.{2 * sum(before) + len(before) + 2 * (number - 1)}"


def mobilenet_v2_prefix(layer: str, source: str) -> str:
    """ "block1_expand_bn" -> "features.2.conv.0.1" of torchvision, "blocks.1.0.bn1" of timm."""
    from kzoo.nn.pytorch_encoders import MOBILENET_STAGES  # with Keras, as all of it

    *_, part, kind = layer.split("_")
    norm, own = int(kind == "bn"), source == "timm"
    if layer.startswith(("stem", "head")):
        if own:
            return {"stem": ("conv_stem", "bn1"), "head": ("conv_head", "bn2")}[part][norm]
        return f"features.{0 if part == 'stem' else 18}.{norm}"
    index = int(re.match(r"block(\d+)_", layer).group(1))
    step = ("expand", "depthwise", "project").index(part) - (index == 0)  # the first block does not expand
    if not own:
        return f"features.{index + 1}.conv." + (f"{step + norm}" if part == "project" else f"{step}.{norm}")
    stage = 0
    while index >= MOBILENET_STAGES[stage][2]:
        index -= MOBILENET_STAGES[stage][2]
        stage += 1
    projection = "conv_pwl" if stage else "conv_pw"
    name = f"bn{step + 1}" if norm else {"expand": "conv_pw", "depthwise": "conv_dw", "project": projection}[part]
    return f"blocks.{stage}.{index}.{name}"


# (name of a layer, source) -> where its numbers lie in the state dict.
PREFIXES: dict[str, Callable] = {
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101"), resnet_prefix),
    "vgg16": vgg16_prefix,
    "mobilenet_v2": mobilenet_v2_prefix,
}


def read_state(path) -> dict[str, np.ndarray]:
    """The tensors of a .pth or .pt file (needs PyTorch) or of a .safetensors file (needs safetensors), as NumPy arrays.

    Raises:
        UserError: no such file, unreadable, a library is missing, or it holds something else than a state dict.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"no file at {path}; give a state dict: .pth, .pt or .safetensors")
    try:
        if path.suffix == ".safetensors":
            from safetensors.numpy import load_file

            return load_file(path)
        if path.suffix not in (".pth", ".pt"):
            raise UserError(f"{path} must end in .pth, .pt or .safetensors")
        import torch

        state = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError as error:
        raise UserError(
            f"{path} needs a library that is not installed: pip install {error.name.partition('.')[0]}"
        ) from error
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{path} is not a state dict: {' '.join(str(error).split())[:100]}; save model.state_dict()"
        ) from error
    except Exception as error:  # safetensors has its own, which is known only where it is installed; others go on
        if type(error).__module__.startswith("safetensors"):
            raise UserError(f"{path} is not a safetensors file: {error}") from error
        raise
    for name in ENVELOPES:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    if (
        not isinstance(state, Mapping)
        or not state
        or not all(isinstance(value, torch.Tensor) for value in state.values())
    ):
        raise UserError(
            f"{path} holds a {type(state).__name__}, not a state dict of tensors by name; save model.state_dict()"
        )
    return {str(name).removeprefix("module."): array_of(path, name, value) for name, value in state.items()}


def array_of(path, name, tensor) -> np.ndarray:
    """The numbers of one tensor of a state dict, float32.

    Raises:
        UserError: it is quantised, sparse, complex or on the device "meta": it has no such numbers.
    """
    try:
        if tensor.is_complex():
            raise TypeError("complex numbers")
        return np.asarray(tensor.detach().cpu().float().numpy(), "float32")
    except (RuntimeError, TypeError, NotImplementedError, AttributeError) as error:
        kind = f"{tensor.dtype}, {tensor.layout}, on {tensor.device}".replace("torch.", "")
        raise UserError(
            f"{path}: {name} ({kind}) holds no plain numbers; save model.state_dict() of the float model on the CPU"
        ) from error


def _numbers_of(layer) -> dict[str, tuple]:
    """{name in PyTorch: (weight of the layer, axes of PyTorch's array in this weight's order)}."""
    from keras import layers

    if isinstance(layer, layers.BatchNormalization):
        numbers = {
            "weight": layer.gamma,
            "bias": layer.beta,
            "running_mean": layer.moving_mean,
            "running_var": layer.moving_variance,
        }
        return {name: (weight, (0,)) for name, weight in numbers.items()}
    # (out, in, h, w) -> (h, w, in, out); depthwise: (channels, 1, h, w) -> (h, w, channels, 1)
    axes = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return {"weight": (layer.kernel, axes), **({"bias": (layer.bias, (0,))} if layer.use_bias else {})}


def convert(state: Mapping[str, np.ndarray], arch: str, source: str = "torchvision"):
    """The encoder with the weights of a state dict.

    Args:
        state: arrays by PyTorch's names; classifier and `num_batches_tracked` are left out; arch: key of NETWORKS;
        source: of SOURCES.
    Returns:
        keras.Model on (B, H, W, 3) z-scores.
    Raises:
        UserError: unknown arch or source, tensors are missing, are too many, or have another shape.
    """
    import keras

    from kzoo.nn.pytorch_encoders import NETWORKS

    network = cli.pick(NETWORKS, arch, "arch")
    cli.check_name(SOURCES, source, "from")
    model = network.build(keras.Input((32, 32, 3)))
    wanted = {
        f"{PREFIXES[arch](layer.name, source)}.{name}": number
        for layer in model.layers
        if layer.weights
        for name, number in _numbers_of(layer).items()
    }
    given = {name: value for name, value in state.items() if not DROPPED.fullmatch(name)}
    differences = (
        ("lacks", [name for name in wanted if name not in given]),
        ("has too much:", [name for name in given if name not in wanted]),
    )
    found = [
        f"{what} {', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}"
        for what, names in differences
        if names
    ]
    if found:
        raise UserError(f"this is no {source} {arch}: the state dict {'; it '.join(found)}")
    for name, (weight, axes) in wanted.items():
        expected = tuple(weight.shape[axes.index(axis)] for axis in range(len(axes)))
        if given[name].shape != expected:
            raise UserError(f"{name} has shape {given[name].shape}; {source} {arch} has {expected} there")
        weight.assign(np.transpose(given[name], axes))
    return model


def main(arguments: list[str]):
    if len(arguments) != 2:
        raise UserError(
            f"needs two names, got {len(arguments)}: python -m kzoo.convert --from=torchvision --arch=resnet50 FILE "
            f"OUT{SUFFIX}"
        )
    source, arch = flags.FLAGS["from"].value, flags.FLAGS.arch
    path, out = arguments
    known = catalogue.names_in("nn/pytorch_encoders", "NETWORKS")
    if not arch:
        raise UserError(f"--arch is needed; allowed: {', '.join(known)}")
    cli.check_name(known, arch, "arch")
    if not out.endswith(SUFFIX):
        raise UserError(f"the file to write must end in {SUFFIX}, got {out}")
    if not pathlib.Path(path).is_file():
        raise UserError(f"no file at {path}; give a state dict: .pth, .pt or .safetensors")
    files.check_writable(pathlib.Path(out).parent)
    frameworks.start()
    from kzoo.nn.pytorch_encoders import NETWORKS

    model = convert(read_state(path), arch, source)
    with files.replacing(out) as temporary:
        model.save_weights(temporary)
    print(f"wrote {out}: {model.count_params():,} numbers")
    print("next:", cli.command("train", f"--encoder={NETWORKS[arch].encoder}", f"--encoder_weights={out}"))


if __name__ == "__main__":
    flags.DEFINE_enum("from", "torchvision", SOURCES, "whose names the state dict has")
    names = ", ".join(catalogue.names_in("nn/pytorch_encoders", "NETWORKS"))
    flags.DEFINE_string("arch", None, f"one of {names}")
    cli.run(main, positional=True)
