"""Programs of kzoo as processes of their own that start in a second: their server has imported TensorFlow already."""

import multiprocessing
import os
import pathlib
import runpy
import sys
import tempfile

PRELOADED = [
    "tensorflow",
    "tensorflow_datasets",
    "keras",
    "kzoo.programs.train",
    "kzoo.programs.eval",
    "kzoo.evaluation.drawing",
    "kzoo.evaluation.scoring",
    "kzoo.evaluation.writing",
    "kzoo.predict.answering",
    "kzoo.training.callbacks",
]
PATIENCE = 120  # seconds after which a program that does not end is a failure


def context():
    """Children of it are forked from one server, which no test has touched."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    return server


class Program:
    """`python -m <name> <flags>` in a folder; what it prints goes to a file."""

    def __init__(self, server, folder, *command):
        handle, log = tempfile.mkstemp(suffix=".log", dir=folder)
        os.close(handle)
        self.log = pathlib.Path(log)
        self.process = server.Process(target=_call, args=([str(part) for part in command], log, str(folder)))
        self.process.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended within so many seconds."""
        self.process.join(seconds)
        return self.process.exitcode is not None

    def signal(self, number: int):
        """Send a signal, if it still lives."""
        if self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def ended(self) -> tuple[int, str]:
        """Exit code (negative: killed by that signal) and what it printed."""
        if not self.wait(PATIENCE):
            self.process.kill()
            raise AssertionError(f"it does not end:\n{self.printed()}")
        return self.process.exitcode, self.printed()

    def printed(self) -> str:
        return self.log.read_text(errors="replace").replace("\r", "\n")


def _call(command, log, folder):
    """In the child: what a shell would do."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, encoding="utf-8") for number in (1, 2))
    os.chdir(folder)
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)
