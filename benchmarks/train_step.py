"""Training speed of kzoo's networks against the same networks in plain PyTorch: images/s, forward + backward + AdamW.

    pip install torch
    python benchmarks/train_step.py
    python benchmarks/train_step.py --compile --steps=100 --batch_size=64                     # with a GPU
    KERAS_BACKEND=jax python benchmarks/train_step.py --compile --steps=100 --batch_size=64   # needs no TensorFlow

`regression` and `softargmax` with ResNet50 and their default hyperparameters, uint8 pictures and keypoints made up
once, L1 loss on the labelled joints. kzoo runs under the Keras backend of KERAS_BACKEND as train.py runs it: XLA off on
TensorFlow's CPU, Keras's "auto" elsewhere. `--loop=train_on_batch` waits for the loss of every step; `--loop=fit` calls
`model.fit`, which does not, and reads the loss at the end, as the PyTorch loop does: on a GPU use fit. bfloat16 is the
policy mixed_bfloat16 against torch.autocast.

The PyTorch networks are written below from the papers. They have the parameters of the Keras ones but for the biases
that keras.applications gives the 53 convolutions of ResNet50 (26,560; each is followed by BatchNorm, which takes them
out again).
"""

import json
import os
import pathlib
import sys
import time

import contenders
import numpy as np

JOINTS = 17
PRECISIONS = ("float32", "bfloat16")
LR = WEIGHT_DECAY = 1e-4


