"""Export of cleaned and split dialogues as JSON lines, and a page with their statistics."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import combinations
from pathlib import Path

from metadialog.datasets.corpus import Corpus
from metadialog.datasets.describe import Description, Parts, Quantiles, TopicDescription, quantiles
from metadialog.datasets.dialogue import Dialogue
from metadialog.datasets.dialogues import Dialogues
from metadialog.datasets.similar import THRESHOLD, near_duplicates
from metadialog.datasets.topic_gain import SHOTS, topic_gain
from metadialog.text import counted, words

PAGE = "index.html"
MOST_REPLIES = 20
MOST_TOPICS = 40
"""Maximum number of topics in the table of overlaps."""

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}.wide{overflow-x:auto}
.across th:not(:first-child){writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;max-height:14em}"""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Lengths of dialogues in tokens.

    Attributes:
        title: name of the tokenizer.
        lengths: frequencies of the lengths of turns and of dialogues, by topic.
    """

    title: str
    lengths: Mapping[str, tuple[Counter[int], Counter[int]]]


def write_dialogues(corpus: Corpus, split: Parts, folder: Path) -> dict[str, int]:
    """Write a file of JSON lines for each part of the split, as `dataset=jsonl` reads them.

    Turns that are not replies are written too.

    Args:
        corpus: the cleaned data set.
        split: split of its topics.
        folder: folder to write to.

    Returns:
        The number of dialogues of each file.
    """
    counts: Counter[str] = Counter()
    names = {topic: f"{split.part(topic).removeprefix('meta-')}.jsonl" for topic in corpus.topics}
    for name in dict.fromkeys(names.values()):
        with (folder / name).open("w", encoding="utf-8") as file:
            for topic in (topic for topic in corpus.topics if names[topic] == name):
                for dialogue in corpus.topics[topic]:
                    file.write(json.dumps(_record(dialogue), ensure_ascii=False) + "\n")
                    counts[name] += 1
    return dict(counts)


def _record(dialogue: Dialogue) -> dict[str, object]:
    turns = [{"speaker": turn.speaker, "text": turn.text} for turn in dialogue.turns]
    return {"topic": dialogue.topic, "id": dialogue.id, "turns": turns}


def write_page(
    corpus: Corpus, split: Parts, description: Description, files: Mapping[str, int], tokens: Tokens, folder: Path
) -> None:
    """Write a page with the statistics of a data set.

    Args:
        corpus: the cleaned data set.
        split: split of its topics.
        description: description of both.
        files: number of dialogues of each exported file.
        tokens: lengths of all topics in tokens.
        folder: folder to write to.
    """
    name = escape(description.name)
    reasons = [[reason, f"{count:,}"] for reason, count in description.dropped.reasons()]
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{name}</title><style>{_STYLE}</style>",
        f"<h1>{name}</h1>",
        f"<p>{', '.join(_link(file, count) for file, count in files.items())}</p>",
        _section("Topics by size", *_topics(description)),
        _section("Lengths: 5, 50 and 95 % are at most this long", *_lengths(description, tokens)),
        f"<p>Tokens are those of {escape(tokens.title)}.</p>",
        _section("Taken out before", ["reason", "count"], reasons),
        _section(f"Near duplicates across the split (similarity {THRESHOLD} or more)", *_near(corpus, split)),
        _section(f"The {MOST_REPLIES} most frequent replies", *_replies(corpus)),
        _section(
            "Words that topics have in common (share of the words of both)", *_overlap(corpus), style="wide across"
        ),
        "</html>",
    ]
    (folder / PAGE).write_text("\n".join(parts), encoding="utf-8")


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], style: str = "wide") -> str:
    if not rows:
        return f"<h2>{escape(title)}</h2><p>none</p>"
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<h2>{escape(title)}</h2><div class='{style}'><table><tr>{head}</tr>{body}</table></div>"


def _topics(description: Description) -> tuple[list[str], list[list[str]]]:
    header = ["topic", "part", "dialogues", "turns", "words"]
    rows = [
        [topic.topic, topic.part, *(f"{getattr(topic.statistics, name):,}" for name in header[2:])]
        for topic in _by_size(description)
    ]
    return header, rows


def _by_size(description: Description) -> list[TopicDescription]:
    return sorted(description.topics, key=lambda topic: (-topic.statistics.dialogues, topic.topic))


def _lengths(description: Description, tokens: Tokens) -> tuple[list[str], list[list[str]]]:
    header = ["topic", "turns a dialogue", "words a turn", "tokens a turn", "tokens a dialogue"]
    measured = [(topic.topic, topic.statistics, tokens.lengths[topic.topic]) for topic in _by_size(description)]
    every = tuple(sum((lengths[kind] for lengths in tokens.lengths.values()), Counter[int]()) for kind in (0, 1))
    rows = []
    for name, statistics, in_tokens in (*measured, ("all topics", description.total, every)):
        in_words = (statistics.turns_per_dialogue, statistics.words_per_turn)
        rows.append([name, *map(_levels, (*in_words, *map(quantiles, in_tokens)))])
    return header, rows


def _levels(found: Quantiles) -> str:
    return f"{found.low:,} · {found.median:,} · {found.high:,}"


def count_near_duplicates(corpus: Corpus, split: Parts) -> tuple[Counter[tuple[str, str]], list[tuple[str, str]]]:
    """Count near duplicates between the parts of a split; also return the ids of some."""
    dialogues = [(split.part(topic), dialogue) for topic, result in corpus.topics.items() for dialogue in result]
    counts: Counter[tuple[str, str]] = Counter()
    examples: list[tuple[str, str]] = []
    for near in near_duplicates(dialogue for _, dialogue in dialogues):
        (one, first), (other, second) = dialogues[near.one], dialogues[near.other]
        if one != other:
            counts[(min(one, other), max(one, other))] += 1
            examples.append((first.id, second.id))
    return counts, examples


def _near(corpus: Corpus, split: Parts) -> tuple[list[str], list[list[str]]]:
    counts, examples = count_near_duplicates(corpus, split)
    rows = [[f"{one} and {other}", f"{count:,}"] for (one, other), count in sorted(counts.items())]
    rows += [[f"for example {first}", second] for first, second in examples[:5]]
    return ["between", "pairs"], rows


def _replies(corpus: Corpus) -> tuple[list[str], list[list[str]]]:
    dialogues = (dialogue for result in corpus.topics.values() for dialogue in result)
    replies = (turn.text for dialogue in dialogues for turn in dialogue.turns[1:] if turn.reply)
    counts = Counter(" ".join(text.split()) for text in replies)
    total = counts.total()
    most = counts.most_common(MOST_REPLIES)
    return ["reply", "times", "share"], [[text[:200], f"{n:,}", f"{n / total:.2%}"] for text, n in most]


def _link(file: str, dialogues: int) -> str:
    return f"<a href={file!r}>{file}</a> ({counted(dialogues, 'dialogue')})"


def _topic_gain(corpus: Corpus) -> str:
    gain = topic_gain(corpus.topics)
    if gain is None:
        return f"There are no two topics of {2 * SHOTS} dialogues."
    own = f"{SHOTS} dialogues of a topic make the words of {SHOTS} others of it likelier by {gain.own:.3f} nats a word"
    others = f"{SHOTS} dialogues of any topics by {gain.any:.3f}"
    return f"{own}, and {others}: the topic is worth {gain.topic:.3f} ({counted(gain.topics, 'topic')})."


def _overlap(corpus: Corpus) -> tuple[list[str], list[list[str]]]:
    largest = sorted(corpus.topics, key=lambda topic: (-len(corpus.topics[topic]), topic))[:MOST_TOPICS]
    known = {topic: set(_words(corpus.topics[topic])) for topic in sorted(largest)}
    shares = {
        pair: len(known[pair[0]] & known[pair[1]]) / max(1, len(known[pair[0]] | known[pair[1]]))
        for pair in combinations(known, 2)
    }
    rows = [
        [one, *("" if one == other else f"{shares[(min(one, other), max(one, other))]:.2f}" for other in known)]
        for one in known
    ]
    return ["topic", *known], rows


def _words(dialogues: Dialogues) -> Iterator[str]:
    return (word.casefold() for dialogue in dialogues for turn in dialogue.turns for word in words(turn.text))
