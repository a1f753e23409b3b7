"""From a data set to topics, their split, and a tokenizer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metadialog.config import build
from metadialog.datasets.corpus import Corpus, build_corpus
from metadialog.datasets.dialogue import Dataset, Dialogue
from metadialog.episodes import Episode
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.samplers.held_out import held_out_episodes
from metadialog.samplers.leave_one_out import leave_one_out_episodes
from metadialog.splits.split import Split, TopicSplit
from metadialog.tokenizers.tokenizer import Tokenizer, TokenizerTrainer


@dataclass(frozen=True, slots=True)
class Topics:
    """The dialogues of a data set, which topics are for what, and the texts' language (ISO 639 code)."""

    corpus: Corpus
    split: TopicSplit
    language: str

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


def load_topics(dataset: Mapping[str, Any], split: Mapping[str, Any]) -> Topics:
    """Read a data set and split its topics.

    Args:
        dataset: the config node of the data set.
        split: the config node of the split.
    """
    source: Dataset = build(dataset)
    splitter: Split = build(split)
    corpus = build_corpus(source.dialogues(), source.name)
    return Topics(corpus, splitter.split(corpus.sizes, source.paper_split), source.language)


def train_tokenizer(node: Mapping[str, Any], topics: Topics) -> Tokenizer:
    """Train the tokenizer on the meta-train topics, and on nothing else."""

    def texts() -> Iterator[str]:
        for dialogues in topics.of(topics.split.train).values():
            for dialogue in dialogues:
                yield from (turn.text for turn in dialogue.turns)

    trainer: TokenizerTrainer = build(node)
    return trainer.train(texts())


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
