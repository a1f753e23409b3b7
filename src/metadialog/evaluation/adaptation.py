"""Adapt to held-out episodes, and score the model after every inner step."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import nn

from metadialog.algorithms.base import Algorithm
from metadialog.episodes import Episode, Exchange
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.evaluation.records import Record
from metadialog.evaluation.scoring import evaluation_mode, score, word_perplexity
from metadialog.evaluation.selection import NOTHING, Selection
from metadialog.generation.base import Generation
from metadialog.metrics.quality import ReplyQuality, reply_quality
from metadialog.models.context import InContext
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
    selection: Selection = NOTHING,
) -> tuple[list[Record], list[Sample]]:
    """Adapt the model to each episode and score it after 0, 1, ..., `protocol.steps` inner steps.

    Dropout is off, in adaptation as well, so that a held-out result is a function of model and episode alone.

    Args:
        model: as the outer loop left it.
        algorithm: adapts it.
        episodes: of the held-out topics.
        protocol: what is asked.
        generation: makes the replies.
        tokenizer: ids to text.
        labels: of the records.
        selection: the inner rates and steps that were chosen on the meta-validation topics; replies are generated
            after the chosen step as well.

    Returns:
        The records, and for each query exchange a sample of replies at the first and the last reported step.
    """
    records: list[Record] = []
    samples: list[Sample] = []
    with evaluation_mode(model):
        for episode in episodes:
            chosen = selection.best(episode.shots)
            reported = {*protocol.report_steps, *([] if chosen is None else [chosen.inner_step])}
            replies: dict[int, list[str]] = {}
            rate = selection.rate(episode.shots)
            support = algorithm.adapts_to(episode)
            for step, adapted in enumerate(algorithm.adapt(model, support, protocol.steps, scale=rate)):
                quality = None
                if step in reported:
                    own = algorithm.replies(episode)
                    replies[step] = (
                        generate_replies(adapted, episode.exchanges, generation, tokenizer) if own is None else own
                    )
                    references = [exchange.response for exchange in episode.exchanges]
                    quality = reply_quality(replies[step], references, labels.language)
                is_chosen = chosen is not None and step == chosen.inner_step
                records.append(_record(adapted, episode, step, quality, labels, rate=rate, selected=is_chosen))
            samples += _samples(episode, {step: replies[step] for step in replies if step in protocol.report_steps})
    return records, samples


def validate(model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode]) -> tuple[float, float]:
    """Return the mean query loss over episodes before and after the algorithm's own inner steps, in nats."""
    return mean_losses([validation_losses(model, algorithm, episode) for episode in episodes])


def validation_losses(model: nn.Module, algorithm: Algorithm, episode: Episode) -> tuple[float, float]:
    """Return the query loss of one episode before and after the algorithm's own inner steps, in nats."""
    with evaluation_mode(model):
        losses = [
            score(adapted, episode.query).loss
            for adapted in algorithm.adapt(model, algorithm.adapts_to(episode), algorithm.inner_steps)
        ]
    return losses[0], losses[-1]


def mean_losses(losses: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the means over episodes of the losses before and after adaptation."""
    before, after = zip(*losses, strict=True)
    return math.fsum(before) / len(losses), math.fsum(after) / len(losses)


def _record(
    model: nn.Module,
    episode: Episode,
    step: int,
    quality: ReplyQuality | None,
    labels: Labels,
    *,
    rate: float,
    selected: bool,
) -> Record:
    scored = score(model, episode.query)
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
        loss=scored.loss,
        tokens=scored.tokens,
        words=words,
        word_perplexity=word_perplexity(scored.loss * scored.tokens, words),
        token_accuracy=scored.accuracy,
        rate=rate,
        selected=selected,
        **({} if quality is None else asdict(quality)),
        **_prompt(model),
    )


def _prompt(model: nn.Module) -> dict[str, int]:
    """Return what a record says of the support dialogues in a model's prompt, if it has any there."""
    if not isinstance(model, InContext):
        return {}
    shown = model.shown
    return {"in_prompt": shown.dialogues, "left_out": shown.left_out, "prompt_tokens": len(shown.tokens)}


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
