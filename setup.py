"""What setup.cfg cannot say: an editable install that holds in every current directory.

setuptools finds the packages of an editable install after Python has looked through `sys.path`, the current directory
first. In the folder that a clone called kzoo lies in, `import kzoo` would then be this clone's folder. So the wheel of
an editable install gets a finder of its own, which is asked first, and prefers only a whole package on `sys.path`:
`python train.py` in another checkout trains with that one's code.
"""

import base64
import hashlib
import pathlib
import zipfile

import setuptools
from setuptools.command.editable_wheel import editable_wheel

FINDER = """import importlib.machinery
import importlib.util
import os
import sys

INIT = {init!r}


class Checkout:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "kzoo":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name)
        if spec is not None and spec.origin:  # another checkout, in which a program was started
            return spec
        if not os.path.isfile(INIT):
            gone = os.path.dirname(os.path.dirname(INIT))
            raise ModuleNotFoundError(f"kzoo was installed from {{gone}}, which is gone: pip install -e it again")
        return importlib.util.spec_from_file_location(name, INIT)


sys.meta_path.insert(0, Checkout)
"""
ADDED = "_kzoo_checkout"


class FirstFound(editable_wheel):
    """The wheel of an editable install, with the finder and the line that starts it."""

    def run(self):
        super().run()
        init = pathlib.Path(__file__).resolve().parent / "kzoo" / "__init__.py"
        added = {f"{ADDED}.py": FINDER.format(init=str(init)), f"{ADDED}.pth": f"import {ADDED}\n"}
        for wheel in pathlib.Path(self.dist_dir).glob("kzoo-*.whl"):
            add(wheel, {name: text.encode() for name, text in added.items()})


def add(wheel: pathlib.Path, files: dict[str, bytes]):
    """Put files into a wheel, and their lines into its RECORD."""
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    record = next(name for name in content if name.endswith(".dist-info/RECORD"))
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        content[record] += f"{name},sha256={digest},{len(data)}\n".encode()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**content, **files}.items():
            archive.writestr(name, data)


if __name__ == "__main__":
    setuptools.setup(cmdclass={"editable_wheel": FirstFound})
