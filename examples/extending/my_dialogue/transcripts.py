"""A data set of your own: a folder of transcripts, a text file for each topic."""

from collections.abc import Iterator
from pathlib import Path

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.errors import DataError


class Transcripts:
    """Dialogues as people write them down: a turn is a line `speaker: text`, and a blank line ends a dialogue.

    Args:
        root: the folder; `weather.txt` in it holds the dialogues about the topic "weather".
        language: the ISO 639 code of the texts.
    """

    paper_split = None

    def __init__(self, *, root: str, language: str) -> None:
        self.root = Path(root).expanduser()
        self.language = language
        self.name = self.root.name

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the files in the order of their names."""
        for path in sorted(self.root.glob("*.txt")):
            turns: list[Turn] = []
            for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], start=1):
                speaker, colon, text = line.partition(":")
                if colon:
                    turns.append(Turn(speaker.strip(), text.strip()))
                elif line.strip():
                    raise DataError(f"{path}:{number}: not a turn; it should read `speaker: text`")
                elif turns:
                    yield Dialogue(path.stem, tuple(turns), f"{path.name}:{number - len(turns)}")
                    turns = []
