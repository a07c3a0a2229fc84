"""PyTorch's weights in kzoo's encoders: the same features at every tap (peer), layouts, published sizes, one line for
what does not fit."""

import sys

import keras
import numpy as np
import pytest

from kzoo import UserError
from kzoo.nn import encoders
from kzoo.nn.pytorch_encoders import NETWORKS, scale_imagenet
from kzoo.programs import convert

SIDE = 64
# Parameters of torchvision's models (pytorch.org/vision, tables of weights) without their classifier of 1,000 classes.
PARAMETERS = {
    "resnet18": 11_689_512 - 513_000,
    "resnet34": 21_797_672 - 513_000,
    "resnet50": 25_557_032 - 2_049_000,
    "resnet101": 44_549_160 - 2_049_000,
    "vgg16": 138_357_544 - (25_088 * 4_096 + 4_096 + 4_096 * 4_096 + 4_096 + 4_097_000),
    "mobilenet_v2": 3_504_872 - 1_281_000,
}


def fake_state(arch: str, source: str = "torchvision") -> dict[str, np.ndarray]:
    """Random arrays of the right names and shapes, from the encoder itself, as PyTorch lays them out."""
    rng, state = np.random.default_rng(0), {}
    for layer in NETWORKS[arch].build(keras.Input((32, 32, 3))).layers:
        for name, (weight, axes) in convert._numbers_of(layer).items() if layer.weights else ():
            shape = [weight.shape[axes.index(axis)] for axis in range(len(axes))]
            state[f"{convert.PREFIXES[arch](layer.name, source)}.{name}"] = rng.uniform(0.5, 1.5, shape).astype(
                "float32"
            )
    return state


@pytest.fixture(scope="module")
def resnet18():
    return fake_state("resnet18")


def test_every_network_is_an_encoder():
    assert set(NETWORKS) == set(convert.PREFIXES) == set(PARAMETERS)
    for network in NETWORKS.values():
        row = encoders.ENCODERS[network.encoder]
        assert (row.build, row.taps, row.scale, row.units) == (
            network.build,
            network.taps,
            scale_imagenet,
            network.units,
        )


@pytest.mark.parametrize("arch", PARAMETERS)
def test_networks_have_the_published_size(arch):
    model = NETWORKS[arch].build(keras.Input((32, 32, 3)))
    assert sum(np.prod(weight.shape) for weight in model.trainable_variables) == PARAMETERS[arch]


@pytest.mark.parametrize(
    ("arch", "source", "layer", "prefix"),
    [
        ("resnet18", "torchvision", "conv1_bn", "bn1"),
        ("resnet50", "timm", "conv3_block1_0_conv", "layer2.0.downsample.0"),
        ("resnet50", "torchvision", "conv5_block3_2_bn", "layer4.2.bn2"),
        ("vgg16", "torchvision", "block1_conv1", "features.0"),
        ("vgg16", "timm", "block5_conv3", "features.28"),
        ("mobilenet_v2", "torchvision", "stem_bn", "features.0.1"),
        ("mobilenet_v2", "torchvision", "block0_depthwise_conv", "features.1.conv.0.0"),
        ("mobilenet_v2", "torchvision", "block0_project_bn", "features.1.conv.2"),
        ("mobilenet_v2", "torchvision", "block16_project_conv", "features.17.conv.2"),
        ("mobilenet_v2", "timm", "block0_project_conv", "blocks.0.0.conv_pw"),
        ("mobilenet_v2", "timm", "block0_depthwise_bn", "blocks.0.0.bn1"),
        ("mobilenet_v2", "timm", "block16_project_bn", "blocks.6.0.bn3"),
        ("mobilenet_v2", "timm", "block5_expand_conv", "blocks.2.2.conv_pw"),
        ("mobilenet_v2", "timm", "head_bn", "bn2"),
    ],
)
def test_names(arch, source, layer, prefix):
    assert convert.PREFIXES[arch](layer, source) == prefix


def test_layouts(resnet18):
    model = convert.convert(
        {**resnet18, "fc.weight": np.ones((1000, 512)), "bn1.num_batches_tracked": np.array(7)}, "resnet18"
    )
    np.testing.assert_array_equal(
        model.get_layer("conv1_conv").kernel[1, 2, 0, 5], resnet18["conv1.weight"][5, 0, 1, 2]
    )
    for name, weight in {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }.items():
        np.testing.assert_array_equal(
            getattr(model.get_layer("conv2_block1_1_bn"), weight), resnet18[f"layer1.0.bn1.{name}"]
        )
    mobile = fake_state("mobilenet_v2", "timm")
    kernel = convert.convert(mobile, "mobilenet_v2", "timm").get_layer("block3_depthwise_conv").kernel
    np.testing.assert_array_equal(kernel[0, 2, 7, 0], mobile["blocks.2.0.conv_dw.weight"][7, 0, 0, 2])


