"""A program in a process of its own: what it printed, or one line on how it ended otherwise."""

import re
import signal
import subprocess

FRAMEWORK_LOG = re.compile(r"WARNING|[IWE]\d{4} ")  # how lines of TensorFlow's log begin
LONGEST = 300  # letters of a complaint


class Failed(Exception):
    """A process that did not end well, in one line: its exit code or the signal that ended it, and its last words."""


def output(command, *, timeout: float, environment: dict[str, str] | None = None) -> str:
    """Run a program to its end.

    Args:
        command: as `subprocess.run` takes it; timeout: seconds; environment: its variables, None: this process's.
    Returns:
        its standard output.
    Raises:
        Failed: it ended with another exit code than 0, or by a signal; subprocess.TimeoutExpired: it took longer.
    """
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, errors="replace", timeout=timeout, env=environment
    )
    if ended.returncode:
        raise Failed(_complaint(ended.returncode, ended.stderr))
    return ended.stdout


def _complaint(code: int, errors: str) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    said = [line.strip() for line in errors.splitlines() if line.strip() and not FRAMEWORK_LOG.match(line)]
    return f"the process {how}: {said[-1][:LONGEST]}" if said else f"the process {how}"
