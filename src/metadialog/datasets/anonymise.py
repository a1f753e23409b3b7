"""Names of speakers, mail addresses and phone numbers, replaced by what they are."""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from metadialog.datasets.dialogue import Dialogue, Turn

MAIL, PHONE = "<mail>", "<phone>"

ROLES = frozenset(
    (
        *("user", "bot", "system", "assistant", "agent", "customer", "guest", "desk", "shop", "partner", "persona"),
        *("human", "gpt", "wizard", "apprentice", "speaker", "listener", "unknown", "a", "b"),
    )
)
"""Names of speakers that are not the name of a person."""

_MAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
# Digits in groups, with a country code or not; a separator may be followed by an opening bracket. A library
# (phonenumbers) asks for the country, and told it, finds 522 of the 529 numbers that this finds in SGD and MultiWOZ,
# and no other valid one.
_PHONE = re.compile(r"(?<![\w.,:/-])(?:\+|00)?\(?\d{1,4}\)?(?:[ ./-]?\(?\d{2,5}\)?){1,5}(?![\w/:])")
_DIGITS = re.compile(r"\d")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}")
_PHONE_DIGITS = range(7, 16)  # ITU-T E.164: at most 15


def anonymise_dialogue(dialogue: Dialogue) -> Dialogue:
    """Return a dialogue with `anonymise`d turns, and without its speakers' names in its topic and its id.

    A chat is called after who is in it: there a name becomes `person` with a digest of it, the same in each dialogue.
    """
    topic, identifier = (_entitled(text, _names(dialogue)) for text in (dialogue.topic, dialogue.id))
    return Dialogue(topic, tuple(anonymise(dialogue.turns)), identifier)


def anonymise_titles(dialogues: Sequence[Dialogue]) -> list[Dialogue]:
    """Return dialogues without the names of any speaker of their topic in it and in their ids.

    A group's chat is called after people who do not speak in each of its dialogues; it stays one topic.
    """
    names: dict[str, set[str]] = {}
    for dialogue in dialogues:
        names.setdefault(dialogue.topic, set()).update(_names(dialogue))
    topics = {topic: _entitled(topic, speakers) for topic, speakers in names.items()}
    return [
        replace(dialogue, topic=topics[dialogue.topic], id=_entitled(dialogue.id, names[dialogue.topic]))
        for dialogue in dialogues
    ]


def _names(dialogue: Dialogue) -> set[str]:
    return {turn.speaker for turn in dialogue.turns if turn.speaker.casefold() not in ROLES and len(turn.speaker) > 1}


def _entitled(text: str, names: Collection[str]) -> str:
    for name in sorted(names, key=lambda name: (-len(name), name)):
        label = f"person {hashlib.sha256(name.encode()).hexdigest()[:4]}"
        text = re.sub(_whole(name), label, text)
    return text


def anonymise(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns in which speakers are `speaker 1`, `speaker 2`, ..., by their first turn, also where named.

    Roles, such as `user`, are kept. A name of several parts is also replaced part by part ("Anna" for "Anna Meier"),
    with regard to case and as a whole word. Names of others than the speakers are not recognised.
    """
    labels: dict[str, str] = {}
    for turn in turns:
        if turn.speaker.casefold() not in ROLES and turn.speaker not in labels:
            labels[turn.speaker] = f"speaker {len(labels) + 1}"
    names = {part: label for speaker, label in reversed(labels.items()) for part in (*speaker.split(), speaker)}
    names = {name: label for name, label in names.items() if len(name) > 1 and not name.isdigit()}
    pattern = re.compile("|".join(_whole(name) for name in sorted(names, key=len, reverse=True))) if names else None
    return [
        replace(turn, speaker=labels.get(turn.speaker, turn.speaker), text=_replaced(turn.text, names, pattern))
        for turn in turns
    ]


def _replaced(text: str, names: dict[str, str], pattern: re.Pattern[str] | None) -> str:
    text = _MAIL.sub(MAIL, text)
    text = _PHONE.sub(lambda match: PHONE if _is_phone(match[0]) else match[0], text)
    return pattern.sub(lambda match: f"<{names[match[0]]}>", text) if pattern else text


def _is_phone(text: str) -> bool:
    return len(_DIGITS.findall(text)) in _PHONE_DIGITS and not _DATE.fullmatch(text)


def _whole(name: str) -> str:
    """Return a pattern of a name that is not part of a longer word; scripts without spaces have no such bounds."""
    spaced = name.isascii() or (name[0].isalpha() and name.upper() != name.lower())
    return rf"(?<!\w){re.escape(name)}(?!\w)" if spaced else re.escape(name)
