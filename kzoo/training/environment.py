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


PACKAGES = ("kzoo", "keras", "tensorflow", "tensorflow-datasets", "numpy")
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]  # the folder that holds kzoo/: of the repository, or installed


def provenance(model: keras.Model) -> dict:
    """What a reader must know to trust and repeat a run: versions, machine, commit, size of the network."""
    return {
        "parameters": model.count_params(),
        "trainable_parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        "versions": {
            "python": platform.python_version(),
            "backend": keras.backend.backend(),
            **{name: version for name in PACKAGES if (version := _version(name))},
        },
        "device": f"{', '.join(keras.distribution.list_devices())}; {os.cpu_count()} CPU cores, {platform.machine()}",
        "commit": commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def _version(package: str) -> str | None:
    """None where it is not installed under this name: tensorflow is also tensorflow-cpu."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of kzoo's own checkout; None where there is no git, or this is an installed copy, which may lie inside
    somebody's repository."""
    top = _git("rev-parse", "--show-toplevel")
    if not top or pathlib.Path(top).resolve() != CHECKOUT:
        return None
    if not _git("ls-files", "--", str(pathlib.Path(__file__).resolve().relative_to(CHECKOUT))):
        return None
    return _git("describe", "--always", "--dirty", "--abbrev=12")


def _git(*arguments: str) -> str | None:
    """What git says of the checkout, None where it says nothing."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, env=plain, check=False, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
