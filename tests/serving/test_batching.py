"""The thread that generates all replies: the failure of one reply does not affect the others."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.conftest import Export

from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.serving.batching import Batcher, PendingReply

OPTIONS = {"name": "sampling", "max_tokens": 40, "min_tokens": 40}


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    made = Batcher(4)
    yield made
    made.stop()


@pytest.fixture
def model(export: Export) -> AdaptableModel:
    return load_model(export())


def test_a_reply_that_cannot_begin_ends_no_other(batcher: Batcher, model: AdaptableModel) -> None:
    begun, ended = threading.Event(), [threading.Event(), threading.Event()]

    def pending(number: int, prompt: tuple[int, ...] | None = None) -> PendingReply:
        growing = model.growing("hello", OPTIONS)
        assert growing is not None

        def deliver(_: str, last: bool) -> None:
            begun.set()
            if last:
                ended[number].set()

        return PendingReply(model, growing if prompt is None else replace(growing, prompt=prompt), deliver)

    good, bad = pending(0), pending(1, (10**6,))  # no such token
    batcher.submit([good])
    assert begun.wait(20)
    batcher.submit([bad])
    assert all(event.wait(20) for event in ended)
    assert (good.error, bad.error) == (None, "the reply could not be generated: IndexError")
    assert len(batcher) == 0
