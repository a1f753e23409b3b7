"""The base class of the data sets of this package."""

from collections.abc import Iterator

from metadialog.datasets.cleaning import Cleaning, OneSpeaker, Responses, Similarity
from metadialog.datasets.dialogue import Dialogue, LeftOut


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
