"""What the data sets of this package have in common."""

from collections.abc import Iterator

from metadialog.datasets.cleaning import Cleaning, OneSpeaker, Responses, Similarity
from metadialog.datasets.dialogue import Dialogue, LeftOut


class BaseDataset:
    """A data set whose dialogues are cleaned by the options that all of them share; see `Cleaning`.

    A subclass takes them as `**cleaning` and hands them on. It overrides `dialogues`, or, if its own options leave
    dialogues out, `read`.
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
        """Set how dialogues are cleaned; see `conf/dataset/cleaning/standard.yaml`."""
        self.cleaning = Cleaning(responses, merge_turns, one_speaker, anonymise, near_duplicates)

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the dialogues in a fixed order, and say which ones the options leave out."""
        return self.dialogues()

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in a fixed order.

        Raises:
            DataError: a file is missing or malformed; the message names the file and the line or field.
        """
        return (item for item in self.read() if isinstance(item, Dialogue))
