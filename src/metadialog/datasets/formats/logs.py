"""Plain text: logs with a speaker before each line, and exports of WhatsApp chats."""

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby, pairwise
from pathlib import Path

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.formats.base import (
    Message,
    Options,
    files_of,
    head,
    name_in,
    sessions,
    text_lines,
    topic_of_file,
)
from metadialog.datasets.lines import parse_line, parse_lines
from metadialog.errors import DataError

ENDINGS = (".txt", ".log", ".md")

# 31/12/2023, 10:02 - Anna: Hello     [31.12.23, 10:02:11] Anna: Hello     12/31/23, 10:02 PM - Anna: Hello
# 31/12/2023 à 10:02 - Anna: Hello    2023/12/31 下午10:02 - 安娜: 你好      [10:02, 31/12/2023] Anna: Hello
_DATE = r"(?P<date>\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{4}年\d{1,2}月\d{1,2}日)\.?"
_HALF = r"[^\W\d_]{1,2}\.?\s?(?:[^\W\d_]\.?)?"  # AM, p. m., 下午, 오후, م
_CLOCK = rf"(?P<before>{_HALF})?\s?(?P<time>\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?)\s?(?P<after>{_HALF})?"
_LINK_WORD = r"(?:[,\u060c]?\s+(?:(?:à|um|at|a las|às|alle)\s+)?)"
_WHATSAPP = re.compile(rf"\[?{_DATE}{_LINK_WORD}{_CLOCK}(?:\]|\s+[-\u2013])\s(?P<rest>.*)")
_COPIED = re.compile(rf"\[{_CLOCK},\s+{_DATE}\]\s(?P<rest>.*)")
_SPOKEN = re.compile(r"(?P<speaker>[^:\uff1a]+)[:\uff1a](?:\s+|$)(?P<text>.*)|(?P<other>[^:\uff1a]+)\uff1a(?P<said>.*)")
_AFTERNOON = ("p", "下午", "晚上", "中午", "午後", "오후", "م", "μ")
_SYSTEM = "\u200e"  # marks system messages in exports from an iPhone
_MARKS = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202c"))  # direction marks, which WhatsApp inserts
_NOTES = re.compile(
    r"<[^<>]*(?:omitted|weggelassen|omitido|omis|ausgeschlossen|文件|媒体)[^<>]*>"
    r"|(?:image|video|audio|sticker|GIF) omitted"
)
_LOOKED_INTO = 20
"""Maximum number of files of a folder that are inspected."""

_SEPARATOR = re.compile(r"\s*(?:[-=*_#]{3,}\s*)?")


def is_logs(path: Path) -> bool:
    """Tell whether the first text file with anything in it has lines with speakers."""
    lines = _first_lines(path, *ENDINGS)
    return sum(parse_line(line) is not None for line in lines) * 2 > len(lines)


def read_logs(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of a text file, or of all in a folder.

    The topic is the folder that a file is in, or else the file. Dialogues in a file are separated by blank lines, or by
    lines of dashes; if every turn is separated, they are one dialogue.

    Raises:
        DataError: a file cannot be read, or does not begin with a speaker.
    """
    for file in files_of(path, *ENDINGS, left_out=options.left_out):
        topic = topic_of_file(path, file)
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
    # A paragraph without a speaker continues the turn before.
    starts = [index for index, block in enumerate(blocks) if not index or parse_line(block[0][1]) is not None]
    blocks = [[line for block in blocks[i:j] for line in block] for i, j in pairwise([*starts, len(blocks)])]
    if len(blocks) > 1 and all(sum(parse_line(line) is not None for _, line in block) <= 1 for block in blocks):
        blocks = [[line for block in blocks for line in block]]
    yield from ((block[0][0], [line for _, line in block]) for block in blocks)


def is_whatsapp(path: Path) -> bool:
    """Tell whether the first text file with anything in it is the export of a WhatsApp chat."""
    lines = [line.translate(_MARKS) for line in _first_lines(path, ".txt")]
    return sum(_stamped(line) is not None for line in lines) * 3 > len(lines)


def _first_lines(path: Path, *endings: str) -> list[str]:
    """Return the first non-blank lines of the first text file that has any."""
    files = files_of(path, *endings)
    heads = ([line for line in head(file) if line.strip()] for file in files[:_LOOKED_INTO])
    return next((lines for lines in heads if lines), [])


def _stamped(line: str) -> re.Match[str] | None:
    return _WHATSAPP.match(line) or _COPIED.match(line)


def read_whatsapp(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of exported chats: a chat is a topic, and a dialogue ends at a long pause.

    Raises:
        DataError: a file cannot be read, or holds a date that is none.
    """
    for file in files_of(path, ".txt", left_out=options.left_out):
        name = file.parent.name if file.stem == "_chat" else file.stem  # the file name in exports from an iPhone
        topic = re.sub(r"^WhatsApp[ -]?Chat\s?(?:with|mit|con|avec|com|-) ?", "", name).strip("_ ") or name
        messages = list(_messages(file, options.encoding))
        for number, turns in enumerate(sessions(messages, options.gap), start=1):
            yield Dialogue(" ".join(topic.split()), turns, f"{name_in(path, file)}:{number}")


def _messages(file: Path, encoding: str | None) -> Iterator[Message]:
    lines = [line.replace("\u202f", " ") for line in text_lines(file, encoding)]
    matches = [_stamped(line.translate(_MARKS)) for line in lines]
    dates = [[int(part) for part in re.findall(r"\d+", match["date"])] for match in matches if match]
    day_first = any(date[0] > 12 for date in dates) or not any(date[1] > 12 for date in dates)
    current: Message | None = None
    for number, (line, match) in enumerate(zip(lines, matches, strict=True), start=1):
        if match is None:
            if current is not None:
                current = Message(current.time, current.speaker, f"{current.text}\n{line.translate(_MARKS)}")
            continue
        if current is not None:
            yield current
        current = None
        spoken = _SPOKEN.fullmatch(match["rest"])
        if spoken:  # otherwise a system message, such as who joined
            speaker, text = spoken["speaker"] or spoken["other"], spoken["text"] or spoken["said"] or ""
            is_system = line.endswith(f": {_SYSTEM}{text}") and bool(text)
            time = _time(match, f"{file}:{number}", day_first=day_first)
            current = Message(time, " ".join(speaker.split()), "" if is_system else _NOTES.sub("", text))
    if current is not None:
        yield current


def _time(match: re.Match[str], where: str, *, day_first: bool) -> datetime:
    numbers = [int(part) for part in re.findall(r"\d+", match["date"])]
    if numbers[0] > 31:
        year, month, day = numbers
    else:
        (day, month), year = (numbers[:2] if day_first else numbers[1::-1]), numbers[2]
    hour, minute, second = (*(int(part) for part in re.split("[:.]", match["time"])), 0)[:3]
    half = match["before"] or match["after"]
    if half:
        hour = hour % 12 + (12 if half.lower().startswith(_AFTERNOON) else 0)
    try:
        return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError as error:
        raise DataError(f"{where}: {match['date']} {match['time']} is no date: {error}") from error