def synthetic(size: int, batch_size: int):
    """Pictures (B, size, size, 3) uint8 and keypoints (B, J, 3) float32."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, size, size, 3), dtype=np.uint8)
    keypoints = np.concatenate(
        [rng.random((batch_size, JOINTS, 2)), rng.integers(0, 3, (batch_size, JOINTS, 1))], axis=-1
    )
    return images, keypoints.astype("float32")


def keras_trainer(settings):
    """Function steps -> loss of the last step, or of the mean; and the facts for the table."""
    import keras

    from kzoo.losses.pose import CoordinateLoss
    from kzoo.models.regression import regression
    from kzoo.models.softargmax import softargmax

    keras.config.set_dtype_policy({"float32": "float32", "bfloat16": "mixed_bfloat16"}[settings["precision"]])
    keras.utils.set_random_seed(0)
    function = {"regression": regression, "softargmax": softargmax}[settings["model"]]
    model = function((settings["size"], settings["size"], 3), JOINTS)
    accelerator = any("cpu" not in device.lower() for device in keras.distribution.list_devices())
    jit = "auto" if accelerator or keras.backend.backend() != "tensorflow" else False
    model.compile(
        keras.optimizers.AdamW(LR, weight_decay=WEIGHT_DECAY),
        loss={"coords": CoordinateLoss(norm="l1")},
        jit_compile=jit,
    )
    images, keypoints = synthetic(settings["size"], settings["batch_size"])

    def on_batches(steps):
        for _ in range(steps):
            logs = model.train_on_batch(images, {"coords": keypoints}, return_dict=True)
        return logs["loss"]

    def with_fit(steps):
        batches = ((images, {"coords": keypoints}) for _ in iter(int, 1))
        return model.fit(batches, steps_per_epoch=steps, epochs=1, verbose=0).history["loss"][0]

    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    about = {
        "weights": weights,
        "statistics": model.count_params() - weights,
        "device": ", ".join(keras.distribution.list_devices()),
        "backend": keras.backend.backend(),
    }
    return {"train_on_batch": on_batches, "fit": with_fit}[settings["loop"]], about


def torch_networks():
    """The two networks as functions joints -> nn.Module: (B, H, W, 3) uint8 -> (B, J, 2) float32."""
    import torch
    from torch import nn

    # The encoder.
    def conv_bn(inputs, outputs, kernel, stride=1):
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    class Bottleneck(nn.Module):
        """1x1, 3x3, 1x1 (He et al. 2016, figure 5, right).

        The stride is on the first convolution, as in the paper and in Keras.
        """

        def __init__(self, inputs, width, stride):
            super().__init__()
            self.residual = nn.Sequential(
                conv_bn(inputs, width, 1, stride),
                nn.ReLU(inplace=True),
                conv_bn(width, width, 3),
                nn.ReLU(inplace=True),
                conv_bn(width, 4 * width, 1),
            )
            self.shortcut = nn.Identity() if inputs == 4 * width else conv_bn(inputs, 4 * width, 1, stride)

        def forward(self, x):
            return torch.relu_(self.residual(x) + self.shortcut(x))

    def resnet50():
        """He et al. 2016, table 1, 50-layer, without the classifier."""
        blocks = [conv_bn(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
        inputs = 64
        for stage, (width, count) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True)):
            for block in range(count):
                blocks.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
                inputs = 4 * width
        return nn.Sequential(*blocks)

    # What both have around it.
    class Network(nn.Module):
        """Scaling, encoder, decoder, and a head in float32 under autocast too."""

        def __init__(self, decoder, head):
            super().__init__()
            self.register_buffer("mean", torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1))
            self.body = nn.Sequential(resnet50(), *decoder)
            self.head = head
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    nn.init.kaiming_normal_(module.weight)

        def forward(self, image):
            x = self.body(image.permute(0, 3, 1, 2).flip(1).float() - self.mean)
            with torch.autocast(image.device.type, enabled=False):
                return self.head(x.float())

    # Their heads and decoders.
    class SoftArgmax(nn.Module):
        """1x1 convolution and expected position (Sun et al. 2018, eq. 2)."""

        def __init__(self, inputs, joints):
            super().__init__()
            self.logits = nn.Conv2d(inputs, joints, 1)

        def forward(self, x):
            logits = self.logits(x)
            height, width = logits.shape[2:]
            p = logits.flatten(2).softmax(-1).view_as(logits)
            columns = (torch.arange(width, device=x.device) + 0.5) / width
            rows = (torch.arange(height, device=x.device) + 0.5) / height
            return torch.stack([(p.sum(2) * columns).sum(-1), (p.sum(3) * rows).sum(-1)], dim=-1)

    def regression(joints):
        dense = nn.Linear(2048, 2 * joints)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), dense, nn.Unflatten(1, (joints, 2)))
        return Network([], head)

    def softargmax(joints, widths=(256, 256, 256)):
        decoder = []
        inputs = 2048
        for width in widths:  # Xiao et al. 2018: transposed convolution 4x4 stride 2; then one 3x3
            decoder += [
                nn.ConvTranspose2d(inputs, width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                conv_bn(width, width, 3),
                nn.ReLU(inplace=True),
            ]
            inputs = width
        return Network(decoder, SoftArgmax(inputs, joints))

    return {"regression": regression, "softargmax": softargmax}


def torch_trainer(settings):
    """Function steps -> loss of the last step; and the facts for the table."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")  # TF32 on GPUs, as TensorFlow and JAX have it by default
    torch.backends.cudnn.benchmark = True  # they search for the fastest convolution too
    layout = torch.channels_last if settings["channels_last"] else torch.contiguous_format
    network = torch_networks()[settings["model"]](JOINTS).to(device, memory_format=layout).train()
    weights = sum(p.numel() for p in network.parameters())
    statistics = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    forward = torch.compile(network) if settings["compile"] else network
    images, keypoints = map(torch.from_numpy, synthetic(settings["size"], settings["batch_size"]))

    def train(steps):
        for _ in range(steps):
            pictures, truth = images.to(device, non_blocking=True), keypoints.to(device, non_blocking=True)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, dtype=torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
                coords = forward(pictures)
            labelled = (truth[..., 2] > 0).float()
            loss = ((coords - truth[..., :2]).abs().sum(-1) * labelled).sum() / labelled.sum().clamp_min(1e-6)
            loss.backward()
            optimizer.step()
            if settings["loop"] == "train_on_batch":
                loss.item()
        return loss.item()

    return train, {"weights": weights, "statistics": statistics, "device": device}


def start(settings):
    """For `contenders.serve`: `work(steps)` times that many steps."""
    train, about = (keras_trainer if settings["framework"] == "kzoo" else torch_trainer)(settings)
    started = time.perf_counter()
    train(1)
    about["first_step_s"] = time.perf_counter() - started
    train(settings["warmup"])

    def work(steps):
        started = time.perf_counter()
        loss = float(train(steps))
        seconds = time.perf_counter() - started
        if not np.isfinite(loss):
            raise ArithmeticError(f"the loss is {loss}")
        return {"images_per_s": steps * settings["batch_size"] / seconds, "loss": loss}

    return about, work


