"""The published architectures, one file each, and as functions: `kzoo.models.unet(input_shape, num_outputs)`."""

import importlib
import pkgutil

import kzoo.nn.conventions  # noqa: F401

__all__ = sorted(module.name for module in pkgutil.iter_modules(__path__))
for _name in __all__:  # the function takes the place of its file's module, which is named as it is
    globals()[_name] = getattr(importlib.import_module(f"kzoo.models.{_name}"), _name)
