"""Adapt to held-out episodes, and score the model after every inner step."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

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
    step_losses,
    together_or_alone,
)
from metadialog.generation.base import Generation
from metadialog.metrics.quality import reply_quality
from metadialog.models.protocol import shown_by
from metadialog.text import words as text_words
from metadialog.tokenizers.tokenizer import Tokenizer

Stage = tuple[list[Score], list[list[str]] | None, list[nn.Module]]
"""Scores, replies (None at steps that are not reported) and models of several episodes after an inner step."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The values that all records of an evaluation share.

    Attributes:
        language: ISO 639 code of the texts, which determines how metrics tokenise; stored with the records.
    """

    algorithm: str
    engine: str
    dataset: str
    seed: int
    split: str
    language: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A reply before and after adaptation, with the reference.

    Attributes:
        inner_step: number of inner steps before `after`.
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
"""The records and samples of one episode."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Adapts a model to held-out episodes, and scores it after 0, 1, ..., `protocol.steps` inner steps.

    Dropout is off, also during adaptation, so that results depend only on the model and the episode.

    Attributes:
        algorithm: adapts the model.
        protocol: the evaluation protocol.
        generation: generates the replies.
        tokenizer: decodes the replies.
        labels: values shared by all records.
        selection: the inner rates and steps that were chosen on the meta-validation topics; replies are generated
            after the chosen step as well.
    """

    algorithm: Algorithm
    protocol: AdaptationProtocol
    generation: Generation
    tokenizer: Tokenizer
    labels: Labels
    selection: Selection = NOTHING

    def evaluate(self, model: nn.Module, episodes: Sequence[Episode]) -> Evaluated:
        """Evaluate a trained model on episodes of the held-out topics.

        Returns:
            The records, and for each query exchange a sample of replies at the first and the last reported step.
        """
        result = in_groups(model, episodes, lambda some: self.of_group(model, some))
        return [record for part, _ in result for record in part], [sample for _, part in result for sample in part]

    def of_group(self, model: nn.Module, episodes: Sequence[Episode]) -> list[Evaluated]:
        """Evaluate a group of episodes, in one pass if possible; see `in_groups`.

        Returns:
            The records and samples of each.
        """
        with evaluation_mode(model):
            return together_or_alone(
                model,
                self.algorithm,
                episodes,
                lambda some: self._collect(self._together(model, some), some),
                lambda episode: self._collect(self._alone(model, episode), [episode])[0],
            )

    def _alone(self, model: nn.Module, episode: Episode) -> Iterator[Stage]:
        support, rate = self.algorithm.adapts_to(episode), self.selection.rate(episode.shots)
        for step, adapted in enumerate(self.algorithm.adapt(model, support, self.protocol.steps, scale=rate)):
            said = [self._replies(adapted, episode)] if self._is_reported(step, episode) else None
            yield [score(adapted, episode.query)], said, [adapted]

    def _together(self, model: nn.Module, episodes: Sequence[Episode]) -> Iterator[Stage]:
        rate = self.selection.rate(episodes[0].shots)
        for step, models in enumerate(adapted_together(model, self.algorithm, episodes, self.protocol.steps, rate)):
            said = self._replies_of_all(models, episodes) if self._is_reported(step, episodes[0]) else None
            yield scores(models, episodes), said, [model] * len(episodes)

    def _collect(self, stages: Iterable[Stage], episodes: Sequence[Episode]) -> list[Evaluated]:
        """Return the records and samples of each episode."""
        records: list[list[Record]] = [[] for _ in episodes]
        replies: list[dict[int, list[str]]] = [{} for _ in episodes]
        for step, (scored, said, models) in enumerate(stages):
            for index, episode in enumerate(episodes):
                further: dict[str, Any] = dict(_prompt(models[index]))
                if said is not None:
                    further |= self._quality(said[index], episode)
                    if step in self.protocol.report_steps:
                        replies[index][step] = said[index]
                records[index].append(self._record(episode, step, scored[index], further))
        samples = [_samples(episode, said) for episode, said in zip(episodes, replies, strict=True)]
        return list(zip(records, samples, strict=True))

    def _quality(self, replies: Sequence[str], episode: Episode) -> dict[str, Any]:
        language, references = self.labels.language, [exchange.response for exchange in episode.exchanges]
        metrics = self.protocol.own_metrics.items()
        own = {name: float(metric.score(replies, references, language, episode.topic)) for name, metric in metrics}
        return asdict(reply_quality(replies, references, language)) | {"own": own}

    def _is_reported(self, step: int, episode: Episode) -> bool:
        return step in self.protocol.report_steps or self._is_chosen(step, episode)

    def _is_chosen(self, step: int, episode: Episode) -> bool:
        chosen = self.selection.best(episode.shots)
        return chosen is not None and step == chosen.inner_step

    def _replies(self, model: nn.Module, episode: Episode) -> list[str]:
        retriever = self.algorithm.retriever()
        if retriever is not None:
            return _retrieved(retriever, episode)
        return generate_replies(model, episode.exchanges, self.generation, self.tokenizer)

    def _replies_of_all(self, models: SideBySide, episodes: Sequence[Episode]) -> list[list[str]]:
        retriever = self.algorithm.retriever()
        if retriever is not None:
            return [_retrieved(retriever, episode) for episode in episodes]
        exchanges = [episode.exchanges for episode in episodes]
        result = replies_together(models, exchanges, self.generation, self.tokenizer)
        if result is not None:
            return result
        return [
            generate_replies(models.one(index), asked, self.generation, self.tokenizer)
            for index, asked in enumerate(exchanges)
        ]

    def _record(self, episode: Episode, step: int, scored: Score, further: Mapping[str, Any]) -> Record:
        """Return the record of an episode after some inner steps.

        Args:
            episode: the episode.
            step: number of inner steps.
            scored: scores of the adapted model on the query set.
            further: values of additional columns by name: quality of the replies, and content of the prompt.
        """
        labels, words = self.labels, int(episode.query.words.sum())
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
            rate=self.selection.rate(episode.shots),
            selected=self._is_chosen(step, episode),
            characters=_characters(episode),
            **further,
        )


def _retrieved(retriever: Retriever, episode: Episode) -> list[str]:
    """Return the best reply to each query exchange, or an empty text if there is none."""
    exchanges = list(episode.support_exchanges)
    return [next(iter(retriever(exchange.context, exchanges)), "") for exchange in episode.exchanges]


def validate(model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode]) -> tuple[float, float]:
    """Return the mean query loss over episodes before and after the algorithm's inner steps, in nats."""
    result = in_groups(model, episodes, lambda some: validation_losses(model, algorithm, some))
    return mean_losses(result)


def validation_losses(model: nn.Module, algorithm: Algorithm, episodes: Sequence[Episode]) -> list[tuple[float, float]]:
    """Return the query loss of each episode before and after the algorithm's inner steps, in nats."""
    with evaluation_mode(model):
        curves = step_losses(model, algorithm, episodes, algorithm.inner_steps)
    return [(curve[0], curve[-1]) for curve in curves]


def mean_losses(losses: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the losses before and after adaptation, mean over episodes."""
    before, after = zip(*losses, strict=True)
    return math.fsum(before) / len(losses), math.fsum(after) / len(losses)


def _characters(episode: Episode) -> int | None:
    """Return the number of characters of the references; None unless exactly their tokens are counted.

    It is None with `sampler.loss_on=all`, and for references that `evaluation.max_tokens` truncates.
    """
    references = [exchange.response for exchange in episode.exchanges]
    if [len(text_words(text)) for text in references] != episode.query.words.tolist():
        return None
    return sum(map(len, references))


def _prompt(model: nn.Module) -> dict[str, int]:
    """Return the columns about the support dialogues in a model's prompt; empty if it has none there."""
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
    ids = generation.generate(model, prompts, tokenizer.end_id, tokenizer.unspoken, generator)
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
