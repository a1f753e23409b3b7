"""Beam search."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from metadialog.generation.base import Hypothesis, forbid, inference, read_prompts
from metadialog.generation.rules import Ruled
from metadialog.models.protocol import as_dialogue_model
from metadialog.options import FROM_YAML


@dataclass(slots=True)
class _Search:
    """The search for a reply to one prompt.

    Attributes:
        alive: unfinished hypotheses, each with its total log-probability, nats.
        ended: the best finished hypotheses.
        done: whether the search is over.
    """

    alive: list[tuple[float, list[int]]] = field(default_factory=lambda: [(0.0, [])])
    ended: list[Hypothesis] = field(default_factory=list)
    done: bool = False


class Beam(Ruled):
    """Keeps the best hypotheses by total log-probability, and returns the best by `log p / length ** length_penalty`.

    At each token, those of the best `beams` continuations that end are finished, and the best `beams` others are
    continued, so that the beam keeps its width. The search ends when there are `beams` finished hypotheses and no
    unfinished one has a better score than the worst of them (Wu et al. 2016, arXiv:1609.08144, section 7, without its
    coverage). One beam is greedy search. The length includes the end token.

    Args:
        beams: number of hypotheses to keep.
        length_penalty: 0 for the log-probability itself; 1 for dividing it by the length.
    """

    beams: Annotated[int, Gt(0), Le(10**4)] = FROM_YAML
    length_penalty: Annotated[float, Ge(0), Le(100)] = FROM_YAML

    @property
    def most(self) -> int:
        """How many different replies to a prompt there are."""
        return self.beams

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,
    ) -> list[list[int]]:
        """Generate a reply to each prompt; see `Generation.generate`."""
        return [best[0].tokens for best in self.n_best(model, prompts, end_id, forbidden, generator, 1)]

    def n_best(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,  # noqa: ARG002 - nothing is drawn
        count: int,
    ) -> list[list[Hypothesis]]:
        """Return the best replies to each prompt, at most as many as beams; see `Generation.n_best`.

        All searches run together, so that the model reads one token of every hypothesis at a time.
        """
        if not prompts:
            return []
        searches = [_Search() for _ in prompts]
        with inference(model):
            speaker = as_dialogue_model(model)
            logits, state = read_prompts(speaker, prompts, next(model.parameters()).device)
            for length in range(1, self.max_tokens + 1):
                open_searches = [search for search in searches if not search.done]
                said = [tokens for search in open_searches for _, tokens in search.alive]
                log_p = self.rules.apply(forbid(logits, forbidden), said, end_id).log_softmax(-1)  # [rows, vocab]
                parents: list[int] = []
                first = 0
                for search in open_searches:
                    rows = log_p[first : first + len(search.alive)]
                    first += len(search.alive)
                    chosen = self._extend(search, rows, length, end_id)
                    if not search.done:
                        parents += [first - len(rows) + parent for parent in chosen]
                if not parents or length == self.max_tokens:
                    break
                last = [tokens[-1] for search in searches if not search.done for _, tokens in search.alive]
                state = speaker.select_rows(state, torch.tensor(parents, device=log_p.device))
                logits, state = speaker.step(torch.tensor(last, device=log_p.device), state)
        return [self._best(search)[:count] for search in searches]

    def _extend(self, search: _Search, log_p: Tensor, length: int, end_id: int) -> list[int]:
        """Add a token, given the log-probabilities `[alive, vocab]`; return the parent of each hypothesis."""
        totals = log_p + log_p.new_tensor([total for total, _ in search.alive])[:, None]  # [alive, vocab]
        possible = int(totals.isfinite().sum())  # a small vocabulary may have fewer candidates
        # Each hypothesis has one continuation that ends, so twice the beams contain enough that do not.
        best = totals.flatten().topk(min(2 * self.beams, possible))
        parents: list[int] = []
        going_on: list[tuple[float, list[int]]] = []
        for rank, (total, index) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            parent, token = divmod(index, log_p.shape[-1])
            tokens = search.alive[parent][1]
            if token != end_id:
                if len(going_on) < self.beams:
                    parents.append(parent)
                    going_on.append((total, [*tokens, token]))
            elif rank < self.beams:
                search.ended.append(Hypothesis(tokens, total, self._normalised(total, length)))
        search.alive = going_on
        search.ended = sorted(search.ended, key=_score, reverse=True)[: self.beams]
        search.done = not going_on or (
            len(search.ended) == self.beams
            and max(self._normalised(total, length) for total, _ in going_on) <= search.ended[-1].score
        )
        return parents

    def _best(self, search: _Search) -> list[Hypothesis]:
        """Return the hypotheses, best first, including those that were stopped at the maximum length."""
        cut = [] if search.done else search.alive
        cut_hypotheses = [Hypothesis(tokens, total, self._normalised(total, self.max_tokens)) for total, tokens in cut]
        return sorted(search.ended + cut_hypotheses, key=_score, reverse=True)[: self.beams]

    def _normalised(self, total: float, length: int) -> float:
        return float(total / length**self.length_penalty)


def _score(hypothesis: Hypothesis) -> float:
    return hypothesis.score
