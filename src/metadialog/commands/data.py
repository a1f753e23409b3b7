"""`metadialog data`: check a data set and describe it; download it first if asked to."""

from dataclasses import dataclass
from typing import ClassVar

from metadialog.cache.place import cache_directory
from metadialog.cli.composed_job import Job
from metadialog.config import build
from metadialog.datasets.describe import describe, render
from metadialog.errors import ConfigError
from metadialog.experiment.config import Node
from metadialog.preparation.topics import load_topics


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The options of the command.

    Attributes:
        dataset: the data set.
        split: the split of its topics.
        download: whether to bring the data set from its publisher first.
        cache: the folder that downloads and prepared data are kept in; None for the usual one.
    """

    command: ClassVar[str] = "data"

    dataset: Node
    split: Node
    download: bool
    cache: str | None


def main(job: Job) -> None:
    """Read a whole data set and print what is in it.

    Raises:
        ConfigError: a data set that cannot be downloaded is to be.
    """
    config: DataConfig = build(job.config)
    if config.download:
        from metadialog.downloads.download import download

        download(_source(config.dataset), cache_directory(config.cache), job.console)
    topics = load_topics(config.dataset, config.split, config.cache)
    job.console.print(render(describe(topics.corpus, topics.split)))


def _source(dataset: Node) -> str:
    """Return the name of the source that a data set is downloaded from."""
    source = getattr(build(dataset), "source", None)
    if source is None:
        raise ConfigError("download=true: this data set is not one that is downloaded; leave download out")
    if dataset.get("root") is not None:
        raise ConfigError(f"download=true: dataset.root={dataset['root']} names a local copy; leave one of them out")
    return str(source)