def measure(settings, flag):
    """One network in one precision: rows of the table and the record for --out.

    The processes end with it, to give back their memory.
    """
    ours = f"kzoo ({os.environ.get('KERAS_BACKEND', 'tensorflow')})"
    environment = {
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    rows = {
        ours: ({**settings, "framework": "kzoo"}, environment),
        "PyTorch eager": ({**settings, "framework": "torch"}, {}),
    }
    if flag.compile:
        rows["PyTorch torch.compile"] = ({**settings, "framework": "torch", "compile": True}, {})
    running = contenders.start_all(__file__, rows)
    try:
        result = contenders.summary(contenders.interleave(running, flag.rounds, flag.steps), ours)
    finally:
        for contender in running.values():
            contender.close()
    for name, row in result.items():
        row.update(running[name].about)
    lines = [
        [
            settings["model"],
            settings["precision"],
            name,
            f"{row['median']:.2f}",
            f"{row['min']:.2f} to {row['max']:.2f}",
            f"{row['ratio']:.2f}" if "ratio" in row else "-",
            f"{row['weights']:,}",
            f"{row['statistics']:,}",
            f"{row['first_step_s']:.1f}",
        ]
        for name, row in result.items()
    ]
    return lines, {"model": settings["model"], "precision": settings["precision"], "results": result}


def main():
    from absl import flags

    flag = flags.FLAGS
    # Each network in each precision.
    hardware = contenders.hardware()
    lines = []
    records = []
    packages = contenders.versions("kzoo", "keras", "tensorflow", "jax", "torch", "numpy")
    for model in flag.models:
        for precision in flag.precisions:
            print(f"{model}, {precision}", file=sys.stderr)
            settings = {"model": model, "precision": precision, "size": flag.size, "batch_size": flag.batch_size}
            settings |= {"warmup": flag.warmup, "loop": flag.loop, "channels_last": flag.channels_last}
            more, record = measure({**settings, "compile": False}, flag)
            lines += more
            records.append(record)
            if flag.out:  # after each, so that a run that is stopped leaves what it has
                used = ("size", "batch_size", "steps", "rounds", "warmup", "loop", "channels_last")
                flags_used = {name: flag[name].value for name in used}
                report = {"hardware": hardware, "versions": packages, "flags": flags_used, "measurements": records}
                pathlib.Path(flag.out).write_text(json.dumps(report, indent=1))

    # The table.
    devices = set()
    for record in records:
        devices |= {row["device"] for row in record["results"].values()}
    layout = "last" if flag.channels_last else "first"
    print(
        f"\nTraining step, ResNet50, {flag.size} px, batch {flag.batch_size}, {flag.rounds} rounds of {flag.steps} "
        f"steps, --loop={flag.loop}, PyTorch channels {layout}, on {', '.join(sorted(devices))}\n"
    )
    header = ["network", "precision", "framework", "images/s (median)", "min to max", "kzoo ÷ it"]
    print(contenders.table([*header, "weights", "BatchNorm statistics", "first step, s"], lines))
    print(f"\n{hardware}; {packages}")


def _define_flags():
    from absl import flags

    flags.DEFINE_integer("size", 224, "side of the picture in pixels, a multiple of 32", lower_bound=32)
    flags.DEFINE_integer("batch_size", 8, "pictures a step", lower_bound=1)
    flags.DEFINE_integer("steps", 5, "steps a round", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "times that every framework has its turn", lower_bound=1)
    flags.DEFINE_integer("warmup", 2, "steps before the first round, besides the first", lower_bound=1)
    flags.DEFINE_multi_enum(
        "models", ["regression", "softargmax"], ["regression", "softargmax"], "networks; may be repeated"
    )
    flags.DEFINE_multi_enum("precisions", list(PRECISIONS), list(PRECISIONS), "precisions; may be repeated")
    flags.DEFINE_enum(
        "loop", "train_on_batch", ["train_on_batch", "fit"], "read the loss at every step, or at the end of a round"
    )
    flags.DEFINE_boolean("compile", False, "torch.compile as a third contender (meant for GPUs)")
    flags.DEFINE_boolean("channels_last", False, "PyTorch's networks in torch.channels_last")
    flags.DEFINE_string("out", None, "JSON file for the numbers")


if __name__ == "__main__":
    if sys.argv[1:] == ["--worker"]:
        contenders.serve(start)
    try:
        from kzoo import cli
    except ImportError:  # not installed: the package next to this folder
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
        from kzoo import cli

    _define_flags()
    cli.run(main)
