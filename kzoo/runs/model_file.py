"""What is checked of a file with a network before Keras reads it: whole, and of known layers alone."""

import json
import re
import zipfile

from kzoo import UserError
from kzoo.training import validation

UNPACKED = 2**35  # bytes, at most
NEEDED = {"config.json", "model.weights.h5"}
KNOWN = re.compile(r"(keras|kzoo)(\.[A-Za-z_]\w*)*")  # modules whose classes a network is made of
FOREIGN = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")  # bring their own code


def check(path):
    """A `model.keras` is whole, and names nothing but Keras's own and kzoo's layers.

    Raises:
        UserError: it is damaged, or would run code that came with it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member.file_size for member in archive.infolist()}
            if NEEDED - set(members):
                missing = ", ".join(sorted(NEEDED - set(members)))
                raise UserError(f"cannot load {path}: it is no file that Keras wrote, it lacks {missing}")
            if sum(members.values()) > UNPACKED:
                raise UserError(f"cannot load {path}: it would unpack to more than {UNPACKED >> 30} GiB")
            broken = archive.testzip()  # compares check sums
            config = json.loads(archive.read("config.json"))
    except UserError:
        raise
    except Exception as error:  # of zip, zlib, text or JSON: whatever it is, the file is damaged
        raise UserError(f"cannot load {path}: it is damaged, or no file that Keras wrote") from error
    if broken:
        raise UserError(f"cannot load {path}: it is damaged, {broken} in it is not what was written")
    try:
        _check_classes(config, path)
    except RecursionError as error:
        raise UserError(f"cannot load {path}: its config.json is nested too deep") from error


def _check_classes(config, path):
    """Each object with a class or function of its own is of a module that is known."""
    if isinstance(config, list):
        for item in config:
            _check_classes(item, path)
    if not isinstance(config, dict):
        return
    name, module = config.get("class_name"), config.get("module")
    foreign = module is not None and not (isinstance(module, str) and KNOWN.fullmatch(module))
    if "class_name" in config and (foreign or name in FOREIGN):
        raise UserError(
            f"cannot load {path}: it asks for {validation.short(module)}, {validation.short(name)}, which is not "
            "Keras's or kzoo's own; code that comes with a file is never run"
        )
    for item in config.values():
        _check_classes(item, path)
