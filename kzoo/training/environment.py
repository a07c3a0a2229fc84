"""The machine that trains: accelerator, precision, XLA, and what a run must tell about where it came from."""

import contextlib
import math
import os
import pathlib
import platform
import subprocess
import time
from importlib import metadata

import keras


def on_accelerator() -> bool:
    """True when Keras's backend computes on something other than a CPU."""
    return any("cpu" not in device.lower() for device in keras.distribution.list_devices())


def precision(choice: str, accelerator: bool) -> str:
    """Name of the dtype policy; "auto" is float32 on a CPU and mixed_bfloat16 elsewhere."""
    return choice if choice != "auto" else "mixed_bfloat16" if accelerator else "float32"


@contextlib.contextmanager
def float32():
    """While it lasts, networks are built in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


def jit(choice: str, accelerator: bool):
    """`jit_compile` of `model.compile`: XLA is slower than TensorFlow's own kernels on a CPU, and JAX cannot do without
    it."""
    if choice != "auto":
        return choice == "on"
    return "auto" if accelerator or keras.backend.backend() != "tensorflow" else False


def provenance(model: keras.Model) -> dict:
    """What a reader must know to trust and repeat a run: versions, machine, commit, size of the network."""
    packages = ("kzoo", "keras", "tensorflow", "tensorflow-datasets", "numpy")
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return {
        "parameters": model.count_params(),
        "trainable_parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        "versions": {
            "python": platform.python_version(),
            "backend": keras.backend.backend(),
            **{p: metadata.version(p) for p in packages},
        },
        "device": f"{', '.join(keras.distribution.list_devices())}; {os.cpu_count()} CPU cores, {platform.machine()}",
        "commit": commit.stdout.strip() or None,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }
