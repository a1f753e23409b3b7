"""The episodes of meta-validation and meta-test topics."""

from collections.abc import Mapping
from typing import Any

from metadialog.datasets.dialogues import Dialogues
from metadialog.episodes import Episode
from metadialog.errors import ConfigError
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.preparation.topics import Topics
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes, leave_one_out_episodes
from metadialog.tokenizers.tokenizer import Tokenizer


def held_out(
    topics: Mapping[str, Dialogues], tokenizer: Tokenizer, protocol: AdaptationProtocol, sampler: Mapping[str, Any]
) -> list[Episode]:
    """Draw the episodes of held-out topics; exchanges are encoded as in training."""
    encoders = _encoders(tokenizer, protocol, sampler)
    if protocol.leave_one_out:
        return leave_one_out_episodes(topics, encoders, shots=protocol.shots, seed=protocol.seed)
    return held_out_episodes(
        topics,
        encoders,
        shots=protocol.shots,
        queries=protocol.queries,
        episodes_per_topic=protocol.episodes_per_topic,
        seed=protocol.seed,
    )


def selection_episodes(
    topics: Topics, tokenizer: Tokenizer, protocol: AdaptationProtocol, sampler: Mapping[str, Any]
) -> list[Episode]:
    """Draw the meta-validation episodes on which inner rates and steps are chosen; empty if none are chosen.

    Raises:
        ConfigError: rates are to be chosen, but the split has no meta-validation topics.
        DataError: a topic has too few dialogues.
    """
    if protocol.rates is None:
        return []
    if not topics.split.validation:
        raise ConfigError(
            "evaluation.rates: is chosen from on the meta-validation topics, and this split has none; choose "
            "evaluation.rates=null, which takes the inner rate of training, or a split with meta-validation topics"
        )
    return held_out_episodes(
        topics.of(topics.split.validation),
        _encoders(tokenizer, protocol, sampler),
        shots=protocol.shots,
        queries=protocol.queries,
        episodes_per_topic=protocol.selection_episodes,
        seed=protocol.seed,
    )


def validation_episodes(
    topics: Topics,
    tokenizer: Tokenizer,
    protocol: AdaptationProtocol,
    sampler: Mapping[str, Any],
    *,
    episodes_per_topic: int,
) -> list[Episode]:
    """Draw the meta-validation episodes, with as many dialogues as in training and scored as in the test."""
    return held_out_episodes(
        topics.of(topics.split.validation),
        _encoders(tokenizer, protocol, sampler),
        shots=[sampler["shots"]],
        queries=sampler["queries"],
        episodes_per_topic=episodes_per_topic,
        seed=protocol.seed,
        options="sampler",
    )


def _encoders(tokenizer: Tokenizer, protocol: AdaptationProtocol, sampler: Mapping[str, Any]) -> Encoders:
    """Return encoders with the options of training; query sets keep longer references."""
    context_turns, loss_on = sampler["context_turns"], sampler["loss_on"]
    support, query = (
        ExchangeEncoder(tokenizer, context_turns, most, loss_on)
        for most in (sampler["max_tokens"], protocol.max_tokens)
    )
    return Encoders(support, query)
