from collections.abc import Callable, Iterator, Sequence

import pytest

from metadialog.composing.compose import Composed, compose_job, initialised

Compose = Callable[[Sequence[str]], Composed]


@pytest.fixture
def hydra() -> Iterator[None]:
    """Hydra, initialised to compose `train`."""
    with initialised("train"):
        yield


@pytest.fixture
def composed(hydra: None) -> Compose:  # noqa: ARG001 - needed for composing
    """Return a function that composes a job of `train`, including Hydra's config."""
    return lambda overrides: Composed(compose_job("train", overrides, with_hydra=True))
