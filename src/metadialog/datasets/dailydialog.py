"""DailyDialog (Li et al. 2017) and its translations line by line, XDailyDialog (Liu et al. 2023).

- `dialogues_text.txt`: one dialogue a line, each turn followed by `__eou__`. XDailyDialog, which has it between
  turns alone, calls the file `dialogues_text_En.txt`; `dialogues_text_Zh.txt`, `_De` and `_It` beside it are
  parallel to it line by line.
- `dialogues_topic.txt`: the number of the topic, one a line for each dialogue.
- `train.zip`, `validation.zip` and `test.zip`, or such folders, each with `dialogues_train.txt` and so on: the
  publishers' own parts. They have no topics; a dialogue's is that of the same text in `dialogues_text.txt`.
"""

from collections.abc import Iterator
from importlib.resources.abc import Traversable
from typing import Literal, Unpack

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.language import check_language
from metadialog.datasets.local import LocalCopy, Root, inside, read_lines
from metadialog.errors import ConfigError, DataError
from metadialog.text import counted

TOPICS = {
    1: "Ordinary Life",
    2: "School Life",
    3: "Culture & Education",
    4: "Attitude & Emotion",
    5: "Relationship",
    6: "Tourism",
    7: "Health",
    8: "Work",
    9: "Politics",
    10: "Finance",
}
NO_TOPIC = "(no topic)"
END_OF_UTTERANCE = "__eou__"
SPEAKERS = ("A", "B")
PUBLICATION = "DailyDialog, with dialogues_text.txt and dialogues_topic.txt"


class DailyDialogDataset(BaseDataset):
    """Everyday conversations of two people, "A" and "B", under the publishers' ten topics.

    A dialogue of a part whose text is not in `dialogues_text.txt` has the topic `(no topic)`.
    """

    source = "dailydialog"

    def __init__(
        self,
        *,
        root: Root | None,
        language: str,
        part: Literal["all", "train", "validation", "test"],
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Set the local copy, the language of the texts, and the part of the data set.

        Raises:
            ConfigError: the language is not a code; a part is requested in a language other than English; the root
                begins with `~user`, and there is no such home folder.
        """
        super().__init__(**cleaning)
        if part != "all" and language != "en":
            raise ConfigError(
                f"dataset.part={part}: the parts are published in English, not for dataset.language={language}; "
                f"choose dataset.part=all or dataset.language=en"
            )
        self._copy = LocalCopy(root, PUBLICATION)
        self.language = check_language(language)
        self._part = part
        self.name = f"dailydialog-{language}"

    def dialogues(self) -> Iterator[Dialogue]:
        """Read the dialogues in the order of the file.

        Raises:
            DataError: a file is missing or malformed; the message names it and the line.
        """
        text = self._text()
        lines = _dialogues(text)
        topics = _topics(self._copy.need("dialogues_topic.txt"), len(lines), text)
        if self._part == "all":
            for number, (line, topic) in enumerate(zip(lines, topics, strict=True), start=1):
                yield Dialogue(topic, _turns(line, f"{text}:{number}"), f"{text.name}:{number}")
            return
        topic_of = {_key(line): topic for line, topic in zip(lines, topics, strict=True)}
        part = self._part_file()
        for number, line in enumerate(_dialogues(part), start=1):
            topic = topic_of.get(_key(line), NO_TOPIC)
            yield Dialogue(topic, _turns(line, f"{part}:{number}"), f"{part.name}:{number}")

    def _text(self) -> Traversable:
        suffixed = f"dialogues_text_{self.language.capitalize()}.txt"
        names = ("dialogues_text.txt", suffixed) if self.language == "en" else (suffixed,)
        return self._copy.need(*names)

    def _part_file(self) -> Traversable:
        name = f"dialogues_{self._part}.txt"
        result = self._copy.find(self._part, f"{self._part}.zip", name)
        if result is not None and result.name.endswith(".zip"):
            result = inside(result) / self._part
        if result is not None and result.is_dir():
            result = result / name
        if result is None or not result.is_file():
            raise DataError(
                f"{self._copy.path}: holds no {self._part}.zip and no {self._part}/{name}; "
                f"it should, for dataset.part={self._part}"
            )
        return result


def _dialogues(file: Traversable) -> list[str]:
    """Return the lines of a file of dialogues.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    lines = read_lines(file)
    if not lines:
        raise DataError(f"{file}:1: holds no dialogue; it should hold one a line")
    return lines


def _topics(file: Traversable, dialogues: int, text: Traversable) -> list[str]:
    """Return the topic of each dialogue.

    Raises:
        DataError: a line is not the number of a topic, or there are not as many as dialogues.
    """
    numbers = {str(number): topic for number, topic in TOPICS.items()}
    labels = []
    for number, line in enumerate(read_lines(file), start=1):
        if line.strip() not in numbers:
            raise DataError(f"{file}:{number}: {line.strip()[:40]!r} is no topic; it should be a number from 1 to 10")
        labels.append(numbers[line.strip()])
    if len(labels) != dialogues:
        raise DataError(
            f"{file}:{len(labels) or 1}: has {counted(len(labels), 'topic')}, but {text.name} has "
            f"{counted(dialogues, 'dialogue')}; it should have one a line"
        )
    return labels


def _turns(line: str, where: str) -> tuple[Turn, ...]:
    texts = [text.strip() for text in line.split(END_OF_UTTERANCE)]
    if not any(texts):
        raise DataError(f"{where}: holds no turn; it should be a dialogue, with {END_OF_UTTERANCE} after each turn")
    if not texts[-1]:  # DailyDialog ends its last turn as well, XDailyDialog does not
        texts.pop()
    return tuple(Turn(SPEAKERS[i % 2], text) for i, text in enumerate(texts))


def _key(line: str) -> str:
    """Return a key of a dialogue that does not depend on its spacing."""
    return "".join(line.split())
