"""The list of formats, and the detection of the format of a file or folder."""

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.formats.assistants import YAML, is_dialogflow, is_rasa, read_dialogflow, read_rasa
from metadialog.datasets.formats.base import Format, Options, files_of, head, name_in, topic_of_file
from metadialog.datasets.formats.chats import is_slack, is_telegram, read_slack, read_telegram
from metadialog.datasets.formats.logs import ENDINGS as LOGS
from metadialog.datasets.formats.logs import is_logs, is_whatsapp, read_logs, read_whatsapp
from metadialog.datasets.formats.published import published_as
from metadialog.datasets.formats.records import ENDINGS as RECORDS
from metadialog.datasets.formats.records import (
    detector,
    has_turns,
    is_botpress,
    is_label_studio,
    is_openai,
    is_rasa_tracker,
    is_sharegpt,
    read_botpress,
    read_label_studio,
    reader,
    turns_of_list,
    turns_of_tracker,
)
from metadialog.datasets.local import refuse_special
from metadialog.datasets.rows import ENDINGS, EXCEL, delimiter_of, open_rows
from metadialog.datasets.table import dialogues_of, find_columns
from metadialog.errors import DataError

_NOTHING = (b"", b"[]", b"{}", codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MOST_OF_NOTHING = 1024  # bytes

TABLES = tuple(dict.fromkeys((*ENDINGS, *EXCEL)))


def is_table(path: Path) -> bool:
    """Tell whether there are tables, by the endings of file names or the first line of a text file."""
    return bool(files_of(path, *TABLES)) or (path.suffix.lower() == ".txt" and path.is_file() and _has_header(path))


def _tables(path: Path, left_out: Collection[Path]) -> list[Path]:
    files = files_of(path, *TABLES, ".txt", left_out=left_out)
    return [file for file in files if file.suffix.lower() != ".txt" or _has_header(file)]


def _has_header(path: Path) -> bool:
    """Tell whether a text file begins with the names of columns: Excel writes `Unicode Text` with the ending .txt."""
    first = next(iter(head(path, 1)), "")
    try:
        find_columns(next(csv.reader([first], delimiter=delimiter_of(first, ".tsv")), []), {}, "", "")
    except (DataError, csv.Error):
        return False
    return True


def read_tables(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of a table, or of all tables in a folder; without a column of topics, a table is a topic.

    Raises:
        DataError: a table is malformed.
    """
    for file in [path] if path.is_file() else _tables(path, options.left_out):
        with open_rows(
            file, options.encoding, options.sheet, quotes=options.quotes, max_ratio=options.max_ratio
        ) as rows:
            for dialogue in dialogues_of(
                rows, options.columns, str(file), topic=topic_of_file(path, file), one_topic=options.one_topic
            ):
                where = f"{name_in(path, file)}:{dialogue.id}" if path.is_dir() else dialogue.id
                yield Dialogue(dialogue.topic, dialogue.turns, where)


FORMATS = {
    made.name: made
    for made in (
        Format("slack", "an export of Slack", is_slack, read_slack, (".json",)),
        Format("telegram", "an export of Telegram", is_telegram, read_telegram, (".json",)),
        Format("dialogflow", "an agent of Dialogflow", is_dialogflow, read_dialogflow, (".json",)),
        Format("rasa", "stories or tests of Rasa", is_rasa, read_rasa, YAML),
        Format(
            "rasa_tracker",
            "conversations that Rasa has kept",
            detector(is_rasa_tracker),
            reader(turns_of_tracker),
            RECORDS,
        ),
        Format("botpress", "questions and answers of Botpress", detector(is_botpress), read_botpress, RECORDS),
        Format("label_studio", "an export of Label Studio", detector(is_label_studio), read_label_studio, RECORDS),
        Format("openai", "chats in OpenAI's format", detector(is_openai), reader(turns_of_list), RECORDS),
        Format("sharegpt", "conversations in ShareGPT's format", detector(is_sharegpt), reader(turns_of_list), RECORDS),
        Format("json", "JSON with a list of turns a dialogue", detector(has_turns), reader(turns_of_list), RECORDS),
        Format("table", "a table with a row a turn", is_table, read_tables, (*TABLES, ".txt")),
        Format("whatsapp", "an export of WhatsApp", is_whatsapp, read_whatsapp, (".txt",)),
        Format("logs", "plain text with a speaker before each line", is_logs, read_logs, LOGS),
    )
}
"""The formats by name, in the order in which they are tried."""


_UNREAD = {
    (".xls", ".ods", ".numbers"): "save the table as .xlsx or .csv",
    (".doc", ".docx", ".odt", ".rtf", ".pdf"): "save the dialogues as plain text, a line such as 'Anna: Hello.' a turn",
    (".html", ".htm"): "export the chat as JSON, or save the dialogues as plain text",
    (".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz"): "unpack it, and let dataset.path name what was in it",
}
"""Remedies for files that cannot be read, by ending."""


class UnreadError(DataError):
    """Files of an unsupported kind."""


def detect(path: Path) -> Format:
    """Return the format of a file or folder.

    Raises:
        DataError: the path does not exist, or has none of the formats.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; dataset.path should name one")
    refuse_special(path, "dataset.path")
    if _is_empty(path):
        raise DataError(f"{path}: is empty; it should hold dialogues")
    for made in FORMATS.values():
        if made.detect(path):
            return made
    raise _not_recognised(path)


def _is_empty(path: Path) -> bool:
    """Tell whether a file holds nothing, or an empty list or object of JSON; or a folder nothing but such files."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return bool(files) and all(file.stat().st_size <= _MOST_OF_NOTHING and _says_nothing(file) for file in files)


def _says_nothing(file: Path) -> bool:
    return re.sub(rb"[\s\0]+", b"", file.read_bytes()).removeprefix(codecs.BOM_UTF8) in _NOTHING


def _not_recognised(path: Path) -> DataError:
    ending = path.suffix.lower()
    for endings, remedy in _UNREAD.items():
        if ending in endings:
            return UnreadError(f"{path}: files ending in {ending} are not read; {remedy}")
    if path.is_dir() and not any(file.is_file() for file in path.rglob("*")):
        return DataError(f"{path}: holds no file; dataset.path should name a file or folder of dialogues")
    published = published_as(path)
    if published is not None:
        return DataError(f"{path}: its format is not recognised; it looks like {published}")
    return DataError(
        f"{path}: its format is not recognised; dataset.format should say it: {', '.join(FORMATS)}; or a data set as "
        f"published has a choice of its own, such as dataset=multiwoz"
    )
