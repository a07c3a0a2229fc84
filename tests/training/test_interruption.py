"""Signals: not in the middle of writing, with the words that are asked for, and none is lost."""

import os
import signal
import threading

import pytest

from kzoo import UserError, cli
from kzoo.training import interruption

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def heard():
    """As in a program; afterwards as before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    cli.hear_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def kill(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_writing_is_ended_first(number):
    written = []
    with pytest.raises(cli.Stopped) as stopped, interruption.deferred():
        kill(number)
        written.append("whole")
    assert written == ["whole"] and stopped.value.number == number


@pytest.mark.parametrize("number", SIGNALS)
def test_words_are_those_of_the_inner_one(number):
    with (
        pytest.raises(cli.Stopped, match="^after 2 epochs$") as stopped,
        interruption.told(lambda: "outside"),
        interruption.told(lambda: "after 2 epochs"),
        interruption.deferred(),
    ):
        kill(number)
    assert stopped.value.number == number


def test_what_c_code_makes_of_a_signal_is_a_signal():
    with pytest.raises(cli.Stopped, match="words") as stopped, interruption.told(lambda: "words"):
        try:
            kill(signal.SIGTERM)
        except KeyboardInterrupt as error:
            raise SystemError("returned a result with an exception set") from error
    assert stopped.value.number == signal.SIGTERM


def test_other_errors_stay_what_they_are():
    for error in (UserError("a"), ZeroDivisionError()):
        with pytest.raises(type(error)), interruption.told(lambda: "words"):
            raise error


def test_a_plain_ctrl_c_is_one():
    with pytest.raises(cli.Stopped, match="words") as stopped, interruption.told(lambda: "words"):
        raise KeyboardInterrupt
    assert stopped.value.number == signal.SIGINT


def test_handlers_are_afterwards_as_before():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    before = [signal.getsignal(number) for number in SIGNALS]
    with interruption.told(lambda: ""), interruption.deferred():
        kill(signal.SIGHUP)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_other_threads_hear_none():
    done = []

    def work():
        with interruption.told(lambda: ""), interruption.deferred():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
