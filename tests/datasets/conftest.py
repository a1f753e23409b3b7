"""Fixtures for the tests of loaders."""

from collections.abc import Callable

import pytest

from metadialog.datasets.dialogue import Dataset
from metadialog.errors import DataError


@pytest.fixture(scope="session")
def complaint() -> Callable[[Dataset], str]:
    """Return a function that reads a whole data set, and returns the message of an expected error."""

    def read(dataset: Dataset) -> str:
        try:
            for _ in dataset.dialogues():
                pass
        except DataError as error:
            return str(error)
        return ""

    return read
