"""JSON and JSON lines of several kinds: one dialogue a record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.formats.base import Options, files_of, first_record, json_records, topic_of
from metadialog.datasets.lines import SPEAKERS
from metadialog.errors import DataError

ENDINGS = (".json", ".jsonl", ".ndjson")
NO_SPEECH = ("system", "developer", "tool", "function")
"""Roles of a chat whose messages are not part of the conversation."""

SPEAKER_KEYS = ("speaker", "role", "from", "author", "sender", "name")
TEXT_KEYS = ("text", "content", "value", "utterance", "message")
TURNS_KEYS = ("turns", "messages", "conversations", "conversation", "dialogue", "dialog", "utterances", "log")
ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "bard": "assistant"}

Record = Mapping[str, Any]


def detector(wanted: Callable[[Record], bool]) -> Callable[[Path], bool]:
    """Return what says whether the first record of a file or folder is as wanted."""

    def detect(path: Path) -> bool:
        files = files_of(path, *ENDINGS)
        record = first_record(files[0]) if files else None
        return isinstance(record, Mapping) and wanted(record)

    return detect


def reader(turns_of: Callable[[Record, Options], Sequence[Turn]]) -> Callable[[Path, Options], Iterator[Dialogue]]:
    """Return what reads a dialogue from each record of a file, or of all files of a folder.

    Args:
        turns_of: makes turns of a record; raises ValueError where it is malformed.
    """

    def read(path: Path, options: Options) -> Iterator[Dialogue]:
        for file in files_of(path, *ENDINGS):
            for number, (where, record) in enumerate(json_records(file), start=1):
                try:
                    if not isinstance(record, Mapping):
                        raise ValueError(f"is {type(record).__name__}; it should be an object")
                    turns = turns_of(record, options)
                    about = topic_of(record, options.columns.get("topic"), file.stem)
                except ValueError as error:
                    raise DataError(f"{where}: {error}") from error
                yield Dialogue(about, tuple(turns), _id(record, options, f"{file.name}:{number}"))

    return read


def _id(record: Record, options: Options, default: str) -> str:
    keys = [options.columns.get("dialogue_id") or "id", "dialogue_id", "conversation_id"]
    return next((str(record[key]) for key in keys if isinstance(record.get(key), str | int)), default)


# Any list of turns


def has_turns(record: Record) -> bool:
    """Say whether a record has a list of turns under a usual key."""
    return any(isinstance(record.get(key), list) and record[key] for key in TURNS_KEYS)


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
    speaker_key = options.columns.get("speaker") or next((k for k in SPEAKER_KEYS if isinstance(item.get(k), str)), "")
    text_key = options.columns.get("text") or next((k for k in TEXT_KEYS if k in item), "")
    speaker = item.get(speaker_key) if speaker_key else SPEAKERS[position % 2]
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
    """Return the text of a message, which may consist of parts; an absent one is empty, as where tools are called."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in content]
        return "".join(part for part in parts if isinstance(part, str))
    return None


def is_openai(record: Record) -> bool:
    """Say whether a record is of OpenAI's chat format: messages with roles."""
    messages = record.get("messages")
    return isinstance(messages, list) and bool(messages) and isinstance(messages[0], Mapping) and "role" in messages[0]


def is_sharegpt(record: Record) -> bool:
    """Say whether a record is of ShareGPT's format: conversations, from whom and of what value."""
    said = record.get("conversations")
    return (
        isinstance(said, list) and bool(said) and isinstance(said[0], Mapping) and {"from", "value"} <= said[0].keys()
    )


# Label Studio


def is_label_studio(record: Record) -> bool:
    """Say whether a record is a task of Label Studio whose data hold a dialogue."""
    data = record.get("data")
    return isinstance(data, Mapping) and ("annotations" in record or "completions" in record or has_paragraphs(data))


def has_paragraphs(data: Record) -> bool:
    """Say whether there is a list of objects, as the tag `Paragraphs` shows."""
    return bool(_paragraphs(data))


def _paragraphs(data: Record) -> list[Any]:
    lists = (value for value in data.values() if isinstance(value, list) and value and isinstance(value[0], Mapping))
    return next(lists, [])


def turns_of_label_studio(record: Record, options: Options) -> list[Turn]:
    """Return the turns that the tag `Paragraphs` shows: the first list of objects in the data."""
    data = record.get("data")
    if not isinstance(data, Mapping) or not has_paragraphs(data):
        raise ValueError("its data hold no dialogue; they should hold a list of objects with a speaker and a text")
    return [
        turn for index, item in enumerate(_paragraphs(data)) for turn in [_turn(item, index, "data", options)] if turn
    ]


def read_label_studio(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of an export of Label Studio; the topic is the first choice of an annotation.

    Raises:
        DataError: a file is malformed.
    """
    for file in files_of(path, *ENDINGS):
        for where, record in json_records(file):
            try:
                if not isinstance(record, Mapping):
                    raise ValueError("is no object; it should be a task")
                turns = turns_of_label_studio(record, options)
                named = options.columns.get("topic")
                topic = _choice(record) if named is None else None
                topic = topic or topic_of(record["data"], named, file.stem)
            except ValueError as error:
                raise DataError(f"{where}: {error}") from error
            yield Dialogue(topic, tuple(turns), f"{file.stem}:{record.get('id', where.rpartition(' ')[2])}")


def _choice(record: Record) -> str | None:
    for annotation in record.get("annotations") or record.get("completions") or []:
        for result in annotation.get("result", []) if isinstance(annotation, Mapping) else []:
            choices = result.get("value", {}).get("choices") if isinstance(result, Mapping) else None
            if choices and isinstance(choices[0], str):
                return " ".join(choices[0].split())
    return None


# Rasa's trackers


def is_rasa_tracker(record: Record) -> bool:
    """Say whether a record is a conversation that Rasa has kept: events of user and bot."""
    events = record.get("events")
    return isinstance(events, list) and any(isinstance(e, Mapping) and "event" in e for e in events)


def turns_of_tracker(record: Record, options: Options) -> list[Turn]:  # noqa: ARG001 - one signature for all
    """Return what user and bot have said."""
    events = [event for event in record.get("events", []) if isinstance(event, Mapping)]
    said = [event for event in events if event.get("event") in ("user", "bot") and isinstance(event.get("text"), str)]
    return [Turn(str(event["event"]), event["text"]) for event in said]


# Botpress


def is_botpress(record: Record) -> bool:
    """Say whether a record is an export of Botpress's questions and answers."""
    return isinstance(record.get("qnas"), list)


def read_botpress(path: Path, options: Options) -> Iterator[Dialogue]:  # noqa: ARG001 - one signature for all
    """Yield a dialogue for each question with its answer; the topic is its context.

    Raises:
        DataError: a file is malformed.
    """
    for file in files_of(path, *ENDINGS):
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
                            yield Dialogue(topic, turns, f"{entry.get('id', position)}:{language}:{number}")
