"""Exports of chats in JSON: Telegram and Slack."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.formats.base import Message, Options, files_of, first_record, parsed_json, sessions
from metadialog.errors import DataError

# <https://example.org|a page>, <mailto:...|...>, <#C024|general>, <!here>; other < and > are escaped
_LINK = re.compile(r"<(?P<address>[^<>|]+)(?:\|(?P<label>[^<>]*))?>")


def is_telegram(path: Path) -> bool:
    """Tell whether a file, or `result.json` in a folder, is an export of Telegram Desktop."""
    file = path / "result.json" if path.is_dir() else path
    content = first_record([file]) if file.suffix.lower() == ".json" and file.is_file() else None
    if not isinstance(content, Mapping):
        return False
    messages = content.get("messages")
    first = messages[:20] if isinstance(messages, list) else []
    is_chat = any(isinstance(message, Mapping) and {"date", "type"} <= message.keys() for message in first)
    return is_chat or isinstance(content.get("chats"), Mapping)


def read_telegram(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of one chat, or of all chats of an export; a chat is a topic.

    Raises:
        DataError: the file is malformed.
    """
    file = path / "result.json" if path.is_dir() else path
    content = parsed_json(file)
    if not isinstance(content, Mapping):
        raise DataError(f"{file}: is no object; it should be as Telegram exports it")
    chats = content.get("chats")
    listed = chats.get("list") if isinstance(chats, Mapping) else [content]
    if not isinstance(listed, list):
        raise DataError(f"{file}: chats: has no list; it should be as Telegram exports it")
    for index, chat in enumerate(listed):
        if not isinstance(chat, Mapping) or not isinstance(chat.get("messages"), list):
            raise DataError(f"{file}: chat {index}: has no list of messages; it should be as Telegram exports it")
        name = str(chat.get("name") or chat.get("type") or file.stem)
        messages = [m for m in (_telegram(message, file) for message in chat["messages"]) if m is not None]
        for number, turns in enumerate(sessions(messages, options.gap), start=1):
            yield Dialogue(" ".join(name.split()), turns, f"{chat.get('id', index)}:{number}")


def _telegram(message: Any, file: Path) -> Message | None:  # noqa: ANN401 - any JSON value
    if not isinstance(message, Mapping) or message.get("type") != "message":
        return None
    text = message.get("text", "")
    if isinstance(text, list):
        text = "".join(str(part.get("text", "")) if isinstance(part, Mapping) else str(part) for part in text)
    speaker = str(message.get("from") or message.get("from_id") or "unknown")
    try:
        time = datetime.fromisoformat(str(message["date"]))
    except (KeyError, ValueError) as error:
        where = f"{file}: message {message.get('id')}"
        raise DataError(f"{where}: has no date; it should be as Telegram exports it") from error
    return Message(time.replace(tzinfo=None), " ".join(speaker.split()), str(text))


def is_slack(path: Path) -> bool:
    """Tell whether a folder is an export of Slack: files of messages, with time stamps, in a folder a channel."""
    files = (
        [file for file in files_of(path, ".json") if file.parent != path] if path.is_dir() else files_of(path, ".json")
    )
    record = first_record(files)
    return isinstance(record, Mapping) and "ts" in record and record.get("type") == "message"


def read_slack(path: Path, options: Options) -> Iterator[Dialogue]:
    """Yield the dialogues of an export: a channel is a topic; a dialogue is a thread, or the messages between two gaps.

    Raises:
        DataError: a file is malformed.
    """
    names = _slack_names(path / "users.json") if path.is_dir() else {}
    channels: dict[str, list[Mapping[str, Any]]] = {}
    for file in files_of(path, ".json"):
        if path.is_dir() and file.parent == path:
            continue  # users.json, channels.json and the like
        channel = file.parent.name if path.is_dir() else file.stem
        content = parsed_json(file)
        if not isinstance(content, list):
            raise DataError(f"{file}: is no list of messages; it should be as Slack exports it")
        channels.setdefault(channel, []).extend(m for m in content if isinstance(m, Mapping) and _is_said(m))
    for channel, messages in channels.items():
        threads: dict[str, list[Message]] = {}
        for message in sorted(messages, key=lambda message: float(message["ts"])):
            threads.setdefault(str(message.get("thread_ts", "")), []).append(_slack(message, names))
        for thread, said in threads.items():
            parts = sessions(said, options.gap if not thread else float("1e6"))
            for number, turns in enumerate(parts, start=1):
                yield Dialogue(channel, turns, f"{channel}:{thread or number}")


def _is_said(message: Mapping[str, Any]) -> bool:
    is_number = str(message.get("ts", "")).replace(".", "", 1).isdigit()
    return (
        is_number
        and message.get("type") == "message"
        and message.get("subtype") in (None, "bot_message", "thread_broadcast")
    )


def _slack(message: Mapping[str, Any], names: Mapping[str, str]) -> Message:
    user = str(message.get("user") or message.get("username") or message.get("bot_id") or "unknown")
    text = str(message.get("text", ""))
    for key, name in names.items():
        text = text.replace(f"<@{key}>", f"@{name}")
    text = unescape(_LINK.sub(lambda link: link["label"] or link["address"], text))
    time = datetime.fromtimestamp(float(message["ts"]), UTC).replace(tzinfo=None)
    return Message(time, names.get(user, user), text)


def _slack_names(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    users = [user for user in parsed_json(file) if isinstance(user, Mapping) and "id" in user]
    return {str(user["id"]): str(user.get("real_name") or user.get("name") or user["id"]) for user in users}


def members(path: Path) -> frozenset[str]:
    """Return the names of people that an export of Telegram or Slack holds, whether or not they speak.

    Exports of WhatsApp do not list the members of a group.
    """
    if is_telegram(path):
        return frozenset(filter(None, _telegram_names(parsed_json(path / "result.json" if path.is_dir() else path))))
    file = path / "users.json"
    users = parsed_json(file) if path.is_dir() and file.is_file() else []
    users = [user for user in users if isinstance(user, Mapping)]
    profiles = [user["profile"] for user in users if isinstance(user.get("profile"), Mapping)]
    named = [one.get(key) for one in (*users, *profiles) for key in ("name", "real_name", "display_name")]
    return frozenset(" ".join(name.split()) for name in named if isinstance(name, str) and name.strip())


def _telegram_names(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    """Yield all names in an export: speakers, actors, members, mentions and contacts."""
    if isinstance(value, list):
        for one in value:
            yield from _telegram_names(one)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key in ("from", "actor", "forwarded_from", "first_name", "last_name") and isinstance(one, str):
                yield " ".join(one.split())
            elif key == "members" and isinstance(one, list):
                yield from (" ".join(name.split()) for name in one if isinstance(name, str))
            elif key == "text" and value.get("type") == "mention_name":
                yield " ".join(str(one).split())
            else:
                yield from _telegram_names(one)
