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
