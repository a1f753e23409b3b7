import threading

import pytest

from metadialog.loggers.service_calls import within


def test_the_result_comes_back() -> None:
    assert within(5, lambda: 3) == 3


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), TimeoutError("its own")])
def test_what_the_call_raises_is_raised(error: BaseException) -> None:
    def call() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        within(5, call)
    assert caught.value is error


def test_the_wait_ends_and_the_thread_cannot_keep_the_program() -> None:
    release = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        within(0.1, release.wait)
    waiting = [thread for thread in threading.enumerate() if thread.name == "metadialog-deadline"]
    release.set()
    assert waiting
    assert all(thread.daemon for thread in waiting)
