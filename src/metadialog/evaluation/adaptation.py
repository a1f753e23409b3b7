"""Adapt to held-out episodes, and score the model after every inner step."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.episodes import Batch, Episode, Exchange
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.evaluation.quality import ReplyQuality, reply_quality
from metadialog.evaluation.records import Record
from metadialog.generation.base import Generation
from metadialog.models.loss import token_losses
from metadialog.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Labels:
    """What every record of an evaluation has in common.

    Attributes:
        language: ISO 639 code of the texts, by which metrics tokenise; stands beside the records.
    """

    algorithm: str
    engine: str
    dataset: str
    seed: int
    split: str
    language: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A reply before and after adaptation, beside the reference.

    Attributes:
        inner_step: the number of inner steps behind `after`.
    """

    topic: str
    episode: int
    shots: int
    inner_step: int
    context: str
    reference: str
    before: str
    after: str


def evaluate(
    model: nn.Module,
    algorithm: Algorithm,
    episodes: Sequence[Episode],
    protocol: AdaptationProtocol,
    generation: Generation,
    tokenizer: Tokenizer,
    labels: Labels,
) -> tuple[list[Record], list[Sample]]:
    """Adapt the model to each episode and score it after 0, 1, ..., `protocol.steps` inner steps.

    Dropout is off, in adaptation as well, so that a held-out result is a function of model and episode alone.

    Returns:
        The records, and for each query exchange a sample of replies at the first and the last reported step.
    """
    records: list[Record] = []
    samples: list[Sample] = []
    with evaluation_mode(model):
        for episode in episodes:
            replies: dict[int, list[str]] = {}
            for step, adapted in enumerate(algorithm.adapt(model, episode.support, protocol.steps)):
                quality = None
                if step in protocol.report_steps:
                    replies[step] = generate_replies(adapted, episode.exchanges, generation, tokenizer)
                    references = [exchange.response for exchange in episode.exchanges]
                    quality = reply_quality(replies[step], references, labels.language)
                records.append(_record(adapted, episode, step, quality, labels))
            samples += _samples(episode, replies)
    return records, samples


def validate(model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode]) -> tuple[float, float]:
    """Return the mean query loss over episodes before and after the algorithm's own inner steps, in nats."""
    return mean_losses([validation_losses(model, algorithm, episode) for episode in episodes])


def validation_losses(model: nn.Module, algorithm: Algorithm, episode: Episode) -> tuple[float, float]:
    """Return the query loss of one episode before and after the algorithm's own inner steps, in nats."""
    with evaluation_mode(model):
        losses = [
            _score(adapted, episode.query)[0]
            for adapted in algorithm.adapt(model, episode.support, algorithm.inner_steps)
        ]
    return losses[0], losses[-1]


def mean_losses(losses: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the means over episodes of the losses before and after adaptation."""
    before, after = zip(*losses, strict=True)
    return math.fsum(before) / len(losses), math.fsum(after) / len(losses)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch dropout off, keep no graph and do without cuDNN; leave the model in the mode that it was in."""
    was_training = model.training
    model.eval()
    try:
        # Algorithms adapt with gradients on by themselves; cuDNN is off for all of them alike.
        with torch.no_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        model.train(was_training)


def _score(model: nn.Module, batch: Batch) -> tuple[float, int]:
    """Return the mean token loss in nats, and how many tokens it is the mean of."""
    tokens = int(batch.mask.sum())
    return token_losses(model, batch).sum().item() / tokens, tokens


def _record(model: nn.Module, episode: Episode, step: int, quality: ReplyQuality | None, labels: Labels) -> Record:
    loss, tokens = _score(model, episode.query)
    words = int(episode.query.words.sum())
    return Record(
        algorithm=labels.algorithm,
        engine=labels.engine,
        dataset=labels.dataset,
        seed=labels.seed,
        split=labels.split,
        topic=episode.topic,
        episode=episode.index,
        shots=episode.shots,
        inner_step=step,
        loss=loss,
        tokens=tokens,
        words=words,
        word_perplexity=word_perplexity(loss * tokens, words),
        bleu=quality.bleu if quality else None,
        rouge_l=quality.rouge_l if quality else None,
        chrf=quality.chrf if quality else None,
        distinct_1=quality.distinct_1 if quality else None,
        distinct_2=quality.distinct_2 if quality else None,
    )


def word_perplexity(nats: float, words: int) -> float:
    """Return `exp(total negative log-likelihood / words)`.

    It is infinite where that is beyond a float's range, and NaN where there are no words (a reference may be all
    punctuation).
    """
    if words == 0:
        return math.nan
    try:
        return math.exp(nats / words)
    except OverflowError:
        return math.inf


def generate_replies(
    model: nn.Module, exchanges: Sequence[Exchange], generation: Generation, tokenizer: Tokenizer
) -> list[str]:
    """Generate a reply to each exchange's prompt, as text."""
    prompts = [exchange.prompt for exchange in exchanges]
    # Sampling starts from the same state for every algorithm, step and episode.
    generator = torch.Generator(device=next(model.parameters()).device).manual_seed(0)
    forbidden = [tokenizer.pad_id, tokenizer.begin_id, tokenizer.self_id, tokenizer.other_id]
    ids = generation.generate(model, prompts, tokenizer.end_id, forbidden, generator)
    return [tokenizer.decode(reply) for reply in ids]


def _samples(episode: Episode, replies: dict[int, list[str]]) -> list[Sample]:
    if not replies:
        return []
    first, last = min(replies), max(replies)
    return [
        Sample(
            topic=episode.topic,
            episode=episode.index,
            shots=episode.shots,
            inner_step=last,
            context=exchange.context,
            reference=exchange.response,
            before=before,
            after=after,
        )
        for exchange, before, after in zip(episode.exchanges, replies[first], replies[last], strict=True)
    ]
