"""Data sets that the `datasets` library loads, from the Hugging Face hub or from this machine.

A row is a dialogue. One column holds its topic; another its turns, as a list of texts, as a list of objects with a text
(and perhaps a speaker) each, or as one text with a line for each turn ("Anna: Hello."). Speakers come from the objects,
from a separate column with an entry for each turn, or are "user" and "bot" in alternation.

Alternatively a row is a turn: one column holds the id of its dialogue, whose rows are consecutive, and another the
text.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, ClassVar, Unpack

from annotated_types import MinLen

from metadialog.datasets.base import BaseDataset
from metadialog.datasets.cleaning import CleaningOptions
from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.datasets.language import check_language
from metadialog.datasets.lines import parse_text
from metadialog.datasets.local import expand
from metadialog.errors import ConfigError, DataError
from metadialog.extras import need

SPEAKERS = ("user", "bot")

Name = Annotated[str, MinLen(1)]


class HuggingFaceDataset(BaseDataset):
    """Dialogues of one part of such a data set; the module's docstring describes how its columns are read."""

    local_options: ClassVar = ()  # `path` may be a name on the hub

    def __init__(
        self,
        *,
        path: Name,
        subset: Name | None,
        part: Name,
        topic: Name,
        turns: Name,
        text: Name | None,
        speaker: Name | None,
        language: str,
        id: Name | None = None,  # noqa: A002 - as the option is called
        **cleaning: Unpack[CleaningOptions],
    ) -> None:
        """Set the data set and its columns; nothing is loaded yet.

        Raises:
            ConfigError: `datasets` is not installed, or the language is not a code.
        """
        super().__init__(**cleaning)
        need("datasets", "huggingface", "dataset=huggingface")
        self._path = path
        self._subset = subset
        self._part = part
        self._topic = topic
        self._turns = turns
        self._text = text
        self._speaker = speaker
        self._id = id
        self.language = check_language(language)
        self.name = Path(path).name

    def dialogues(self) -> Iterator[Dialogue]:
        """Read all rows; the ids are `part:row`, from 0.

        Raises:
            DataError: the data set cannot be loaded, or a row does not match the options.
            ConfigError: it has no such column, or its path begins with `~user`, and there is no such home folder.
        """
        rows = self._load()
        if self._id is not None:
            yield from self._by_turns(rows, self._id)
            return
        for number, row in enumerate(rows):
            where = f"{self._path}: {self._part}[{number}]"
            turns = tuple(self._turns_of(row, where, rows.features))
            yield Dialogue(self._topic_of(row, rows.features, where), turns, f"{self._part}:{number}")

    def _by_turns(self, rows: Any, key: str) -> Iterator[Dialogue]:  # noqa: ANN401 - a `datasets.Dataset`
        """Read a data set with a turn per row; the ids are `part:id`.

        Raises:
            DataError: the rows of a dialogue are not consecutive, or do not match the options.
        """
        seen: dict[str, int] = {}
        for identifier, group in groupby(enumerate(rows), key=lambda entry: str(entry[1][key])):
            results = list(group)
            first, row = results[0]
            where = f"{self._path}: {self._part}[{first}]"
            if identifier in seen:
                raise DataError(
                    f"{where}: dialogue {identifier!r} began in row {seen[identifier]} and had ended; its rows should "
                    f"be consecutive"
                )
            seen[identifier] = first
            turns = (
                self._turn_of(row, f"{self._path}: {self._part}[{number}]", rows.features) for number, row in results
            )
            spoken = (Turn(turn.speaker or SPEAKERS[index % 2], turn.text) for index, turn in enumerate(turns))
            yield Dialogue(self._topic_of(row, rows.features, where), tuple(spoken), f"{self._part}:{identifier}")

    def _turn_of(self, row: Mapping[str, Any], where: str, features: Mapping[str, Any]) -> Turn:
        text = row[self._text or self._turns]
        if not isinstance(text, str):
            raise DataError(f"{where}: {self._text or self._turns} is {text!r:.40}; it should be the text of the turn")
        speaker = "" if self._speaker is None else _named(row[self._speaker], features[self._speaker])
        return Turn(" ".join(str(speaker).split()), text)

    def _topic_of(self, row: Mapping[str, Any], features: Mapping[str, Any], where: str) -> str:
        topic = _named(row[self._topic], features[self._topic])
        if isinstance(topic, bool) or not isinstance(topic, str | int) or not str(topic).strip():
            raise DataError(f"{where}: {self._topic} is {topic!r:.40}; it should be a text or a number")
        return " ".join(str(topic).split())

    def _load(self) -> Any:  # noqa: ANN401 - a `datasets.Dataset`
        import datasets

        here = expand(self._path, "dataset.path")
        if here.is_file():
            raise DataError(f"{here}: is a file; dataset.path should name the folder that it is in")
        try:
            if (here / "dataset_info.json").is_file():
                loaded = datasets.load_from_disk(str(here))
            elif (here / "dataset_dict.json").is_file():
                loaded = datasets.load_from_disk(str(here))[self._part]
            else:
                named = str(here) if here.is_dir() else self._path
                loaded = datasets.load_dataset(named, self._subset, split=self._part)
        except Exception as error:  # the library raises many types of errors
            problem = " ".join(str(error).split()) or type(error).__name__
            raise DataError(
                f"dataset.path={self._path}: {self._part} cannot be loaded: {problem}; dataset.path, dataset.subset "
                f"and dataset.part should name what load_dataset finds"
            ) from error
        columns = list(loaded.features)
        wanted = {"topic": self._topic, "turns": self._turns}
        if self._id is not None:
            turns = {"turns": self._turns} if self._text is None else {"text": self._text}
            speaker = {} if self._speaker is None else {"speaker": self._speaker}
            wanted = {"topic": self._topic, "id": self._id, **turns, **speaker}
        for option, column in wanted.items():
            if column not in columns:
                raise ConfigError(f"dataset.{option}={column}: no such column; valid: {', '.join(sorted(columns))}")
        return loaded

    def _turns_of(self, row: Mapping[str, Any], where: str, features: Mapping[str, Any]) -> Iterator[Turn]:
        if isinstance(row[self._turns], str):
            try:
                yield from parse_text(row[self._turns])
            except ValueError as error:
                raise DataError(
                    f"{where}.{self._turns}: {error}; where a row is a turn, name the column of its "
                    f"dialogue's id as dataset.id"
                ) from error
            return
        turns = _rows(row[self._turns])
        if turns is None:
            raise DataError(f"{where}: {self._turns} is no list; it should be the list of turns, or a text of them")
        apart = None if self._speaker is None else _rows(row.get(self._speaker))
        if apart is not None and len(apart) != len(turns):
            raise DataError(
                f"{where}: {self._speaker} has {len(apart)} entries, but {self._turns} has {len(turns)}; "
                f"there should be a speaker for each turn"
            )
        for position, turn in enumerate(turns):
            here = f"{where}.{self._turns}[{position}]"
            text = turn.get(self._text) if isinstance(turn, Mapping) and self._text else turn
            speaker: object = SPEAKERS[position % 2]
            if self._speaker is not None:
                given = apart[position] if apart is not None else self._of_turn(turn, here)
                speaker = _named(given, _feature(features, self._turns, self._speaker, of_turn=apart is None))
            if not isinstance(text, str):
                raise DataError(f"{here} is {text!r:.40}; it should be a text, or dataset.text should name its key")
            yield Turn(" ".join(str(speaker).split()), text)

    def _of_turn(self, turn: object, here: str) -> object:
        if isinstance(turn, Mapping) and turn.get(self._speaker) is not None:
            return turn[self._speaker]
        raise DataError(f"{here}: has no {self._speaker}; dataset.speaker should name a column, or a key of each turn")


def _named(value: object, feature: object) -> object:
    """Return the name of a label, which is a number in the rows; other values are returned unchanged."""
    names = getattr(feature, "names", None)
    if names is not None and isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(names):
        return names[value]
    return value


def _feature(features: Mapping[str, Any], turns: str, speaker: str, *, of_turn: bool) -> object:
    """Return the feature of the speaker, which is in a separate column or in the objects of the column of turns."""
    return _inner(_inner(features[turns]).get(speaker) if of_turn else features[speaker])


def _inner(feature: Any) -> Any:  # noqa: ANN401 - a feature of `datasets`, or plain lists and dictionaries of them
    """Return the feature of the elements of a list."""
    if isinstance(feature, list):
        return feature[0]
    return getattr(feature, "feature", feature)


def _rows(value: object) -> Sequence[Any] | None:
    """Return a list of turns; the library may represent a list of objects as an object of lists."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        return [dict(zip(value, entries, strict=False)) for entries in zip(*value.values(), strict=False)]
    return None
