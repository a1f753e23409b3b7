"""Adapt to held-out episodes, and score the model after every inner step."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch
from torch import nn

from metadialog.algorithms.base import Algorithm, Retriever
from metadialog.engines.functional.adaptation import SideBySide
from metadialog.episodes import Episode, Exchange
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.evaluation.records import Record
from metadialog.evaluation.scoring import Score, evaluation_mode, score, word_perplexity
from metadialog.evaluation.selection import NOTHING, Selection
from metadialog.evaluation.together import (
    adapted_together,
    in_groups,
    replies_together,
    scores,
    together_or_alone,
)
from metadialog.generation.base import Generation
from metadialog.metrics.quality import ReplyQuality, reply_quality
from metadialog.models.protocol import shown_by
from metadialog.text import words as text_words
from metadialog.tokenizers.tokenizer import Tokenizer

Item = TypeVar("Item")
Stage = tuple[list[Score], list[list[str]] | None, list[nn.Module]]
"""Of several episodes after some inner steps: scores, replies if they are reported, and models."""


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


Evaluated = tuple[list[Record], list[Sample]]
"""Of one episode."""


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
    result = in_groups(
        model,
        episodes,
        lambda some: evaluate_each(model, algorithm, some, protocol, generation, tokenizer, labels, selection),
    )
    return [record for part, _ in result for record in part], [sample for _, part in result for sample in part]


def evaluate_each(
    model: nn.Module,
    algorithm: Algorithm,
    episodes: Sequence[Episode],
    protocol: AdaptationProtocol,
    generation: Generation,
    tokenizer: Tokenizer,
    labels: Labels,
    selection: Selection = NOTHING,
) -> list[Evaluated]:
    """Evaluate a group of episodes, in one pass if possible; see `evaluate` and `in_groups`.

    Returns:
        The records and samples of each.
    """
    shots = episodes[0].shots
    chosen, rate = selection.best(shots), selection.rate(shots)
    reported = {*protocol.report_steps, *([] if chosen is None else [chosen.inner_step])}

    def of(stages: Iterable[Stage], some: Sequence[Episode]) -> list[Evaluated]:
        records: list[list[Record]] = [[] for _ in some]
        replies: list[dict[int, list[str]]] = [{} for _ in some]
        for step, (scored, said, models) in enumerate(stages):
            is_chosen = chosen is not None and step == chosen.inner_step
            for index, episode in enumerate(some):
                quality = None
                if said is not None:
                    replies[index][step] = said[index]
                    references = [exchange.response for exchange in episode.exchanges]
                    quality = reply_quality(said[index], references, labels.language)
                record = _record(
                    scored[index], episode, step, quality, labels, _prompt(models[index]), rate=rate, selected=is_chosen
                )
                records[index].append(record)
        kept = [{step: said[step] for step in said if step in protocol.report_steps} for said in replies]
        return [(mine, _samples(episode, said)) for mine, episode, said in zip(records, some, kept, strict=True)]

    def alone(episode: Episode) -> Evaluated:
        def stages() -> Iterator[Stage]:
            support = algorithm.adapts_to(episode)
            for step, adapted in enumerate(algorithm.adapt(model, support, protocol.steps, scale=rate)):
                said = None
                if step in reported:
                    said = [_replies(adapted, algorithm, episode, generation, tokenizer)]
                yield [score(adapted, episode.query)], said, [adapted]

        return of(stages(), [episode])[0]

    def together(some: Sequence[Episode]) -> list[Evaluated]:
        def stages() -> Iterator[Stage]:
            for step, models in enumerate(adapted_together(model, algorithm, some, protocol.steps, rate)):
                said = _replies_of_all(models, algorithm, some, generation, tokenizer) if step in reported else None
                yield scores(models, some), said, [model] * len(some)

        return of(stages(), some)

    with evaluation_mode(model):
        return together_or_alone(model, algorithm, episodes, together, alone)


def _replies(
    model: nn.Module, algorithm: Algorithm, episode: Episode, generation: Generation, tokenizer: Tokenizer
) -> list[str]:
    retriever = algorithm.retriever()
    if retriever is not None:
        return _retrieved(retriever, episode)
    return generate_replies(model, episode.exchanges, generation, tokenizer)


def _retrieved(retriever: Retriever, episode: Episode) -> list[str]:
    """Return the best reply to each query exchange, empty where none is found."""
    exchanges = list(episode.support_exchanges)
    return [next(iter(retriever(exchange.context, exchanges)), "") for exchange in episode.exchanges]


def _replies_of_all(
    models: SideBySide, algorithm: Algorithm, episodes: Sequence[Episode], generation: Generation, tokenizer: Tokenizer
) -> list[list[str]]:
    retriever = algorithm.retriever()
    if retriever is not None:
        return [_retrieved(retriever, episode) for episode in episodes]
    result = replies_together(models, [episode.exchanges for episode in episodes], generation, tokenizer)
    if result is not None:
        return result
    return [
        generate_replies(models.one(index), episode.exchanges, generation, tokenizer)
        for index, episode in enumerate(episodes)
    ]


def validate(model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode]) -> tuple[float, float]:
    """Return the mean query loss over episodes before and after the algorithm's own inner steps, in nats."""
    result = in_groups(model, episodes, lambda some: validation_losses(model, algorithm, some))
    return mean_losses(result)


def validation_losses(model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode]) -> list[tuple[float, float]]:
    """Return the query loss of each of some episodes before and after the algorithm's own inner steps, in nats."""

    def together(some: Sequence[Episode]) -> list[tuple[float, float]]:
        stages = adapted_together(model, algorithm, some, algorithm.inner_steps, 1.0)
        ends = _ends(scores(models, some) for models in stages)
        return [(first.loss, last.loss) for first, last in zip(*ends, strict=True)]

    def alone(episode: Episode) -> tuple[float, float]:
        adapted = algorithm.adapt(model, algorithm.adapts_to(episode), algorithm.inner_steps)
        first, last = _ends(score(one, episode.query) for one in adapted)
        return first.loss, last.loss

    with evaluation_mode(model):
        return together_or_alone(model, algorithm, episodes, together, alone)


def _ends(items: Iterable[Item]) -> tuple[Item, Item]:
    """Return the first and the last of some items, which may be the same."""
    first, *others = items
    return first, others[-1] if others else first


def mean_losses(losses: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the means over episodes of the losses before and after adaptation."""
    before, after = zip(*losses, strict=True)
    return math.fsum(before) / len(losses), math.fsum(after) / len(losses)


def _record(
    scored: Score,
    episode: Episode,
    step: int,
    quality: ReplyQuality | None,
    labels: Labels,
    in_prompt: Mapping[str, int],
    *,
    rate: float,
    selected: bool,
) -> Record:
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
        **in_prompt,
        characters=_characters(episode),
    )


def _characters(episode: Episode) -> int | None:
    """Return the characters of the references; None where other tokens than theirs are counted, or not all of theirs.

    That is so with `sampler.loss_on=all`, and for references that `evaluation.max_tokens` cuts.
    """
    references = [exchange.response for exchange in episode.exchanges]
    if [len(text_words(text)) for text in references] != episode.query.words.tolist():
        return None
    return sum(map(len, references))


def _prompt(model: nn.Module) -> dict[str, int]:
    """Return what a record says of the support dialogues in a model's prompt, if it has any there."""
    shown = shown_by(model)
    if shown is None:
        return {}
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
