import importlib
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from metadialog import interrupts
from metadialog.errors import Terminated
from metadialog.interrupts import deferred, interruptible


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_unwinds_the_program(number: signal.Signals, error: type[BaseException]) -> None:
    with pytest.raises(error), interruptible():
        send(number)


def test_a_passage_is_finished_first() -> None:
    done = []

    def program() -> None:
        with interruptible():
            with deferred():
                send(signal.SIGTERM)
                with deferred():
                    done.append("inner")
                done.append("outer")
            done.append("never")

    with pytest.raises(Terminated):
        program()
    assert done == ["inner", "outer"]


def test_a_signal_within_a_passage_that_fails_is_not_lost() -> None:
    def program() -> None:
        with interruptible(), deferred():
            send(signal.SIGTERM)
            raise ValueError("something else")

    with pytest.raises(Terminated):
        program()


def test_further_signals_do_not_disturb_the_end() -> None:
    ended = []

    def program() -> None:
        with interruptible():
            try:
                send(signal.SIGTERM)
            finally:
                send(signal.SIGTERM)
                send(signal.SIGINT)
                ended.append(True)

    with pytest.raises(Terminated):
        program()
    assert ended


def test_what_swallows_a_signal_does_not_make_the_program_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "ENDING_SECONDS", 0.0)

    def program() -> None:
        with interruptible():
            with pytest.raises(Terminated):
                send(signal.SIGTERM)
            send(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        program()


def test_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


class _InterruptsItsOwner:
    def __set_name__(self, owner: type, name: str) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_signal_while_a_class_is_made_is_still_an_interrupt() -> None:
    """Up to Python 3.11, an exception in `__set_name__` is converted to a RuntimeError."""
    with pytest.raises(KeyboardInterrupt), interruptible():
        type("Owner", (), {"field": _InterruptsItsOwner()})


def test_an_error_from_a_swallowed_signal_is_an_interrupt() -> None:
    """A signal during an import leaves an incomplete module, which later raises unrelated errors."""

    def program() -> None:
        with interruptible():
            try:
                send(signal.SIGINT)
            except KeyboardInterrupt:
                raise AttributeError("module has no attribute")  # noqa: B904 - the cause is lost

    with pytest.raises(KeyboardInterrupt):
        program()


def test_a_program_that_goes_on_has_its_own_errors_and_the_next_signal() -> None:
    def program() -> None:
        with interruptible():
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    send(signal.SIGINT)
                interrupts.resume()
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        program()


def test_a_signal_during_an_import_takes_effect_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "interrupted_module.py").write_text(
        "import signal\nsignal.raise_signal(signal.SIGINT)\nfor _ in range(1000):\n    pass\nvalue = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def program() -> None:
        with interruptible():
            importlib.import_module("interrupted_module")
            time.sleep(10)

    try:
        with pytest.raises(KeyboardInterrupt):
            program()
        assert sys.modules["interrupted_module"].value == 1
    finally:
        sys.modules.pop("interrupted_module", None)


class _InterruptsInDestructor:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_a_signal_that_cannot_be_raised_is_delivered_again(capfd: pytest.CaptureFixture[str]) -> None:
    """Python prints an exception in a destructor and continues."""

    def program() -> None:
        with interruptible():
            _InterruptsInDestructor()
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        program()
    assert not capfd.readouterr().err
