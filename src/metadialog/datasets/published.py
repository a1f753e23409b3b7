"""What data sets read from a local copy of a publication have in common."""

from typing import ClassVar, Unpack

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.local import LocalCopy, Root


class PublishedDataset(BaseDataset):
    """A data set that its publisher distributes as a folder or a zip file.

    Args:
        root: path of the local copy; None for the downloaded one.

    Attributes:
        publication: what should be there, for the messages.

    Raises:
        ConfigError: the root begins with `~user`, and there is no such home folder.
    """

    publication: ClassVar[str]

    def __init__(self, *, root: Root | None, **cleaning: Unpack[CleaningOptions]) -> None:
        super().__init__(**cleaning)
        self._copy = LocalCopy(root, self.publication)


SEVERAL_DOMAINS = "dialogues of several domains; dataset.multi_domain=true keeps them"
"""Why dialogues are left out where `multi_domain` is off."""


class DomainsDataset(PublishedDataset):
    """A published data set whose topics are the domains of a dialogue's goal.

    Args:
        root: as in `PublishedDataset`.
        multi_domain: whether to take the dialogues of several domains as well, with all of them for a topic.

    Raises:
        ConfigError: as in `PublishedDataset`.
    """

    def __init__(self, *, root: Root | None, multi_domain: bool, **cleaning: Unpack[CleaningOptions]) -> None:
        super().__init__(root=root, **cleaning)
        self._multi_domain = multi_domain
