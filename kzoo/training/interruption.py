"""Signals that ask a training to end: never in the middle of writing, and with a line that says what is kept."""

import contextlib
import signal
import threading
from collections.abc import Callable

from kzoo import cli

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def deferred():
    """A signal that comes within is heard at the end: what is being written is written whole."""
    heard = []
    with _handled(lambda number, frame, before: heard.append((number, frame, before))):
        yield
    for number, frame, before in heard[:1]:
        before(number, frame)


@contextlib.contextmanager
def told(words: Callable[[], str]):
    """An end by a signal within bears a message: `str` of what is raised.

    It is raised anew where something in between made another error of it, as C code that calls Python may.

    Args:
        words: gives the message, once it has ended.
    """
    heard = []

    def stop(number, frame, before):
        heard.append(number)
        before(number, frame)

    with _handled(stop):
        try:
            yield
        except BaseException as error:
            if not heard and not isinstance(error, KeyboardInterrupt):
                raise
            stopped = cli.Stopped(heard[0] if heard else getattr(error, "number", signal.SIGINT))
            stopped.args = (str(error) if isinstance(error, KeyboardInterrupt) and str(error) else words(),)
            raise stopped from error


@contextlib.contextmanager
def _handled(handler: Callable):
    """While it lasts `handler(number, frame, before)` is called; `before`: what would have been."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only there signals are heard
        return
    before = {}
    for name in NAMES:
        number = getattr(signal, name, None)
        found = None if number is None else signal.getsignal(number)
        if callable(found):  # nohup asks for SIGHUP not to count
            before[number] = found
    try:
        for number in before:
            signal.signal(number, lambda number, frame: handler(number, frame, before[number]))
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)
