"""The user's own dialogues in any format, which is detected from the files."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
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
from metadialog.datasets.formats.folders import Contents, check_one_format, contents, not_read_line
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

_CHATS = ("slack", "telegram", "whatsapp")  # their topics are people or groups


class AutoDataset(BaseDataset):
    """Dialogues of a file or folder in any format of `FORMATS`; the data set is named after it."""

    local_options = ()  # the path may be a file or a folder, which is checked when it is read

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
        """Set the file or folder, which is read later.

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
        """The format that was set, or the detected one.

        Raises:
            DataError: the path does not exist, has none of the formats, or is a folder of several formats.
        """
        with unzipped(self._path, self._options.max_ratio) as path:
            return self._examine(path)[0]

    def not_read(self) -> str | None:
        """Return a message with the files of a folder that are not read; None if all are.

        Raises:
            DataError: as in `format`.
        """
        with unzipped(self._path, self._options.max_ratio) as path:
            files = self._examine(path)[1].not_read
            return not_read_line(path, files) if files else None

    def published_as(self) -> str | None:
        """Return a message with the published data set that the files look like; None if there is none."""
        with unzipped(self._path, self._options.max_ratio) as path:
            return published_as(path)

    def _examine(self, path: Path) -> tuple[Format, Contents]:
        """Return the format, and what it does not read in a folder."""
        if self._format is None:
            detected = detect(path)
            found = contents(path, detected)
            check_one_format(path, detected, found)
            return detected, found
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder; dataset.path should name one")
        return FORMATS[self._format], contents(path, FORMATS[self._format])

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues of all files, sorted by name.

        Raises:
            DataError: the files are malformed, or of another format; the message names the file and the line or field.
        """
        try:
            with unzipped(self._path, self._options.max_ratio) as path:
                result, found_in = self._examine(path)
                options = replace(self._options, left_out=found_in.left_out)
                found: Iterable[Dialogue] = nonempty(path, result.title, result.read(path, options))
                if self.cleaning.anonymise and result.name in _CHATS:
                    found = anonymise_chats(list(found), members(path))
                for dialogue in found:
                    yield _encodable(dialogue, self._path)
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error


def _encodable(dialogue: Dialogue, path: Path) -> Dialogue:
    """Refuse lone surrogates, which can be escaped in JSON but not encoded in UTF-8.

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
