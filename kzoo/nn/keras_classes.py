"""Keras finds kzoo's classes by their names in a saved network, though `import kzoo` starts no framework.

Keras imports nobody's modules for the names in a file: it asks its registry. So a stand-in is registered for each class
once Keras is there, and imports the class when a network of it is loaded.
"""

import importlib
import sys

CLASSES = {  # module -> what it registers as kzoo>Name
    "kzoo.nn.layers": ("SoftArgmax", "ColourTransform", "LearnedWeights", "UnitPower", "SoftAssignment"),
    "kzoo.nn.initializers": ("MultiBranch", "Bilinear"),
    "kzoo.nn.upsampling": ("MaxSwitches", "BilinearStart", "ICNR"),
    "kzoo.models.cpm": ("CentreMap",),
    "kzoo.models.deeppose": ("JointCrops",),
    "kzoo.models.dual_input": ("LabelPicture",),
    "kzoo.losses.cluster": ("ClusterKL", "ReconstructionMSE"),
    "kzoo.losses.loc": ("PoseLoss", "SemanticsLoss", "PositionLoss", "RotationLoss", "AuxPoseLoss"),
    "kzoo.losses.pose": ("CoordinateLoss", "HeatmapDivergence", "HeatmapMSE", "PartMSE", "DiscCrossEntropy"),
    "kzoo.losses.pose3d": ("JointLoss",),
    "kzoo.losses.seg": ("PixelCrossEntropy",),
    "kzoo.metrics.loc": ("PositionError", "RotationError"),
    "kzoo.metrics.pose": ("MPJPE", "PCK"),
    "kzoo.metrics.pose3d": ("MPJPE3D", "MPJVE", "PCK3D"),
    "kzoo.metrics.seg": ("MeanIoU", "PixelAccuracy"),
    "kzoo.training.optimization": ("WarmUp",),
}


class StandIn:
    """For a class of kzoo that is not imported yet, which takes its place in the registry when it is."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def from_config(self, config):
        return getattr(importlib.import_module(self.module), self.name).from_config(config)


class _AfterKeras:
    """A finder of `sys.meta_path`: Keras comes from where it would, and at its end the stand-ins are registered."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras":
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((found for found in specs if found is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = _then_register(spec.loader.exec_module)
        return spec


def _then_register(execute):
    def exec_module(module):
        execute(module)
        _register(module)

    return exec_module


def _register(keras):
    registry = keras.saving.get_custom_objects()
    for module, names in CLASSES.items():
        for name in names:
            registry.setdefault(f"kzoo>{name}", StandIn(module, name))


def register():
    """Now where Keras is there, else as soon as it is."""
    keras = sys.modules.get("keras")
    if hasattr(keras, "saving"):
        _register(keras)
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())
