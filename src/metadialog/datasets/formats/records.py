"""Several kinds of JSON and JSON lines with one dialogue per record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.formats.base import (
    JSON_LINES,
    Options,
    files_of,
    first_record,
    json_records,
    name_in,
    topic_of,
    topic_of_file,
)
from metadialog.datasets.lines import SPEAKERS, parse_text
from metadialog.errors import DataError

ENDINGS = (".json", *JSON_LINES)
NO_SPEECH = ("system", "developer", "tool", "function")
"""Roles of a chat whose messages are not part of the conversation."""

SPEAKER_KEYS = ("speaker", "role", "from", "author", "sender", "name")
TEXT_KEYS = ("text", "content", "value", "utterance", "message")
TURNS_KEYS = ("turns", "messages", "conversations", "conversation", "dialogue", "dialog", "utterances", "log")
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}

_LOOKED_AT = 3
"""Number of values that are checked to tell whether a list or object contains dialogues."""

Record = Mapping[str, Any]


def detector(wanted: Callable[[Record], bool]) -> Callable[[Path], bool]:
    """Return a function that checks the first record of a file or folder."""

    def detect(path: Path) -> bool:
        record = first_record(files_of(path, *ENDINGS), records_of)
        return isinstance(record, Mapping) and wanted(record)

    return detect


def reader(turns_of: Callable[[Record, Options], Sequence[Turn]]) -> Callable[[Path, Options], Iterator[Dialogue]]:
    """Return a function that reads a dialogue from each record of a file or folder.

    Args:
        turns_of: converts a record to turns; raises ValueError if it is malformed.
    """

    def read(path: Path, options: Options) -> Iterator[Dialogue]:
        for file in files_of(path, *ENDINGS, left_out=options.left_out):
            name = name_in(path, file)
            for number, (where, record) in enumerate(records_of(file), start=1):
                try:
                    if not isinstance(record, Mapping):
                        raise ValueError(f"is {type(record).__name__}; it should be an object")
                    turns = turns_of(record, options)
                    about = topic_of(record, options.columns.get("topic"), topic_of_file(path, file))
                except ValueError as error:
                    raise DataError(f"{where}: {error}") from error
                yield Dialogue(about, tuple(turns), _id(record, options, name, number, in_folder=path.is_dir()))

    return read


def _id(record: Record, options: Options, name: str, number: int, *, in_folder: bool) -> str:
    """Return the id of a record, made unique within a folder; its number if it has none."""
    keys = [options.columns.get("dialogue_id") or "id", "dialogue_id", "conversation_id"]
    given = next((str(record[key]) for key in keys if isinstance(record.get(key), str | int)), None)
    return given if given is not None and not in_folder else f"{name}:{given or number}"


def records_of(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the records of a file with their positions, including those nested in a list or object under one key.

    Such are `{"dialogues": [...]}` and `{"ID": {"turns": [...]}, ...}`. A list of turns is also a record.
    """
    for where, record in json_records(path):
        yield from _unwrapped(where, record)


