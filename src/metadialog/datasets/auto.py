"""Your own dialogues, in whatever format: it is found out from the files, and said."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, Unpack

from annotated_types import Gt, Le, MinLen

from metadialog.datasets.anonymise import anonymise_chats
from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.formats.base import Format, Options, nonempty
from metadialog.datasets.formats.chats import members
from metadialog.datasets.formats.detection import FORMATS, detect
from metadialog.datasets.formats.published import published_as
from metadialog.datasets.formats.zipped import unzipped
from metadialog.datasets.language import check_language
from metadialog.datasets.local import expand
from metadialog.datasets.rows import check_encoding
from metadialog.datasets.table import Columns
from metadialog.errors import DataError
from metadialog.unpacked import MAX_RATIO, MaxRatio

Name = Literal[
    "slack", "telegram", "dialogflow", "rasa", "rasa_tracker", "botpress", "label_studio", "openai", "sharegpt", "json",
    "table", "whatsapp", "logs",
]  # fmt: skip

_CHATS = ("slack", "telegram", "whatsapp")  # whose topics are people or groups of them


class AutoDataset(BaseDataset):
    """Dialogues of a file or folder, after which the data set is called, in any format of `FORMATS`."""

    local_options = ()  # the path may be a file or a folder, which is seen when it is read

    def __init__(
        self,
        *,
        path: Annotated[str, MinLen(1)],
        language: str,
        format: Name | None = None,  # noqa: A002 - as the option is called
        columns: Columns | None = None,
        encoding: Annotated[str, MinLen(1)] | None = None,
        gap: Annotated[float, Gt(0), Le(1e6)] = 6.0,
        quotes: bool = True,
        sheet: Annotated[str, MinLen(1)] | None = None,
        max_ratio: MaxRatio = MAX_RATIO,
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Name the file or folder; it is looked into when the dialogues are read.

        Raises:
            ConfigError: the path begins with `~user`, and there is no such home folder; or the language or
                the encoding does not exist.
        """
        super().__init__(**cleaning)
        self._path = expand(path, "dataset.path")
        self.language = check_language(language)
        self._format = format
        self._options = Options(columns or {}, check_encoding(encoding), gap, quotes, sheet, max_ratio=max_ratio)
        self.name = self._path.name if self._path.is_dir() else self._path.stem

    @property
    def format(self) -> Format:
        """The format that is named, or that is found.

        Raises:
            DataError: there is nothing at the path, or it is of none of the formats.
        """
        with unzipped(self._path, self._options.max_ratio) as path:
            return self._format_of(path)

    def published_as(self) -> str | None:
        """Return which published data set the files look like, and what reads its own topics; None if like none."""
        with unzipped(self._path, self._options.max_ratio) as path:
            return published_as(path)

    def _format_of(self, path: Path) -> Format:
        result = detect(path) if self._format is None else FORMATS[self._format]
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder; dataset.path should name one")
        return result

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues file after file, by name.

        Raises:
            DataError: the files are malformed, or of another format; the message names the file and the line or field.
        """
        try:
            with unzipped(self._path, self._options.max_ratio) as path:
                result = self._format_of(path)
                found: Iterable[Dialogue] = nonempty(path, result.title, result.read(path, self._options))
                if self.cleaning.anonymise and result.name in _CHATS:
                    found = anonymise_chats(list(found), members(path))
                for dialogue in found:
                    yield _encodable(dialogue, self._path)
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error


def _encodable(dialogue: Dialogue, path: Path) -> Dialogue:
    """Refuse halves of surrogate pairs, which JSON can escape and no UTF-8 can hold.

    Raises:
        DataError: there is one.
    """
    try:
        for text in (dialogue.topic, dialogue.id, *(turn.speaker + turn.text for turn in dialogue.turns)):
            text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: dialogue {dialogue.id!a} holds half of a character, {error.object[error.start]!a}; it "
            f"should hold both halves, or the character itself"
        ) from error
    return dialogue
