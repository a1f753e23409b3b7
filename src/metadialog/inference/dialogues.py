"""Conversion of dialogues and contexts from Python objects, files or requests."""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.formats.base import Options, nonempty
from metadialog.datasets.formats.detection import FORMATS, UnreadError, detect
from metadialog.datasets.formats.ending import ending_of
from metadialog.datasets.formats.folders import check_one_format, contents
from metadialog.datasets.formats.zipped import unzipped
from metadialog.datasets.jsonl import SPEAKERS
from metadialog.datasets.local import expand, refuse_special
from metadialog.errors import ConfigError, DataError

DialogueLike = Dialogue | Sequence[Turn] | Sequence[str] | Mapping[str, Any]
"""One dialogue: a `Dialogue`, its turns, or a dictionary such as `{"turns": [...]}`."""

Dialogues = str | os.PathLike[str] | Iterable[DialogueLike]
"""Dialogues, or the path of a file of dialogues; `-` is the standard input."""

Context = str | Dialogue | Sequence[Turn] | Sequence[str] | Sequence[Mapping[str, Any]]
"""The turns before a reply, oldest first; a single text is one turn."""

LAYOUT = '["a turn", "its answer", ...]'
STANDARD_INPUT = "standard input"
MOST_BYTES = 256 * 2**20
"""Maximum size of a file to adapt to, most kinds of which are read at once."""
_TOO_MUCH = f"has more than {MOST_BYTES // 2**20} MiB; a model is adapted to a few dialogues of a topic"
_PARSED = ("json", "logs")
_REMEDY = "`metadialog data dataset=auto output=FOLDER` takes these options, and writes dialogues that can be read here"
_NAMED = re.compile("^([^\\s:\uff1a][^:\uff1a]{0,39})[:\uff1a]\\s*(\\S.*)$")  # \uff1a is the colon of Chinese texts


def as_dialogues(given: Dialogues, name: str = "dialogues") -> list[Dialogue]:
    """Convert to a list of `Dialogue`.

    Args:
        given: path of a file (`-` for the standard input), or dialogues. Plain texts are turns of two alternating
            speakers.
        name: name in messages, and topic of dialogues without one.

    Raises:
        DataError: a file cannot be read, or something is not a dialogue.
    """
    if isinstance(given, str | os.PathLike):
        return read_dialogues(given)
    if isinstance(given, Dialogue | Mapping):
        raise DataError(f"{name}: is one dialogue; it should be a list of dialogues, such as [{LAYOUT}]")
    if not isinstance(given, Iterable):
        raise DataError(f"{name}: is {_kind(given)}; it should be the path of a file, or a list of dialogues")
    made = [_dialogue(one, f"{name}[{position}]", name) for position, one in enumerate(given)]
    if not made:
        raise DataError(f"{name}: holds no dialogue; it should hold at least one")
    return made


def read_dialogues(path: str | os.PathLike[str]) -> list[Dialogue]:
    """Read dialogues from a file or folder in any format of `dataset=auto`, or from the standard input (`-`).

    They are treated as one topic, so columns of topics are ignored.

    Raises:
        DataError: it cannot be read, or holds no dialogues.
        ConfigError: it begins with `~user`, and there is no such home folder.
    """
    if not os.fspath(path) or "\0" in os.fspath(path):
        raise DataError(f"{os.fspath(path)!r}: is no path; it should name a file of dialogues")
    if os.fspath(path) != "-":
        file = expand(os.fspath(path), "dialogues")
        refuse_special(file, "dialogues")
        with unzipped(file) as opened:
            return _read(opened)
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"{STANDARD_INPUT}: {_TOO_MUCH}")
    return read_content(content, STANDARD_INPUT)