def test_scale_is_imagenets():
    image = keras.Input((1, 1, 3), dtype="uint8")
    pixel = np.array([[[[255, 0, 51]]]], "uint8")
    found = keras.Model(image, scale_imagenet(image)).predict_on_batch(pixel)[0, 0, 0]
    np.testing.assert_allclose(found, [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer2.0.downsample.0.weight"), "lacks layer2.0.downsample.0.weight$"),
        (lambda s: s.update({"conv_stem.weight": s["conv1.weight"]}), "has too much: conv_stem.weight$"),
        (
            lambda s: s.update({"conv1.weight": np.zeros((64, 1, 7, 7))}),
            r"conv1.weight has shape \(64, 1, 7, 7\); .* \(64, 3, 7, 7\)",
        ),
        (lambda s: s.clear(), "lacks conv1.weight, .* and 97 more"),
    ],
)
def test_states_that_do_not_fit(resnet18, change, message):
    state = dict(resnet18)
    change(state)
    with pytest.raises(UserError, match=message):
        convert.convert(state, "resnet18")


@pytest.mark.parametrize(
    ("arch", "source", "message"),
    [("resnet19", "timm", "--arch='resnet19'; allowed: resnet18"), ("vgg16", "jax", "--from='jax'")],
)
def test_unknown_networks(arch, source, message):
    with pytest.raises(UserError, match=message):
        convert.convert({}, arch, source)


def test_files_without_their_library(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="pip install safetensors"):
        convert.read_state(path)
    with pytest.raises(UserError, match="pip install torch"):
        convert.read_state(path.rename(tmp_path / "a.pth"))
    with pytest.raises(UserError, match="no file at"):
        convert.read_state(tmp_path / "b.pth")
    with pytest.raises(UserError, match="must end in .pth"):
        convert.read_state((tmp_path / "a.pth").rename(tmp_path / "a.h5"))


# From here on against PyTorch: plain modules with torchvision's attribute names, which fix the names in the state dict.


def torch_resnet(blocks, bottleneck):
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs, width, stride):
            super().__init__()
            out = width * 4 if bottleneck else width
            sizes = [(1, 1), (3, stride), (1, 1)] if bottleneck else [(3, stride), (3, 1)]
            channels = [inputs, *[width] * (len(sizes) - 1), out]
            self.count = len(sizes)
            for i, (size, step) in enumerate(sizes, start=1):
                setattr(self, f"conv{i}", nn.Conv2d(channels[i - 1], channels[i], size, step, size // 2, bias=False))
                setattr(self, f"bn{i}", nn.BatchNorm2d(channels[i]))
            self.downsample = None
            if stride > 1 or inputs != out:
                self.downsample = nn.Sequential(nn.Conv2d(inputs, out, 1, stride, bias=False), nn.BatchNorm2d(out))

        def forward(self, x):
            y = x
            for i in range(1, self.count + 1):
                y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
                y = y if i == self.count else torch.relu(y)
            return torch.relu(y + (self.downsample(x) if self.downsample else x))

    class ResNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1, inputs = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), 64
            for stage, count in enumerate(blocks):
                rows = []
                for block in range(count):
                    rows.append(Block(inputs, 64 * 2**stage, 2 if stage and not block else 1))
                    inputs = 64 * 2**stage * (4 if bottleneck else 1)
                setattr(self, f"layer{stage + 1}", nn.Sequential(*rows))
            self.fc = nn.Linear(inputs, 10)

        def forward(self, x):
            maps = [torch.relu(self.bn1(self.conv1(x)))]
            x = nn.functional.max_pool2d(maps[0], 3, 2, 1)
            for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
                x = stage(x)
                maps.append(x)
            return maps

    return ResNet()


def torch_vgg16():
    from torch import nn

    class VGG(nn.Module):
        def __init__(self):
            super().__init__()
            rows, inputs = [], 3
            for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
                for _ in range(count):
                    rows += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                    inputs = width
                rows.append(nn.MaxPool2d(2))
            self.features, self.classifier = nn.Sequential(*rows), nn.Sequential(nn.Linear(4, 4))

        def forward(self, x):
            maps = {}
            for i, layer in enumerate(self.features):
                maps[i] = x = layer(x)
            return [maps[i] for i in (8, 15, 22, 29, 30)]

    return VGG()


def torch_mobilenet_v2():
    from torch import nn

    def unit(inputs, out, size, stride=1, groups=1):
        return nn.Sequential(
            nn.Conv2d(inputs, out, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(out), nn.ReLU6()
        )

    class Inverted(nn.Module):
        def __init__(self, inputs, out, stride, factor):
            super().__init__()
            width = inputs * factor
            rows = [unit(inputs, width, 1)] if factor > 1 else []
            rows += [unit(width, width, 3, stride, width), nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)]
            self.conv, self.add = nn.Sequential(*rows), stride == 1 and inputs == out

        def forward(self, x):
            return x + self.conv(x) if self.add else self.conv(x)

    class MobileNetV2(nn.Module):
        def __init__(self):
            super().__init__()
            rows, inputs = [unit(3, 32, 3, 2)], 32
            table = (
                (1, 16, 1, 1),
                (6, 24, 2, 2),
                (6, 32, 3, 2),
                (6, 64, 4, 2),
                (6, 96, 3, 1),
                (6, 160, 3, 2),
                (6, 320, 1, 1),
            )
            for factor, out, count, stride in table:
                for block in range(count):
                    rows.append(Inverted(inputs, out, 1 if block else stride, factor))
                    inputs = out
            self.features = nn.Sequential(*rows, unit(320, 1280, 1))
            self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(1280, 10))

        def forward(self, x):
            maps = []
            for i, layer in enumerate(self.features):
                if i in (2, 4, 7, 14):  # the first block at each stride, after its expansion
                    maps.append(layer.conv[0](x))
                x = layer(x)
            return [*maps, x]

    return MobileNetV2()


