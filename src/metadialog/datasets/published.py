"""Base classes of data sets that are read from a local copy of a publication."""

from typing import ClassVar, Unpack

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.local import LocalCopy, Root


class PublishedDataset(BaseDataset):
    """A data set that its publisher distributes as a folder or a zip file.

    Args:
        root: path of the local copy; None for the downloaded one.
        publication: description of the expected files, for messages.

    Raises:
        ConfigError: the root begins with `~user`, and there is no such home folder.
    """

    publication: ClassVar[str]

    def __init__(self, *, root: Root | None, **cleaning: Unpack[CleaningOptions]) -> None:
        super().__init__(**cleaning)
        self._copy = LocalCopy(root, self.publication)


SEVERAL_DOMAINS = "dialogues of several domains; dataset.multi_domain=true keeps them"
"""Reason for leaving out dialogues without `multi_domain`."""


class DomainsDataset(PublishedDataset):
    """A published data set whose topics are the domains of a dialogue's goal.

    Args:
        root: as in `PublishedDataset`.
        multi_domain: whether to include dialogues of several domains, with all domains as the topic.

    Raises:
        ConfigError: as in `PublishedDataset`.
    """

    def __init__(self, *, root: Root | None, multi_domain: bool, **cleaning: Unpack[CleaningOptions]) -> None:
        super().__init__(root=root, **cleaning)
        self._multi_domain = multi_domain
