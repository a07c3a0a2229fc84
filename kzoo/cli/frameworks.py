"""Starting Keras and TensorFlow: quietly, and on a backend that is there."""

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import pathlib
import re
import sys
import tempfile
import warnings

from kzoo import UserError

BACKENDS = ("tensorflow", "jax", "torch")
ERROR = re.compile(r"[EF]\d{4} |\S+Error\b")  # how a line of one begins
HARMLESS = re.compile(  # errors by their letter: of every start of TensorFlow's GPU builds, and of machines without one
    r"Unable to register cu\w+ (factory|plugin)|computation placer already registered"
    + ("" if os.path.exists("/dev/nvidia0") else r"|failed call to cuInit|CUDA_ERROR_NO_DEVICE|no CUDA-capable device")
)


def start():
    """Import TensorFlow and Keras, if that is still to be done. Programs call it once their flags are known to fit.

    Raises:
        UserError: Keras's backend is not installed, or is none that kzoo knows.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a home that cannot be written has a cache elsewhere
    check_backend(backend())
    with quiet():
        importlib.import_module("tensorflow").config.list_physical_devices()  # looks for GPUs, and tells of it
        importlib.import_module("keras")


def backend() -> str:
    """The one that Keras will take: of KERAS_BACKEND, or of its keras.json."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        return json.loads(pathlib.Path(home, "keras.json").read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def check_backend(name: str):
    """Raises UserError where Keras could not start with it."""
    asked = f"KERAS_BACKEND={name!r}" if os.environ.get("KERAS_BACKEND") else f"the backend {name!r} of keras.json"
    if name not in BACKENDS:
        raise UserError(f"{asked} is not one that kzoo runs on; allowed: {', '.join(BACKENDS)}")
    if not importlib.util.find_spec(name):
        raise UserError(f"{asked} is not installed: pip install {name}, or set KERAS_BACKEND=tensorflow")


@contextlib.contextmanager
def quiet():
    """Hold back what is written to standard error meanwhile, by C++ too, and show of it what is an error; all of it
    where the block fails, or with TF_CPP_MIN_LOG_LEVEL=0.

    TensorFlow writes before anything in Python could ask it not to.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    failed = False
    with _held_back() as kept:
        try:
            yield
        except Exception:  # passed on: only then all that was held back is shown
            failed = True
            raise
        finally:
            if kept:
                kept(failed)


@contextlib.contextmanager
def _held_back():
    """Descriptor 2 is a file meanwhile; gives what restores it and shows its lines, None where there is no descriptor
    2 or no place for a file."""
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (OSError, AttributeError, ValueError):
        yield None
        return
    try:
        file = tempfile.TemporaryFile()
    except OSError:
        os.close(real)
        yield None
        return
    os.dup2(file.fileno(), 2)

    def end(everything: bool):
        sys.stderr.flush()
        os.dup2(real, 2)
        file.seek(0)
        for line in file.read().decode(errors="replace").splitlines():
            if everything or (ERROR.match(line) and not HARMLESS.search(line)):
                print(line, file=sys.stderr)

    try:
        yield end
    finally:
        os.close(real)
        file.close()


def only_own_warnings():
    """Of Python's warnings show kzoo's own, in a line; those of libraries are for their authors. -W shows them all."""
    if sys.warnoptions:
        return
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module=r"kzoo\b")
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
