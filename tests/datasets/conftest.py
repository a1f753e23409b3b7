"""What the tests of loaders share."""

from collections.abc import Callable

import pytest

from metadialog.datasets.dialogue import Dataset
from metadialog.errors import DataError


@pytest.fixture(scope="session")
def complaint() -> Callable[[Dataset], str]:
    """Return a function that reads a whole data set, and returns the message if that fails as it may."""

    def read(dataset: Dataset) -> str:
        try:
            for _ in dataset.dialogues():
                pass
        except DataError as error:
            return str(error)
        return ""

    return read
