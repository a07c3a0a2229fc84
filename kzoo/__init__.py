"""kzoo: published networks for people and scenes, side by side in Keras 3.

import kzoo

run = kzoo.load("runs/me")
run.predict("me.jpg")                       # decoded, in the picture's own pixels
model = kzoo.create_model("unet", (256, 256, 3), 7, encoder="small", encoder_weights="none")
model.compile("adam", **kzoo.compile_arguments(model, "seg"))

What stands here is imported when it is first used: `import kzoo` starts no framework.
"""

import importlib.util
import os
import sys

from kzoo.nn import keras_classes

# `python -m kzoo.train` is kzoo/programs/train/: programs have a folder of their own.
_HERE = os.path.dirname(__file__)
__path__.append(os.path.join(_HERE, "programs"))
# In a checkout kzoo.datasets is the folder beside this one, installed or not; a wheel has it in here.
if not os.path.isdir(os.path.join(_HERE, "datasets")):
    _beside = os.path.join(os.path.dirname(_HERE), "datasets")
    _spec = importlib.util.spec_from_file_location("kzoo.datasets", os.path.join(_beside, "__init__.py"))
    datasets = sys.modules["kzoo.datasets"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(datasets)

_LAZY = {  # name -> module that has it
    "load": "kzoo.runs",
    "create_model": "kzoo.training.face",
    "compile_arguments": "kzoo.training.face",
    "list_models": "kzoo.training.face",
    "TASKS": "kzoo.tasks",
    "Run": "kzoo.runs",
    "metadata_of": "kzoo.inference.metadata",
}
__all__ = ["UserError", "__version__", *_LAZY]  # noqa: PLE0604, F822

keras_classes.register()  # so that `keras.saving.load_model` knows what a network of kzoo is made of


class UserError(Exception):
    """A user's mistake, told in one line: what was wrong, what was received, what is allowed. Ends a program with exit
    code 2."""


def __getattr__(name: str):
    """PEP 562: what _LAZY names, and the version of the installed package."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("kzoo")
    if name not in _LAZY:
        raise AttributeError(f"module 'kzoo' has no attribute {name!r}")
    from kzoo.cli import frameworks

    frameworks.start()
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__():
    return sorted({*globals(), *__all__})
