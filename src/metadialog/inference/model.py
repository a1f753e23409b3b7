"""Trained models that can be adapted, reply, be scored and saved."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import nn

from metadialog.algorithms.base import Algorithm, Retriever
from metadialog.algorithms.retrieval import similarities
from metadialog.datasets.dialogue import MIN_TURNS, Dialogue, Turn
from metadialog.datasets.language import check_language
from metadialog.episodes import Batch
from metadialog.errors import ConfigError, DataError
from metadialog.evaluation.scoring import evaluation_mode, score, word_perplexity
from metadialog.evaluation.selection import Selection
from metadialog.generation.base import Generation
from metadialog.generation.stepwise import Stepwise
from metadialog.inference.checking import MOST_SEED, as_folder, check_rate, check_whole
from metadialog.inference.compute import THREADS, computing
from metadialog.inference.decoding import Decoder, Growing, Text, choice, whole_characters
from metadialog.inference.dialogues import STANDARD_INPUT, Context, Dialogues, as_dialogues, as_turns, replier
from metadialog.inference.generations import GenerationLike, as_generation
from metadialog.inference.languages import language_of
from metadialog.inference.results import CurvePoint, DialogueScore, NearExchange, Reply
from metadialog.inference.sharing import Snapshot, changed_parameters, share
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.text import counted
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.model_card import About, AdaptedTo

MAX_STEPS = 50
"""Maximum number of inner steps if it is chosen on held-out dialogues."""

MOST_REPLIES = 10_000
"""Maximum number of replies to one context."""

PATIENCE = 3
"""Number of inner steps without a better loss on the held-out dialogues after which the search ends."""


@dataclass(frozen=True)
class Equipment:
    """The parts that belong to a model; adapted models share them with their parent.

    Attributes:
        algorithm: adapts the model.
        tokenizer: tokenizer of the model.
        encoder: encodes dialogues as tensors.
        generation: default generation method.
        selection: inner rates and steps chosen on the meta-validation topics, if any.
        config: config of the exported model.
        about: content of the model card.
        threads: number of CPU threads; None to keep the current number.
    """

    algorithm: Algorithm
    tokenizer: Tokenizer
    encoder: ExchangeEncoder
    generation: Generation
    selection: Selection
    config: Mapping[str, Any]
    about: About
    threads: int | None = THREADS


OnStep = Callable[[CurvePoint], None]


class AdaptableModel:
    """A trained model: `adapt` it to dialogues of a topic, ask it for a `reply`, `score` and `save` it.

    It is immutable: `adapt` returns a new model, which shares unchanged parameters with its parent. Several threads may
    therefore use a model at the same time. It computes with its own number of CPU threads, without changing the setting
    of the calling program.

    `load_model` loads one from a folder, and a run has one as `run.model`.

    Args:
        module: the model, as prepared by its algorithm.
        equipment: the parts that belong to it.
        parent: the model that it was adapted from.
        support: dialogues that it was adapted to.
        curve: adaptation curve, up to the last evaluated step.
        step: inner step of the curve that this model corresponds to.
        rate: factor of the algorithm's inner rates.

    Attributes:
        parent: the model that it was adapted from; None if it was not.
        support: the dialogues that it was adapted to.
        curve: the adaptation curve.
        step: number of inner steps from the parent.
        rate: factor of the algorithm's inner rates.
    """

    def __init__(
        self,
        module: nn.Module,
        equipment: Equipment,
        parent: "AdaptableModel | None" = None,
        support: Sequence[Dialogue] = (),
        curve: Sequence[CurvePoint] = (),
        step: int = 0,
        rate: float = 1.0,
    ) -> None:
        self._module = module.eval()
        self._equipment = equipment
        self.parent = parent
        self.support = tuple(support)
        self.curve = tuple(curve)
        self.step = step
        self.rate = rate

    def __repr__(self) -> str:
        """Return its name, size and adaptation."""
        size = sum(parameter.numel() for parameter in self._module.parameters())
        adapted = (
            f", {counted(self.step, 'step')} on {counted(len(self.support), 'dialogue')}"
            if self.parent is not None
            else ""
        )
        return f"<AdaptableModel {self.name}: {type(self._module).__name__} of {size:,} parameters{adapted}>"

    @property
    def module(self) -> nn.Module:
        """The model as a torch module, from token ids to logits; not to be changed."""
        return self._module

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        return self._equipment.tokenizer

    @property
    def name(self) -> str:
        """The name of the model on its card."""
        return self._equipment.about.name

    @property
    def equipment(self) -> Equipment:
        """The parts that belong to the model."""
        return self._equipment

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        return next(self._module.parameters()).device

    @property
    def own_bytes(self) -> int:
        """Bytes of memory that the model does not share with its parent: changed weights, and texts of dialogues."""
        shared = set() if self.parent is None else {id(tensor) for tensor in _tensors(self.parent.module)}
        weights: int = sum(tensor.nbytes for tensor in _tensors(self._module) if id(tensor) not in shared)
        return weights + sum(len(turn.text.encode()) for dialogue in self.support for turn in dialogue.turns)

    def adapt(
        self,
        dialogues: Dialogues,
        steps: int | None = None,
        *,
        held_out: Dialogues | None = None,
        rate: float | None = None,
        language: str | None = None,
        on_step: OnStep | None = None,
        max_steps: int = MAX_STEPS,
    ) -> "AdaptableModel":
        """Return a model that is adapted to dialogues.

        Args:
            dialogues: dialogues to adapt to; those of fewer than two turns are ignored.
            steps: number of inner steps. None for the best number on the held-out dialogues, up to `max_steps` and to
                `PATIENCE` after the best one; without held-out dialogues, the number chosen on the meta-validation
                topics for the nearest number of dialogues, or the algorithm's own.
            held_out: dialogues that each step is scored on instead of being adapted to.
            rate: factor of the algorithm's inner rates. None for that chosen on the meta-validation topics, or 1.
            language: ISO 639 code of the dialogues, for the model card. None to detect it by script, with the model's
                own as fallback.
            on_step: called with each point of the curve, the first one before adaptation; an exception stops the
                adaptation.
            max_steps: maximum number of inner steps where `steps` is None.

        Raises:
            DataError: a file cannot be read, or there is no dialogue of two turns or more.
            ConfigError: the number of steps or the rate is out of range, or so high that the loss overflows; or the
                language is not a code.
        """
        language = None if language is None else check_language(language, "language")
        if steps is not None:
            check_whole("steps", steps, 0)
        if rate is not None:
            check_rate(rate)
        support = _usable(as_dialogues(dialogues), "adapt to", _name(dialogues, "dialogues"))
        held = [] if held_out is None else _usable(as_dialogues(held_out, "held_out"), "score on", "held_out")
        chosen = self._equipment.selection.nearest(len(support))
        if rate is None:
            rate = 1.0 if chosen is None else chosen.rate
        own = self._equipment.algorithm.inner_steps if chosen is None else chosen.inner_step
        limit = max_steps if held else min(own, max_steps)
        with self._computing():
            path = self._path(support, held, limit if steps is None else steps, rate)
            best, curve = self._walk(path, on_step, choosing=steps is None and bool(held))
            module = share(best, self._module)
        _check_finite(curve[best.step], rate)
        about = self._equipment.about
        language = language or language_of(support, about.languages[0])
        adapted_to = _adapted_to(about, language, len(support), len(held), curve[: best.step + 1])
        equipment = replace(self._equipment, about=replace(about, adapted_to=adapted_to))
        return AdaptableModel(module, equipment, self, support, curve, best.step, rate)

    @overload
    def reply(
        self, context: Context, n: Literal[1] = 1, generation: GenerationLike = None, *, seed: int = 0
    ) -> Reply: ...

    @overload
    def reply(
        self, context: Context, n: int, generation: GenerationLike = None, *, seed: int = 0
    ) -> Reply | list[Reply]: ...

    def reply(
        self, context: Context, n: int = 1, generation: GenerationLike = None, *, seed: int = 0
    ) -> Reply | list[Reply]:
        """Return one or several replies to a context, best first.

        Args:
            context: a text, or the turns so far, oldest first; see `as_turns`.
            n: number of replies; with more than 1, a list of distinct replies is returned, which may have fewer.
            generation: a `Generation`, the name of one with its defaults (`"sampling"`), or options such as
                `{"temperature": 0.7}`. None for that of the run's evaluation.
            seed: seed of sampling.

        Raises:
            DataError: the context is empty.
            ConfigError: the generation method is unknown, or cannot give that many different replies.
        """
        (replies,) = self.replies([context], n, generation, seed=seed)
        return replies[0] if n == 1 else replies

    def replies(
        self, contexts: Sequence[Context], n: int = 1, generation: GenerationLike = None, *, seed: int = 0
    ) -> list[list[Reply]]:
        """Return `n` replies to each context, best first, in one batch; see `reply`."""
        way = as_generation(generation, self._equipment.generation)
        check_whole("n", n, 1, MOST_REPLIES)
        check_whole("seed", seed, 0, MOST_SEED)
        if isinstance(contexts, str):
            raise DataError("contexts: is a text; it should be a list of contexts")
        asked = [as_turns(context) for context in contexts]
        retriever = self._equipment.algorithm.retriever()
        if retriever is not None:
            return [self._retrieved(retriever, turns, n) for turns in asked]
        _check_most(way, n)
        prompts = [self._prompt(turns) for turns in asked]
        if not isinstance(way, Stepwise):
            return self._replies_as_a_whole(prompts, n, way, seed)
        grown = [[self._growing(prompt, way, seed + index) for index in range(n)] for prompt in prompts]
        with self._computing():
            decoder = Decoder(self._module, self.tokenizer)
            decoder.add([row for rows in grown for row in rows])
            while len(decoder):
                decoder.step()
        return [self._best(rows) for rows in grown]

    def stream(self, context: Context, generation: GenerationLike = None, *, seed: int = 0) -> Iterator[str]:
        """Yield a reply piece by piece as its tokens are generated; together they equal the result of `reply`.

        A search method, such as beam search, yields it at once.

        Args:
            context: as in `reply`.
            generation: as in `reply`.
            seed: as in `reply`.

        Raises:
            DataError: the context is empty.
            ConfigError: the generation method is unknown.
        """
        way = as_generation(generation, self._equipment.generation)
        check_whole("seed", seed, 0, MOST_SEED)
        if not isinstance(way, Stepwise) or self._equipment.algorithm.retriever() is not None:
            return iter([str(self.reply(context, generation=way, seed=seed))])
        return self._stream(self._growing(self._prompt(as_turns(context)), way, seed))

    def growing(self, context: Context, generation: GenerationLike = None, *, seed: int = 0) -> Growing | None:
        """Return a reply to be generated by a `Decoder`; None if it must be generated by `reply`."""
        way = as_generation(generation, self._equipment.generation)
        check_whole("seed", seed, 0, MOST_SEED)
        turns = as_turns(context)
        if not isinstance(way, Stepwise) or self._equipment.algorithm.retriever() is not None:
            return None
        return self._growing(self._prompt(turns), way, seed)

    def score(self, dialogues: Dialogues) -> DialogueScore:
        """Score the model on the responses of dialogues.

        Raises:
            DataError: a file cannot be read, or there is no dialogue of two turns or more.
        """
        usable = _usable(as_dialogues(dialogues), "score", _name(dialogues, "dialogues"))
        with self._computing():
            batch = self._batch(usable)
            scored = score(self._module, batch)
        words = int(batch.words.sum())
        perplexity = word_perplexity(scored.loss * scored.tokens, words)
        return DialogueScore(scored.loss, perplexity, scored.accuracy, scored.tokens, words)

    def nearest(self, context: Context, n: int = 3) -> list[NearExchange]:
        """Return the support exchanges with the most similar contexts, most similar first.

        Raises:
            DataError: the context is empty.
        """
        asked = _as_text(as_turns(context))
        if not self.support:
            return []
        exchanges = self._equipment.encoder.exchanges(self.support)
        near = similarities(asked, [exchange.context for exchange in exchanges])
        ordered = sorted(range(len(near)), key=lambda index: -near[index])[:n]
        return [NearExchange(near[index], exchanges[index].context, exchanges[index].response) for index in ordered]

    def save(self, folder: str | Path, name: str | None = None) -> None:
        """Write the model to a folder, for `load_model` and other programs.

        If the algorithm takes replies from the dialogues, or puts them into the model, they are written too, and
        loading repeats the adaptation.

        Args:
            folder: a new or an empty folder, or that of a saved model, which is replaced.
            name: name for the model card; None for the model's own or, if it was adapted, that of the folder.

        Raises:
            RunError: the folder is a file, or has other files.
            OSError: the folder cannot be written.
        """
        from metadialog.inference.folder import save_model

        save_model(self, as_folder(folder), name)

    def with_threads(self, threads: int | None) -> "AdaptableModel":
        """Return the same model, computing with another number of CPU threads."""
        equipment = replace(self._equipment, threads=threads)
        return AdaptableModel(self._module, equipment, self.parent, self.support, self.curve, self.step, self.rate)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        with computing(self._equipment.threads), evaluation_mode(self._module):
            yield

    def _path(
        self, support: Sequence[Dialogue], held_out: Sequence[Dialogue], steps: int, rate: float
    ) -> Iterator[tuple[nn.Module, CurvePoint]]:
        """Yield the adapted model after each inner step, from 0 on, with its point of the curve."""
        batch = self._batch(support)
        held_batch = self._batch(held_out) if held_out else None
        for step, adapted in enumerate(self._equipment.algorithm.adapt(self._module, batch, steps, scale=rate)):
            yield adapted, _point(adapted, step, batch, held_batch)

    def _walk(
        self, path: Iterator[tuple[nn.Module, CurvePoint]], on_step: OnStep | None, *, choosing: bool
    ) -> tuple[Snapshot, list[CurvePoint]]:
        """Return the model to keep, which is the last or, if choosing, the best one, and the curve."""
        curve: list[CurvePoint] = []
        best: Snapshot | None = None
        for step, (adapted, point) in enumerate(path):
            curve.append(point)
            if on_step is not None:
                on_step(point)
            if not choosing or best is None or point.loss < curve[best.step].loss:
                best = Snapshot(step, adapted, changed_parameters(adapted, self._module) if choosing else None)
            elif step >= best.step + PATIENCE:
                break
        if best is None:  # every algorithm yields the model before adaptation
            raise RuntimeError(f"{self._equipment.algorithm.name} yields no model")
        return best, curve

    def _batch(self, dialogues: Sequence[Dialogue]) -> Batch:
        return self._equipment.encoder.batch(dialogues).to(self.device)

    def _prompt(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        return self._equipment.encoder.prompt(turns, replier(turns))

    def _growing(self, prompt: Sequence[int], way: Stepwise, seed: int) -> Growing:
        return Growing(prompt, choice(way, prompt, self.tokenizer.end_id, seed), way.max_tokens)

    def _stream(self, reply: Growing) -> Iterator[str]:
        text = Text(self.tokenizer)
        with self._computing():
            decoder = Decoder(self._module, self.tokenizer)
            decoder.add([reply])
        while not reply.ended:
            with self._computing():  # only while the model computes
                decoder.step()
            if piece := text.grow(reply.tokens):
                yield piece

    def _best(self, rows: Sequence[Growing]) -> list[Reply]:
        made = [Reply(self._text(row.tokens), row.score, len(row.tokens)) for row in rows]
        different = {str(reply): reply for reply in reversed(made)}
        return sorted(different.values(), key=lambda reply: -reply.score)

    def _replies_as_a_whole(
        self, prompts: Sequence[Sequence[int]], n: int, way: Generation, seed: int
    ) -> list[list[Reply]]:
        end, forbidden = self.tokenizer.end_id, self.tokenizer.unspoken
        with self._computing():
            generator = torch.Generator(device=self.device).manual_seed(seed)
            replies = way.n_best(self._module, prompts, end, forbidden, generator, n)
        return [[Reply(self._text(one.tokens), one.score, len(one.tokens)) for one in best] for best in replies]

    def _text(self, tokens: Sequence[int]) -> str:
        return whole_characters(self.tokenizer.decode(tokens))

    def _retrieved(self, retriever: Retriever, turns: Sequence[Turn], n: int) -> list[Reply]:
        exchanges = self._equipment.encoder.exchanges(self.support) if self.support else []
        return [Reply(text) for text in retriever(_as_text(turns), exchanges)[:n]] or [Reply("")]


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    return chain(module.parameters(), module.buffers())


def _adapted_to(parent: About, language: str, dialogues: int, held_out: int, curve: Sequence[CurvePoint]) -> AdaptedTo:
    languages = tuple(dict.fromkeys((language, *parent.languages)))
    return AdaptedTo(parent.name, dialogues, held_out, len(curve) - 1, curve[0].loss, curve[-1].loss, languages)


def _point(model: nn.Module, step: int, support: Batch, held_out: Batch | None) -> CurvePoint:
    held_out_loss = None if held_out is None else score(model, held_out).loss
    return CurvePoint(step, score(model, support).loss, held_out_loss)


def _usable(dialogues: Sequence[Dialogue], purpose: str, name: str) -> list[Dialogue]:
    usable = [dialogue for dialogue in dialogues if len(dialogue.turns) >= MIN_TURNS]
    if not usable:
        raise DataError(
            f"{name}: no dialogue to {purpose}: each should have {MIN_TURNS} turns or more, a turn and its answer"
        )
    return usable


def _name(dialogues: Dialogues, name: str) -> str:
    """Return the name of dialogues in messages: their file, if they come from one."""
    if not isinstance(dialogues, str | os.PathLike):
        return name
    return STANDARD_INPUT if os.fspath(dialogues) == "-" else os.fspath(dialogues)


def _check_finite(point: CurvePoint, rate: float) -> None:
    """Check that the losses of an adaptation are finite.

    Raises:
        ConfigError: a loss is not finite.
    """
    if math.isfinite(point.support_loss):
        return
    if point.step == 0:
        raise ConfigError(
            "the loss before adaptation is no finite number: the model, or a turn, cannot be computed with"
        )
    raise ConfigError(
        f"rate={rate:g}: the loss after {counted(point.step, 'inner step')} is no finite number; "
        "choose a smaller rate, or fewer steps"
    )


def _check_most(way: Generation, n: int) -> None:
    """Check that a generation method can give `n` different replies.

    Raises:
        ConfigError: it cannot.
    """
    most = getattr(way, "most", None)
    if most is not None and n > most:
        raise ConfigError(
            f"n={n}: {type(way).__name__.lower()} generation makes {counted(most, 'different reply')} to a context at "
            f"most; ask for fewer, or choose generation=sampling, or generation=beam with generation.beams={n} or more"
        )


def _as_text(turns: Sequence[Turn]) -> str:
    return "\n".join(f"{turn.speaker}: {' '.join(turn.text.split())}" for turn in turns)
