"""The Chit-Chat Challenge of Brigham Young University: people who chat about an opening prompt (chitchat-dataset 0.9).

The package holds one JSON file, a conversation by its id:

    {"a07edb12-...": {"prompt": "Mozart or Beethoven?", "ratings": {...}, "start": "...",
                      "messages": [[{"text": "Hello", "timestamp": "...", "sender": "720840be-..."}, ...], ...]}, ...}

A list of messages is what one sender writes until the other one does.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Unpack

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, LeftOut, Turn
from metadialog.datasets.records import Records
from metadialog.errors import DataError
from metadialog.text import fold

NO_PROMPT = "(no prompt)"
SPEAKERS = ("A", "B")
OWN, OTHER = "self", "partner"
EMPTY = "conversations without a message"
GREETINGS = "conversations of greetings alone"

# A conversation with only these has no second participant.
_GREETING = frozenset(
    (
        *("hi", "hello", "hey", "hiya", "howdy", "yo", "sup", "hola", "greetings", "bye", "goodbye", "thanks", "ok"),
        *("good", "morning", "afternoon", "evening", "fine", "great", "well", "and", "i", "am", "m", "it", "is", "s"),
        *("anyone", "anybody", "someone", "are", "re", "you", "there", "here", "home", "how", "what", "whats", "up"),
        *("going", "doing", "today"),
    )
)


@dataclass(frozen=True, slots=True)
class _Message:
    text: str
    sender: str


@dataclass(frozen=True, slots=True)
class _Conversation:
    messages: list[list[_Message]]
    prompt: str | None = None


class ChitChatDataset(BaseDataset):
    """Conversations of two people about one of 34 prompts, the topic; a few have none.

    With `topic="speaker"` the topic is a person, the one of the two who has fewer conversations: that person is called
    "self", and the other "partner".
    """

    name = "chitchat"
    language = "en"

    def __init__(self, *, topic: Literal["prompt", "speaker"], **cleaning: Unpack[CleaningOptions]) -> None:
        """Set what a topic is."""
        super().__init__(**cleaning)
        self._topic = topic

    def files(self) -> list[Path]:
        """Return the file of the package.

        Raises:
            DataError: the package is not installed.
        """
        result = find_spec("chitchat_dataset")  # importing it would read the whole file
        if result is None or result.origin is None:
            raise DataError("dataset=chitchat: its package is not installed; pip install chitchat-dataset")
        return [Path(result.origin).with_name("dataset.json")]

    def read(self) -> Iterator[Dialogue | LeftOut]:
        """Read the conversations in the order of the file; the ids are the package's.

        Raises:
            DataError: the file is malformed.
        """
        conversations = _records().read(self.files()[0])
        counts = Counter(sender for conversation in conversations.values() for sender in _senders(conversation))
        for key, conversation in conversations.items():
            messages = [message for turn in conversation.messages for message in turn if message.text.strip()]
            if not messages:
                yield LeftOut(EMPTY)
            elif all(_is_greeting(message.text) for message in messages):
                yield LeftOut(GREETINGS)
            else:
                yield self._dialogue(key, conversation, messages, counts)

    def _dialogue(
        self, key: str, conversation: _Conversation, messages: Sequence[_Message], counts: Counter[str]
    ) -> Dialogue:
        senders = _senders(conversation)
        if self._topic == "prompt":
            names = {sender: SPEAKERS[index % 2] for index, sender in enumerate(senders)}
            topic = " ".join((conversation.prompt or "").split()) or NO_PROMPT
        else:
            topic = min(senders, key=lambda sender: (counts[sender], sender))
            names = {sender: OWN if sender == topic else OTHER for sender in senders}
        return Dialogue(topic, tuple(Turn(names[message.sender], message.text) for message in messages), key)


@cache
def _records() -> Records[dict[str, _Conversation]]:
    return Records(dict[str, _Conversation])


def _senders(conversation: _Conversation) -> list[str]:
    """Return the senders, in the order of their first messages."""
    return list(dict.fromkeys(message.sender for turn in conversation.messages for message in turn))


def _is_greeting(text: str) -> bool:
    return _GREETING.issuperset(re.findall(r"\w+", fold(text)))
