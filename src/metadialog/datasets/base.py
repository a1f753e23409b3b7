"""The base classes of the data sets of this package."""

from collections.abc import Iterator
from typing import ClassVar, Unpack

from metadialog.datasets.cleaning import Cleaning, CleaningOptions, OneSpeaker, Responses, Similarity
from metadialog.datasets.dialogue import Dialogue, LeftOut
from metadialog.datasets.local import LocalCopy, Root


class BaseDataset:
    """A data set with the common options of cleaning; see `Cleaning`.

    A subclass takes them as `**cleaning` and passes them on. It overrides `dialogues`, or `read` if its own options
    leave out dialogues.
    """

    paper_split: str | None = None

    def __init__(
        self,
        *,
        responses: Responses = "all",
        merge_turns: bool = False,
        one_speaker: OneSpeaker = "drop",
        anonymise: bool = False,
        near_duplicates: Similarity | None = None,
    ) -> None:
        """Set the options of cleaning; see `conf/dataset/cleaning/standard.yaml`."""
        self.cleaning = Cleaning(responses, merge_turns, one_speaker, anonymise, near_duplicates)

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the dialogues in a fixed order, including markers for those that the options leave out."""
        return self.dialogues()

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in a fixed order.

        Raises:
            DataError: a file is missing or malformed; the message names the file and the line or field.
        """
        return (item for item in self.read() if isinstance(item, Dialogue))


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
