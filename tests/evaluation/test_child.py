"""Programs in processes of their own: what they printed, and how they ended."""

import sys

import pytest

from kzoo.evaluation import child

ENDINGS = {  # what a program does -> how it ended
    "sys.exit(3)": "the process ended with exit code 3",
    "raise ValueError('no')": "the process ended with exit code 1: ValueError: no",
    "sys.stderr.write('words\\n'); sys.stderr.flush(); os.abort()": "the process was ended by SIGABRT: words",
    "sys.stderr.write('words\\nI0000 a log\\n'); sys.exit(1)": "the process ended with exit code 1: words",
}


@pytest.mark.parametrize("code", ENDINGS)
def test_how_a_process_ended(code):
    with pytest.raises(child.Failed) as failure:
        child.output([sys.executable, "-c", f"import os, sys; {code}"], timeout=60)
    assert str(failure.value) == ENDINGS[code]


def test_what_a_process_printed():
    code = "import os, sys; print(os.environ['WORD']); print('not this', file=sys.stderr)"
    assert child.output([sys.executable, "-c", code], timeout=60, environment={"WORD": "this"}) == "this\n"
