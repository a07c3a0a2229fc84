"""Runs the Python blocks of a page in order: python tests/api_lines.py docs/api.md, beside runs/me and me.jpg."""

import pathlib
import re
import sys


def blocks(path) -> list[str]:
    """The Python blocks of a Markdown file."""
    return re.findall(r"^```python\n(.*?)^```", pathlib.Path(path).read_text(), flags=re.DOTALL | re.MULTILINE)


def run(path) -> dict:
    """The names that the blocks leave."""
    names = {}
    for block in blocks(path):
        exec(compile(block, str(path), "exec"), names)
    return names


if __name__ == "__main__":
    run(sys.argv[1])
