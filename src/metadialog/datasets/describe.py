"""Description of a corpus: numbers and lengths by topic, the split, and what was dropped and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from metadialog.datasets.corpus import Corpus, Dropped
from metadialog.datasets.dialogues import Dialogues
from metadialog.text import counted

PARTS = ("meta-train", "meta-validation", "meta-test", "dropped", "unused")
NAMED = 10
"""Maximum number of empty topics that are named."""

LEVELS = (0.05, 0.50, 0.95)


class Parts(Protocol):
    """The part of the interface of splits that a description needs."""

    def part(self, topic: str) -> str:
        """Return the part that a topic belongs to, one of `PARTS`."""
        ...


@dataclass(frozen=True, slots=True)
class Quantiles:
    """The 5, 50 and 95 % quantiles, which are observed values."""

    low: int
    median: int
    high: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Numbers and lengths of some dialogues; words as in `metadialog.text`."""

    dialogues: int
    turns: int
    words: int
    words_per_turn: Quantiles
    turns_per_dialogue: Quantiles


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """One topic: its part of the split, one of `PARTS`, and its statistics."""

    topic: str
    part: str
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class PartDescription:
    """One part of the split, one of `PARTS`: its topics, and the statistics of all their dialogues."""

    part: str
    topics: tuple[TopicDescription, ...]
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Description:
    """A whole corpus.

    Attributes:
        name: name of the data set.
        parts: the parts of the split that have topics, in the order of `PARTS`.
        total: statistics of all parts together, including dropped and unused topics.
        dropped: what cleaning removed before.
        twins: dialogues that begin others, or are nearly the same (`Corpus.twins`).
    """

    name: str
    parts: tuple[PartDescription, ...]
    total: Statistics
    dropped: Dropped
    twins: int = 0

    @property
    def topics(self) -> tuple[TopicDescription, ...]:
        """All topics, ordered by part and then by name."""
        return tuple(topic for part in self.parts for topic in part.topics)


@dataclass(frozen=True, slots=True)
class _Histograms:
    """Frequencies of lengths, from which the statistics are computed in constant memory."""

    words_per_turn: Counter[int]
    turns_per_dialogue: Counter[int]


def describe(corpus: Corpus, split: Parts) -> Description:
    """Describe a corpus and how its topics are split.

    Args:
        corpus: the cleaned data set.
        split: a split of exactly its topics.

    Raises:
        KeyError: a topic of the corpus is not in the split.
    """
    topics_of: dict[str, list[str]] = {part: [] for part in PARTS}
    for topic in corpus.topics:
        topics_of[split.part(topic)].append(topic)
    measured = {topic: _measure(dialogues) for topic, dialogues in corpus.topics.items()}
    parts = tuple(
        _part(part, {topic: measured[topic] for topic in topics}) for part, topics in topics_of.items() if topics
    )
    return Description(corpus.name, parts, _statistics(measured.values()), corpus.dropped, len(corpus.twins))


def render(description: Description) -> Group:
    """Return a description for the terminal: the table of topics by part, then what was dropped and why."""
    return Group(_table(description), Text(), _dropped_text(description))


def _part(part: str, measured: Mapping[str, _Histograms]) -> PartDescription:
    described = tuple(TopicDescription(topic, part, _statistics([result])) for topic, result in measured.items())
    return PartDescription(part, described, _statistics(measured.values()))


def _measure(dialogues: Dialogues) -> _Histograms:
    words_per_turn: Counter[int] = Counter()
    turns_per_dialogue: Counter[int] = Counter()
    for lengths in dialogues.lengths():
        words_per_turn.update(lengths.words.tolist())
        turns_per_dialogue.update(lengths.turns.tolist())
    return _Histograms(words_per_turn, turns_per_dialogue)


def _statistics(measured: Iterable[_Histograms]) -> Statistics:
    words_per_turn: Counter[int] = Counter()
    turns_per_dialogue: Counter[int] = Counter()
    for histograms in measured:
        words_per_turn.update(histograms.words_per_turn)
        turns_per_dialogue.update(histograms.turns_per_dialogue)
    return Statistics(
        dialogues=turns_per_dialogue.total(),
        turns=words_per_turn.total(),
        words=sum(length * count for length, count in words_per_turn.items()),
        words_per_turn=quantiles(words_per_turn),
        turns_per_dialogue=quantiles(turns_per_dialogue),
    )


def quantiles(histogram: Counter[int]) -> Quantiles:
    """Return the quantiles of a histogram."""
    lengths = np.array(sorted(histogram))
    reached = np.cumsum([histogram[length] for length in lengths.tolist()])
    indices = np.searchsorted(reached, np.array(LEVELS) * reached[-1])
    low, median, high = lengths[indices].tolist()
    return Quantiles(low, median, high)


def _table(description: Description) -> Table:
    table = Table(
        title=Text(f"Data set {description.name}", style="bold"),
        caption="Lengths are quantiles: 5 %, 50 % and 95 % are at most this long.",
        title_justify="left",
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("topic", overflow="fold")
    for header in ("dialogues", "turns", "words", "words\nper turn", "turns per\ndialogue"):
        table.add_column(header, justify="right", vertical="bottom", no_wrap=True)
    for part in description.parts:
        headline = f"{part.part} ({counted(len(part.topics), 'topic')})"
        table.add_row(headline, *_cells(part.statistics), style="bold")
        for topic in part.topics:
            table.add_row(Padding(Text(topic.topic), (0, 0, 0, 2)), *_cells(topic.statistics))
    table.add_row(f"all ({counted(len(description.topics), 'topic')})", *_cells(description.total), style="bold")
    return table


def _dropped_text(description: Description) -> Text:
    left_out = {part.part: counted(len(part.topics), "topic") for part in description.parts}
    lines = []
    if "dropped" in left_out:
        lines.append(f"The split drops {left_out['dropped']} with fewer dialogues than split.min_dialogues.")
    if "unused" in left_out:
        lines.append(f"The split leaves {left_out['unused']} unused: in none of its lists.")
    reasons = description.dropped.reasons()
    lines.append("Cleaning took out, before all counts above:" if reasons else "Cleaning took nothing out.")
    lines += [f"  {count:>7,}  {reason}" for reason, count in reasons]
    if description.dropped.topics:
        named = ", ".join(description.dropped.topics[:NAMED])
        further = len(description.dropped.topics) - NAMED
        lines[-1] += f": {named}{f' and {further:,} others' if further > 0 else ''}"
    if description.twins:
        together = f"{description.dropped.twin} of the data set; those of a group are on one side of the split."
        lines.append(f"{counted(description.twins, 'dialogue')} {together}")
    return Text("\n".join(lines))


def _cells(statistics: Statistics) -> tuple[str, str, str, str, str]:
    return (
        f"{statistics.dialogues:,}",
        f"{statistics.turns:,}",
        f"{statistics.words:,}",
        _show(statistics.words_per_turn),
        _show(statistics.turns_per_dialogue),
    )


def _show(quantiles: Quantiles) -> str:
    return f"{quantiles.low} · {quantiles.median} · {quantiles.high}"
