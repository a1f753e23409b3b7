"""From a stream of dialogues to a clean corpus: topics with their dialogues, and what was dropped and why."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from unicodedata import normalize

from metadialog.datasets.dialogue import Dialogue
from metadialog.errors import DataError

MIN_TURNS = 2


@dataclass(frozen=True, slots=True)
class Dropped:
    """What cleaning took out of a corpus.

    Attributes:
        blank_turns: turns that held nothing but white space; their dialogues went on without them.
        short: dialogues of fewer than two turns, which have no reply to learn.
        duplicates_within: dialogues that an earlier one of the same topic equals.
        duplicates_across: dialogues that an earlier one of another topic equals.
        topics: topics of which no dialogue was left, sorted.
    """

    blank_turns: int
    short: int
    duplicates_within: int
    duplicates_across: int
    topics: tuple[str, ...]

    @property
    def dialogues(self) -> int:
        """Number of dialogues that were taken out."""
        return self.short + self.duplicates_within + self.duplicates_across

    def reasons(self) -> tuple[tuple[str, int], ...]:
        """Return each reason that applied, in words, with its count."""
        counts = (
            ("turns of nothing but white space", self.blank_turns),
            ("dialogues of fewer than two turns", self.short),
            ("duplicates of a dialogue of the same topic", self.duplicates_within),
            ("duplicates of a dialogue of another topic", self.duplicates_across),
            ("topics without a dialogue left", len(self.topics)),
        )
        return tuple((reason, count) for reason, count in counts if count)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A cleaned data set.

    Attributes:
        name: name of the data set.
        topics: the dialogues of each topic, in reading order; the topics sorted. They lie in memory, or on
            disk (`metadialog.datasets.store`).
        dropped: what cleaning took out.
    """

    name: str
    topics: Mapping[str, Sequence[Dialogue]]
    dropped: Dropped

    @property
    def sizes(self) -> dict[str, int]:
        """Number of dialogues of each topic."""
        return {topic: len(dialogues) for topic, dialogues in self.topics.items()}


def build_corpus(dialogues: Iterable[Dialogue], name: str) -> Corpus:
    """Clean dialogues and gather them by topic.

    Turns of nothing but white space go first, then dialogues of fewer than two turns, then duplicates. Two
    dialogues are duplicates if their texts are the same in the same order, whoever speaks them, after Unicode
    NFKC, case folding and folding of white space. Of duplicates the first in reading order is kept, in its
    topic: left in two topics, a test dialogue could have been trained on.

    Args:
        dialogues: read once, in order.
        name: name of the data set, for the corpus and its messages.

    Raises:
        DataError: no dialogue is left; also whatever reading the dialogues raises.
    """
    counts: Counter[str] = Counter()
    topic_of: dict[tuple[str, ...], str] = {}
    kept: dict[str, list[Dialogue]] = {}
    for read in dialogues:
        dialogue = _without_blank_turns(read)
        counts["blank_turns"] += len(read.turns) - len(dialogue.turns)
        of_topic = kept.setdefault(dialogue.topic, [])
        if len(dialogue.turns) < MIN_TURNS:
            counts["short"] += 1
            continue
        key = duplicate_key(dialogue)
        earlier = topic_of.get(key)
        if earlier is None:
            topic_of[key] = dialogue.topic
            of_topic.append(dialogue)
        else:
            counts["duplicates_within" if earlier == dialogue.topic else "duplicates_across"] += 1
    dropped = Dropped(
        blank_turns=counts["blank_turns"],
        short=counts["short"],
        duplicates_within=counts["duplicates_within"],
        duplicates_across=counts["duplicates_across"],
        topics=tuple(sorted(topic for topic in kept if not kept[topic])),
    )
    if not topic_of:
        raise nothing_left(name, dropped)
    return Corpus(name, {topic: tuple(kept[topic]) for topic in sorted(kept) if kept[topic]}, dropped)


def nothing_left(name: str, dropped: Dropped) -> DataError:
    """Return the error that says that cleaning has left no dialogue."""
    return DataError(
        f"dataset {name}: no dialogue is left of {dropped.dialogues} read; "
        f"it should hold dialogues of two turns or more"
    )


def duplicate_key(dialogue: Dialogue) -> tuple[str, ...]:
    """Return what duplicates share: the turns' texts after NFKC, case folding and folding of white space."""
    return tuple(fold(turn.text) for turn in dialogue.turns)


def fold(text: str) -> str:
    """Return what is compared of a text: it after NFKC, case folding and folding of white space."""
    # Case folding can leave letters decomposed (as it does in Greek), so that they are composed once more.
    return " ".join(normalize("NFKC", normalize("NFKC", text).casefold()).split())


def _without_blank_turns(dialogue: Dialogue) -> Dialogue:
    turns = tuple(turn for turn in dialogue.turns if turn.text.strip())
    return dialogue if len(turns) == len(dialogue.turns) else replace(dialogue, turns=turns)