def read_content(content: bytes, name: str) -> list[Dialogue]:
    """Read the dialogues of what a file holds, as `read_dialogues` does.

    Args:
        content: of the file.
        name: what messages call it, and the topic of the dialogues.

    Raises:
        DataError: it cannot be read, or holds no dialogues.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}{ending_of(content)}"
        file.write_bytes(content)
        try:
            with unzipped(file) as opened:
                return _read(opened)
        except DataError as error:
            raise DataError(str(error).replace(str(file), name)) from error


def _read(path: Path) -> list[Dialogue]:
    """Read a file or folder; JSON and plain text are read by `parse_dialogues`, which is more tolerant."""
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: {_TOO_MUCH}")
    try:
        result = detect(path).name if path.exists() else None
    except UnreadError:
        raise
    except DataError:
        result = None
    if result is not None and (result not in _PARSED or path.is_dir()):
        return _detected(path, result)
    if path.is_dir():
        raise DataError(f"{path}: holds no file of dialogues")
    try:
        return parse_dialogues(_decoded(path.read_bytes(), str(path)), str(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; it should be a file of dialogues") from error
    except DataError:
        if result is None:
            raise
        return _detected(path, result)


def _detected(path: Path, format_name: str) -> list[Dialogue]:
    made = FORMATS[format_name]
    try:
        found = contents(path, made)
        check_one_format(path, made, found)
        options = Options({}, one_topic=True, left_out=found.left_out)
        return list(nonempty(path, made.title, made.read(path, options)))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (DataError, ConfigError) as error:
        if "dataset." not in str(error):
            raise
        raise DataError(f"{error} ({_REMEDY})") from error


def parse_dialogues(text: str, name: str) -> list[Dialogue]:
    """Return the dialogues of a text: JSON, JSON Lines, or plain text.

    JSON contains a list of dialogues, JSON Lines one per line; each is a list of turns, or an object with `turns`. In
    plain text each line is a turn, with or without its speaker (`Ann: hello`), and a blank line ends a dialogue.

    Args:
        text: content of a file.
        name: name in messages.

    Raises:
        DataError: there are none, or one is malformed; the message names its position.
    """
    stripped = text.lstrip("\ufeff").strip()
    if not stripped:
        raise DataError(f"{name}: is empty; it should hold dialogues: one a line as JSON, or one turn a line as text")
    topic = Path(name).stem or name
    if stripped[0] not in "[{":
        return _plain_text(stripped, name, topic)
    whole = _whole(stripped)
    if whole == [] or whole == [{}]:
        raise DataError(f"{name}: holds no dialogue; it should hold at least one: [{LAYOUT}]")
    if whole is not None:
        return [_dialogue(one, f"{name}: dialogue {position}", topic) for position, one in enumerate(whole, start=1)]
    made = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            content = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{name}:{number}: not valid JSON ({error}); each line should be a dialogue: {LAYOUT}"
            ) from error
        made.append(_dialogue(content, f"{name}:{number}", topic))
    return made


def as_turns(context: Context, name: str = "context") -> tuple[Turn, ...]:
    """Return the turns of a context; plain texts are turns of alternating speakers, the last one of the user.

    Raises:
        DataError: there are none, or one of them is not a turn.
    """
    if isinstance(context, str):
        turns: tuple[Turn, ...] = (_turn(context, 0, name),)
    elif isinstance(context, Dialogue):
        turns = context.turns
    elif isinstance(context, Sequence):
        first = (len(context) - 1) % 2
        turns = tuple(_turn(turn, first + position, f"{name}[{position}]") for position, turn in enumerate(context))
    else:
        raise DataError(f"{name}: is {_kind(context)}; it should be a text or a list of texts, the oldest first")
    if not any(turn.text.strip() for turn in turns):
        raise DataError(f"{name}: says nothing; it should hold at least one turn to reply to")
    return turns


def replier(turns: Sequence[Turn]) -> str:
    """Return the speaker of the reply: the last one who is not the current speaker."""
    last = turns[-1].speaker
    others = [turn.speaker for turn in reversed(turns) if turn.speaker != last]
    return others[0] if others else next(speaker for speaker in reversed(SPEAKERS) if speaker != last)


def _dialogue(given: object, name: str, topic: str) -> Dialogue:
    if isinstance(given, Dialogue):
        return given
    identifier = name
    if isinstance(given, Mapping):
        if "turns" not in given:
            raise DataError(f'{name}: has no "turns"; it should be a list of turns, or {{"turns": {LAYOUT}}}')
        topic = str(given.get("topic") or topic)
        identifier = str(given.get("id") or name)
        given = given["turns"]
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise DataError(f"{name}: is {_kind(given)}; a dialogue should be a list of turns: {LAYOUT}")
    turns = tuple(_turn(turn, position, f"{name}, turn {position + 1}") for position, turn in enumerate(given))
    return Dialogue(topic, tuple(turn for turn in turns if turn.text.strip()), identifier)


def _turn(given: object, position: int, name: str) -> Turn:
    if isinstance(given, Turn):
        return given
    if isinstance(given, str):
        return Turn(SPEAKERS[position % 2], _encodable(given, name))
    if isinstance(given, Mapping) and isinstance(given.get("text"), str):
        speaker = given.get("speaker", SPEAKERS[position % 2])
        if isinstance(speaker, str) and speaker.strip():
            return Turn(" ".join(_encodable(speaker, name).split()), _encodable(given["text"], name))
    raise DataError(f'{name}: is {_kind(given)}; a turn should be a text, or {{"speaker": "...", "text": "..."}}')


def _encodable(text: str, name: str) -> str:
    r"""Refuse lone surrogates, which can be escaped in JSON (`\ud83d`) but not encoded in UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{name}: holds half of a character (\\u{ord(text[error.start]):04x}); write both halves"
        ) from error
    return text


def _whole(text: str) -> list[object] | None:
    """Return the dialogues of a text that is one JSON value; None if it is something else, such as JSON Lines."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(content, Mapping):
        inner = content.get("dialogues")
        return list(inner) if isinstance(inner, list) else [content]
    if content and all(isinstance(turn, str) for turn in content):
        return [content]  # one dialogue
    return list(content)


def _plain_text(text: str, name: str, topic: str) -> list[Dialogue]:
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            blocks[-1].append(line.strip())
        elif blocks[-1]:
            blocks.append([])
    return [
        Dialogue(topic, _spoken(block), f"{name}: dialogue {number}")
        for number, block in enumerate(filter(None, blocks), start=1)
    ]


def _spoken(lines: Sequence[str]) -> tuple[Turn, ...]:
    """Return the turns of lines, with speakers if all lines have one and some speaker occurs twice."""
    named = [_NAMED.match(line) for line in lines]
    results = [match.groups() for match in named if match is not None]
    if len(results) == len(lines) > 1 and len({speaker for speaker, _ in results}) <= max(2, len(lines) // 2):
        return tuple(Turn(speaker.strip(), text) for speaker, text in results)
    return tuple(Turn(SPEAKERS[index % 2], line) for index, line in enumerate(lines))


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: byte {error.start + 1} is not UTF-8; save it as UTF-8") from error


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {bool: "a boolean", str: "a text", int: "a number", float: "a number", list: "a list"}
    return kinds.get(type(value), "an object" if isinstance(value, Mapping) else f"of type {type(value).__name__}")
