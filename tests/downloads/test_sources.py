from pathlib import PurePosixPath

import pytest

from metadialog.downloads.download import about
from metadialog.downloads.sources import sources


def test_the_data_sets_that_are_published() -> None:
    assert set(sources()) == {
        "crosswoz",
        "dailydialog",
        "empathetic",
        "kdconv",
        "metalwoz",
        "multiwoz",
        "personachat",
        "sgd",
        "taskmaster-1",
        "taskmaster-2",
        "taskmaster-3",
        "taskmaster-4",
        "wizard",
    }


@pytest.mark.parametrize("name", sources())
def test_each_says_what_it_is_and_stays_in_its_folder(name: str) -> None:
    source = sources()[name]
    text = about(source)
    assert source.licence in text
    for file in source.files:
        assert file.url in text
        assert file.url.startswith(("https://", "http://"))
        assert ".." not in PurePosixPath(file.into).parts
        assert not PurePosixPath(file.into).is_absolute()
        assert file.archive is None or file.url.endswith(".zip" if file.archive == "zip" else (".tgz", ".tar.gz"))
    places = [(file.into, file.name) for file in source.files]
    assert len(set(places)) == len(places)
