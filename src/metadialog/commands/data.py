"""`metadialog data`: check a data set and describe it; download it first if asked to."""

from typing import Any

from metadialog.cache.place import cache_directory
from metadialog.config import build
from metadialog.console import make_console
from metadialog.datasets.describe import describe, render
from metadialog.errors import ConfigError
from metadialog.preparation.topics import load_topics

Node = dict[str, Any]


def data(*, dataset: Node, split: Node, download: bool, cache: str | None) -> None:
    """Read a whole data set and print what is in it.

    Args:
        dataset: config node of the data set.
        split: config node of the split of its topics.
        download: bring the data set from its publisher first.
        cache: the folder that downloads and prepared data are kept in.

    Raises:
        ConfigError: a data set that cannot be downloaded is to be.
    """
    console = make_console()
    if download:
        from metadialog.downloads.download import download as bring

        bring(_source(dataset), cache_directory(cache), console)
    topics = load_topics(dataset, split, cache)
    console.print(render(describe(topics.corpus, topics.split)))


def _source(dataset: Node) -> str:
    """Return the name of the source that a data set is downloaded from."""
    source = getattr(build(dataset), "source", None)
    if source is None:
        raise ConfigError("download=true: this data set is not one that is downloaded; leave download out")
    if dataset.get("root") is not None:
        raise ConfigError(f"download=true: dataset.root={dataset['root']} names a local copy; leave one of them out")
    return str(source)
