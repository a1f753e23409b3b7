"""Plain text: logs with a speaker before each line, and exports of WhatsApp chats."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from pathlib import Path

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.formats.base import Message, Options, files_of, head, sessions, text_lines
from metadialog.datasets.lines import parse_line, parse_lines
from metadialog.errors import DataError

ENDINGS = (".txt", ".log", ".md")

# 31/12/2023, 10:02 - Anna: Hello     [31.12.23, 10:02:11] Anna: Hello     12/31/23, 10:02 PM - Anna: Hello
_WHATSAPP = re.compile(
    r"\[?(?P<date>\d{1,4}[./-]\d{1,2}[./-]\d{1,4}),?\s+(?P<time>\d{1,2}[:.]\d{2}(?:[:.]\d{2})?)"
    r"\s*(?P<half>[AaPp]\.?\s?[Mm]\.?)?(?:\]|\s+-)\s(?P<rest>.*)"
)
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202c"))  # directions of writing, which WhatsApp puts in
_NOTES = re.compile(
    r"<[^<>]*(?:omitted|weggelassen|omitido|omis|ausgeschlossen|文件|媒体)[^<>]*>"
    r"|(?:image|video|audio|sticker|GIF) omitted"
)
_SEPARATOR = re.compile(r"\s*(?:[-=*_#]{3,}\s*)?")


def is_logs(path: Path) -> bool:
    """Say whether the first text file has lines with speakers."""
    files = files_of(path, *ENDINGS)
    lines = [line for line in (head(files[0]) if files else []) if line.strip()]
    return sum(parse_line(line) is not None for line in lines) * 2 > len(lines)


def read_logs(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of a text file, or of all in a folder.

    The topic is the folder that a file is in, or else the file. Dialogues in a file are separated by blank lines, or by
    lines of dashes; where every turn stands apart, they are one dialogue.

    Raises:
        DataError: a file cannot be read, or does not begin with a speaker.
    """
    for file in files_of(path, *ENDINGS):
        nested = path.is_dir() and file.parent != path
        topic = " ".join((file.parent.name if nested else file.stem).replace("_", " ").split())
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        for start, lines in _blocks(file, options.encoding):
            try:
                turns = parse_lines(lines)
            except ValueError as error:
                raise DataError(f"{file}:{start}: {error}") from error
            yield Dialogue(topic, tuple(turns), f"{name}:{start}")


def _blocks(file: Path, encoding: str | None) -> Iterator[tuple[int, list[str]]]:
    """Yield the dialogues of a file: number of the first line, and lines."""
    numbered = enumerate(text_lines(file, encoding), start=1)
    blocks = [
        list(group) for is_text, group in groupby(numbered, lambda line: not _SEPARATOR.fullmatch(line[1])) if is_text
    ]
    if len(blocks) > 1 and all(sum(parse_line(line) is not None for _, line in block) <= 1 for block in blocks):
        blocks = [[line for block in blocks for line in block]]
    yield from ((block[0][0], [line for _, line in block]) for block in blocks)


def is_whatsapp(path: Path) -> bool:
    """Say whether the first text file is the export of a WhatsApp chat."""
    files = files_of(path, ".txt")
    lines = [line.translate(_MARKS) for line in head(files[0])] if files else []
    return sum(_WHATSAPP.match(line) is not None for line in lines) * 3 > len(lines)


def read_whatsapp(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of exported chats: a chat is a topic, and a dialogue ends where there is a long pause.

    Raises:
        DataError: a file cannot be read, or holds a date that is none.
    """
    for file in files_of(path, ".txt"):
        topic = re.sub(r"^WhatsApp[ -]?Chat (?:with|mit|con|avec|-) ?", "", file.stem).strip("_ ") or file.stem
        messages = list(_messages(file, options.encoding))
        for number, turns in enumerate(sessions(messages, options.gap), start=1):
            yield Dialogue(" ".join(topic.split()), turns, f"{file.stem}:{number}")


def _messages(file: Path, encoding: str | None) -> Iterator[Message]:
    lines = [line.translate(_MARKS).replace("\u202f", " ") for line in text_lines(file, encoding)]
    matches = [match for line in lines if (match := _WHATSAPP.match(line))]
    day_first = any(int(re.split("[./-]", match["date"])[0]) > 12 for match in matches) or not any(
        int(re.split("[./-]", match["date"])[1]) > 12 for match in matches
    )
    current: Message | None = None
    for number, line in enumerate(lines, start=1):
        match = _WHATSAPP.match(line)
        if match is None:
            if current is not None:
                current = Message(current.time, current.speaker, f"{current.text}\n{line}")
            continue
        if current is not None:
            yield current
        current = None
        speaker, colon, text = match["rest"].partition(": ")
        if colon or match["rest"].endswith(":"):  # else a note of WhatsApp's own, such as who joined
            time = _time(match, f"{file}:{number}", day_first=day_first)
            current = Message(time, " ".join(speaker.rstrip(":").split()), _NOTES.sub("", text))
    if current is not None:
        yield current


def _time(match: re.Match[str], where: str, *, day_first: bool) -> datetime:
    numbers = [int(part) for part in re.split("[./-]", match["date"])]
    if numbers[0] > 31:
        year, month, day = numbers
    else:
        (day, month), year = (numbers[:2] if day_first else numbers[1::-1]), numbers[2]
    hour, minute, second = (*(int(part) for part in re.split("[:.]", match["time"])), 0)[:3]
    if match["half"]:
        hour = hour % 12 + (12 if match["half"][0] in "Pp" else 0)
    try:
        return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError as error:
        raise DataError(f"{where}: {match['date']} {match['time']} is no date: {error}") from error
