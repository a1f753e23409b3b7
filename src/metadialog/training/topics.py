"""From a data set to topics, their split, and a tokenizer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metadialog.cache.place import cache_directory
from metadialog.config import build
from metadialog.datasets.corpus import Corpus
from metadialog.datasets.dialogue import Dataset, Dialogue
from metadialog.datasets.store import StoredDialogues
from metadialog.downloads.download import downloaded
from metadialog.episodes import Episode
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.samplers.held_out import held_out_episodes
from metadialog.samplers.leave_one_out import leave_one_out_episodes
from metadialog.splits.split import Split, TopicSplit
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.prepared import prepared_corpus, prepared_tokenizer, prepared_tokens


@dataclass(frozen=True, slots=True)
class Topics:
    """The dialogues of a data set, and which topics are for what.

    Attributes:
        corpus: all dialogues.
        split: the topics of each part.
        language: of the texts, its ISO 639 code.
        cache: the cache folder; None if nothing is to be kept.
        key: the corpus's key in it; None if it is not there.
    """

    corpus: Corpus
    split: TopicSplit
    language: str
    cache: Path | None = None
    key: str | None = None

    def of(self, names: Iterable[str]) -> dict[str, Sequence[Dialogue]]:
        """Return the dialogues of some topics."""
        return {name: self.corpus.topics[name] for name in names}

    def summary(self) -> str:
        """Say in one line what there is."""
        parts = f"{len(self.split.train)} meta-train, {len(self.split.validation)} meta-validation"
        kept = sum(len(dialogues) for dialogues in self.corpus.topics.values())
        line = f"{self.corpus.name}: {kept} dialogues; topics: {parts}, {len(self.split.test)} meta-test"
        if self.split.dropped:
            few = ", ".join(f"{topic} ({count})" for topic, count in self.split.dropped.items())
            line += f"; dropped for too few dialogues: {few}"
        return line


def load_topics(dataset: Mapping[str, Any], split: Mapping[str, Any], cache: str | None = None) -> Topics:
    """Read a data set and split its topics.

    Args:
        dataset: the config node of the data set; with `root: null` it is the copy that has been downloaded.
        split: the config node of the split.
        cache: the cache folder; None for the usual one.

    Raises:
        DataError: the data set has not been downloaded, or cannot be read.
    """
    place = cache_directory(cache)
    node = located(dataset, place)
    source: Dataset = build(node)
    splitter: Split = build(split)
    corpus, key = prepared_corpus(node, source, place)
    return Topics(corpus, splitter.split(corpus.sizes, source.paper_split), source.language, cache=place, key=key)


def located(dataset: Mapping[str, Any], cache: Path) -> Mapping[str, Any]:
    """Return the config node of a data set, with the downloaded copy as root where no other is named.

    Raises:
        DataError: it has not been downloaded.
    """
    if dataset.get("root", "") is not None:
        return dataset
    source = getattr(build(dataset), "source", None)
    return dataset if source is None else {**dataset, "root": str(downloaded(source, cache))}


def train_tokenizer(node: Mapping[str, Any], topics: Topics) -> Tokenizer:
    """Train the tokenizer on the meta-train topics, and on nothing else; cut the whole corpus with it."""

    def texts() -> Iterator[str]:
        for dialogues in topics.of(topics.split.train).values():
            for dialogue in dialogues:
                yield from (turn.text for turn in dialogue.turns)

    tokenizer = prepared_tokenizer(node, texts, topics.split.train, topics.key, topics.cache)
    stored = next(iter(topics.corpus.topics.values()))
    if not isinstance(stored, StoredDialogues):
        return tokenizer
    return prepared_tokens(tokenizer, stored.store, topics.key, topics.cache)


def held_out(
    topics: Mapping[str, Sequence[Dialogue]],
    tokenizer: Tokenizer,
    protocol: AdaptationProtocol,
    sampler: Mapping[str, Any],
) -> list[Episode]:
    """Draw the episodes of held-out topics, with exchanges made as in training."""
    lengths = {
        "context_turns": sampler["context_turns"],
        "max_tokens": sampler["max_tokens"],
        "query_max_tokens": protocol.max_tokens,
    }
    if protocol.leave_one_out:
        return leave_one_out_episodes(
            topics, tokenizer, shots=protocol.shots, seed=protocol.seed, loss_on=sampler["loss_on"], **lengths
        )
    return held_out_episodes(
        topics,
        tokenizer,
        shots=protocol.shots,
        queries=protocol.queries,
        episodes_per_topic=protocol.episodes_per_topic,
        seed=protocol.seed,
        loss_on=sampler["loss_on"],
        **lengths,
    )


def validation_episodes(
    topics: Topics,
    tokenizer: Tokenizer,
    protocol: AdaptationProtocol,
    sampler: Mapping[str, Any],
    *,
    episodes_per_topic: int,
) -> list[Episode]:
    """Draw the episodes of the meta-validation topics: as many dialogues as in training, scored as in the test."""
    return held_out_episodes(
        topics.of(topics.split.validation),
        tokenizer,
        shots=[sampler["shots"]],
        queries=sampler["queries"],
        episodes_per_topic=episodes_per_topic,
        seed=protocol.seed,
        context_turns=sampler["context_turns"],
        max_tokens=sampler["max_tokens"],
        query_max_tokens=protocol.max_tokens,
        loss_on=sampler["loss_on"],
        options="sampler",
    )