def _unwrapped(where: str, record: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any JSON value
    if isinstance(record, Mapping) and record and not has_turns(record):
        for key, value in record.items():
            if isinstance(value, list) and value and all(map(_is_dialogue, value[:_LOOKED_AT])):
                for index, one in enumerate(value):
                    yield f"{where}: {key}[{index}]", {"turns": one} if isinstance(one, list) else one
                return
        if all(map(_is_dialogue, list(record.values())[:_LOOKED_AT])):
            for key, one in record.items():
                yield f"{where}: {key}", {"id": key, **({"turns": one} if isinstance(one, list) else one)}
            return
    yield where, {"turns": record} if _is_dialogue(record) and isinstance(record, list) else record


def _is_dialogue(value: object) -> bool:
    """Tell whether a value of JSON is a list of turns, or an object with one."""
    if isinstance(value, Mapping):
        return has_turns(value)
    return isinstance(value, list) and bool(value) and _is_turn(value[0])


def _is_turn(value: object) -> bool:
    if isinstance(value, Mapping):
        return not has_turns(value) and any(key in value for key in TEXT_KEYS)
    return isinstance(value, str)


# Any list of turns


def has_turns(record: Record) -> bool:
    """Tell whether a record has a list of turns under a usual key."""
    lists = (record.get(key) for key in TURNS_KEYS)
    return any(
        isinstance(value, list) and value and not (isinstance(value[0], Mapping) and has_turns(value[0]))
        for value in lists
    )


def turns_of_list(record: Record, options: Options) -> list[Turn]:
    """Return the turns of a record: a list of texts, or of objects with a speaker and a text."""
    key = next((key for key in TURNS_KEYS if isinstance(record.get(key), list)), None)
    if key is None:
        raise ValueError(f"has no list of turns; it should have one of {', '.join(TURNS_KEYS)}")
    return [turn for index, item in enumerate(record[key]) for turn in [_turn(item, index, key, options)] if turn]


def _turn(item: object, position: int, key: str, options: Options) -> Turn | None:
    if isinstance(item, str):
        return Turn(SPEAKERS[position % 2], item)
    if not isinstance(item, Mapping):
        raise ValueError(f"{key}[{position}] is {item!r:.40}; it should be a text or an object")
    speaker_key = options.columns.get("speaker") or next(
        (k for k in SPEAKER_KEYS if isinstance(item.get(k), str | Mapping)), ""
    )
    text_key = options.columns.get("text") or next((k for k in TEXT_KEYS if k in item), "")
    speaker = item.get(speaker_key) if speaker_key else SPEAKERS[position % 2]
    if isinstance(speaker, Mapping):  # as in exports of Discord
        speaker = speaker.get("name") or speaker.get("role")
    if speaker in NO_SPEECH:
        return None
    text = plain(item.get(text_key)) if text_key else None
    if text is None or not isinstance(speaker, str) or not speaker.strip():
        keys = ", ".join(map(str, item))
        raise ValueError(
            f"{key}[{position}] has no speaker and text; dataset.columns.speaker and dataset.columns.text should name "
            f"its keys, of {keys[:80]}"
        )
    return Turn(ROLES.get(speaker, " ".join(speaker.split())), text)


def plain(content: object) -> str | None:
    """Return the text of a message, which may consist of parts; it is empty if absent, as in tool calls."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    return None


def is_openai(record: Record) -> bool:
    """Tell whether a record is of OpenAI's chat format: messages with roles."""
    messages = record.get("messages")
    return isinstance(messages, list) and bool(messages) and isinstance(messages[0], Mapping) and "role" in messages[0]


def is_sharegpt(record: Record) -> bool:
    """Tell whether a record is of ShareGPT's format: conversations with `from` and `value`."""
    said = record.get("conversations")
    return (
        isinstance(said, list) and bool(said) and isinstance(said[0], Mapping) and {"from", "value"} <= said[0].keys()
    )


# Label Studio


def is_label_studio(record: Record) -> bool:
    """Tell whether a record is a task of Label Studio whose data hold a dialogue."""
    data = record.get("data")
    return isinstance(data, Mapping) and ("annotations" in record or "completions" in record or has_paragraphs(data))


def has_paragraphs(data: Record) -> bool:
    """Tell whether there is a list of objects, as the tag `Paragraphs` shows."""
    return bool(_paragraphs(data))


def _paragraphs(data: Record) -> list[Any]:
    lists = (value for value in data.values() if isinstance(value, list) and value and isinstance(value[0], Mapping))
    return next(lists, [])


def turns_of_label_studio(record: Record, options: Options) -> list[Turn]:
    """Return the turns that the tag `Paragraphs` shows, the first list of objects in the data; or those of a text."""
    data = record.get("data")
    if not isinstance(data, Mapping):
        raise ValueError("has no data; it should be a task of Label Studio")
    if not has_paragraphs(data):
        text = max((value for value in data.values() if isinstance(value, str)), key=len, default="")
        turns = parse_text(text) if "\n" in text.strip() else []
        if turns:
            return turns
        raise ValueError("its data hold no dialogue; they should hold a list of objects with a speaker and a text")
    return [
        turn for index, item in enumerate(_paragraphs(data)) for turn in [_turn(item, index, "data", options)] if turn
    ]


def read_label_studio(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of an export of Label Studio; the topic is the first choice of an annotation.

    Raises:
        DataError: a file is malformed.
    """
    for file in files_of(path, *ENDINGS, left_out=options.left_out):
        for number, (where, record) in enumerate(json_records(file), start=1):
            try:
                if not isinstance(record, Mapping):
                    raise ValueError("is no object; it should be a task")
                turns = turns_of_label_studio(record, options)
                named = options.columns.get("topic")
                topic = _choice(record) if named is None else None
                topic = topic or topic_of(record["data"], named, topic_of_file(path, file))
            except ValueError as error:
                raise DataError(f"{where}: {error}") from error
            yield Dialogue(topic, tuple(turns), f"{name_in(path, file)}:{record.get('id', number)}")


def _choice(record: Record) -> str | None:
    for annotation in record.get("annotations") or record.get("completions") or []:
        for result in annotation.get("result", []) if isinstance(annotation, Mapping) else []:
            choices = result.get("value", {}).get("choices") if isinstance(result, Mapping) else None
            if choices and isinstance(choices[0], str):
                return " ".join(choices[0].split())
    return None


# Rasa's trackers


def is_rasa_tracker(record: Record) -> bool:
    """Tell whether a record is a conversation that Rasa has kept: events of user and bot."""
    events = record.get("events")
    return isinstance(events, list) and any(isinstance(e, Mapping) and "event" in e for e in events)


def turns_of_tracker(record: Record, options: Options) -> list[Turn]:  # noqa: ARG001 - same signature for all
    """Return the turns of user and bot."""
    events = [event for event in record.get("events", []) if isinstance(event, Mapping)]
    said = [event for event in events if event.get("event") in ("user", "bot") and isinstance(event.get("text"), str)]
    return [Turn(str(event["event"]), event["text"]) for event in said]


# Botpress


def is_botpress(record: Record) -> bool:
    """Tell whether a record is an export of Botpress's questions and answers."""
    return isinstance(record.get("qnas"), list)


def read_botpress(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield a dialogue for each question with its answer; the topic is its context.

    Raises:
        DataError: a file is malformed.
    """
    for file in files_of(path, *ENDINGS, left_out=options.left_out):
        for where, record in json_records(file):
            for position, entry in enumerate(record.get("qnas", []) if isinstance(record, Mapping) else []):
                data = entry.get("data") if isinstance(entry, Mapping) else None
                if not isinstance(data, Mapping):
                    raise DataError(f"{where}: qnas[{position}] has no data; it should be as Botpress exports it")
                topic = next((str(context) for context in data.get("contexts") or []), "global")
                for language, questions in (data.get("questions") or {}).items():
                    answers = (data.get("answers") or {}).get(language) or []
                    if answers:
                        for number, question in enumerate(questions):
                            turns = (Turn("user", str(question)), Turn("bot", str(answers[0])))
                            yield Dialogue(
                                topic, turns, f"{name_in(path, file)}:{entry.get('id', position)}:{language}:{number}"
                            )