TORCH = {
    "resnet18": lambda: torch_resnet((2, 2, 2, 2), False),
    "resnet50": lambda: torch_resnet((3, 4, 6, 3), True),
    "vgg16": torch_vgg16,
    "mobilenet_v2": torch_mobilenet_v2,
}


@pytest.mark.peer
@pytest.mark.parametrize("arch", TORCH)
def test_features_are_pytorchs(arch, tmp_path, monkeypatch, capsys):
    """FILE -> the program -> --encoder_weights: equal features at all five taps, of pictures up to their borders."""
    torch = pytest.importorskip("torch")
    from absl import flags

    torch.manual_seed(0)
    module = TORCH[arch]()
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                torch.nn.init.normal_(part.bias, std=0.1)
        elif isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.3, 0.3)
            part.momentum = (
                1.0  # the statistics of one batch: those of no relation to the features would amplify rounding errors
            )
    module.train()(torch.randn(4, 3, SIDE, SIDE))
    module.eval()
    source, out = tmp_path / "a.pth", tmp_path / "a.weights.h5"
    torch.save({"state_dict": {f"module.{name}": value for name, value in module.state_dict().items()}}, source)
    values = flags.FlagValues()
    flags.DEFINE_string("from", "torchvision", "", flag_values=values)
    flags.DEFINE_string("arch", arch, "", flag_values=values)
    values.mark_as_parsed()
    monkeypatch.setattr(flags, "FLAGS", values)
    convert.main([str(source), str(out)])
    assert f"--encoder={NETWORKS[arch].encoder} --encoder_weights={out}" in capsys.readouterr().out

    pixels = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), dtype="uint8")
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():  # (B, H, W, C) -> (B, C, H, W)
        expected = module(((torch.tensor(pixels) / 255 - mean) / deviation).permute(0, 3, 1, 2))
    image = keras.Input((SIDE, SIDE, 3), dtype="uint8")
    found = keras.Model(image, encoders.encode(image, NETWORKS[arch].encoder, str(out))).predict_on_batch(pixels)
    assert [SIDE // x.shape[1] for x in found] == [2, 4, 8, 16, 32]
    for x, y in zip(found, expected, strict=True):
        y = y.permute(0, 2, 3, 1).numpy()
        assert np.abs(y).max() > 0.01
        np.testing.assert_allclose(x / np.abs(y).max(), y / np.abs(y).max(), atol=1e-4)


@pytest.mark.peer
@pytest.mark.parametrize(
    ("content", "message"), [(b"no zip", "is not a state dict"), ([1, 2], "holds a list"), ({"a": 3}, "holds a dict")]
)
def test_files_that_hold_no_state(content, message, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "a.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match=message):
        convert.read_state(path)


class Tensor:
    """Stands for one of PyTorch's that has no plain numbers."""

    dtype, layout, device = "torch.qint8", "torch.sparse_coo", "meta"

    def __init__(self, *, gradient=False, complex_=False, error=None):
        self.gradient, self.complex_, self.error = gradient, complex_, error

    def is_complex(self):
        return self.complex_

    def detach(self):
        return Tensor(error=self.error)

    def cpu(self):
        return self

    float = cpu

    def numpy(self):
        if self.gradient:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad")
        if self.error:
            raise self.error
        return np.ones(3)


def test_a_parameter_is_a_tensor():
    assert convert.array_of("a.pth", "conv1.weight", Tensor(gradient=True)).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(complex_=True),
        Tensor(error=NotImplementedError("Cannot copy out of meta tensor; no data!")),
        Tensor(error=TypeError("can't convert Sparse layout tensor to numpy.")),
        Tensor(error=RuntimeError("quantized")),
    ],
    ids=["complex", "meta", "sparse", "quantised"],
)
def test_tensors_without_plain_numbers_are_one_line(tensor):
    with pytest.raises(UserError, match=r"a.pth: conv1.weight \(qint8, sparse_coo, on meta\) holds no plain numbers"):
        convert.array_of("a.pth", "conv1.weight", tensor)
