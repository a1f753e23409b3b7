"""Generation of several replies together, token by token."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from metadialog.generation.base import Hypothesis, forbid, inference, read_prompts
from metadialog.generation.rules import Ruled
from metadialog.models.protocol import as_dialogue_model

Choose = Callable[[Tensor, Sequence[int]], Tensor]
"""Maps the logits of rows, `[rows, vocab]`, and the row numbers to a token for each, `[rows]`."""


class Stepwise(Ruled):
    """Base class of methods that choose one token after another."""

    @abstractmethod
    def chooser(self, prompts: Sequence[Sequence[int]], generator: torch.Generator | None) -> Choose:
        """Return a function that chooses the next tokens of the replies to some prompts; called once per token."""

    def stream(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,
    ) -> Iterator[list[tuple[int | None, float]]]:
        """Yield the next token of each reply as soon as it is chosen, with its log-probability; see `generate`.

        The token is `end_id` when a reply ends, and None, with log-probability 0, after it has ended.
        """
        if not prompts:
            return
        choose = self.chooser(prompts, generator)
        said: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))  # rows that are computed; some of them may have ended
        going_on = set(rows)
        with inference(model):
            speaker = as_dialogue_model(model)
            logits, state = read_prompts(speaker, prompts, next(model.parameters()).device)
            for length in range(1, self.max_tokens + 1):
                logits = self.rules.apply(forbid(logits, forbidden), [said[row] for row in rows], end_id)
                tokens = choose(logits, rows)
                log_p = logits.log_softmax(-1).gather(1, tokens[:, None])[:, 0].tolist()
                made: list[tuple[int | None, float]] = [(None, 0.0)] * len(prompts)
                for row, token, gain in zip(rows, tokens.tolist(), log_p, strict=True):
                    if row in going_on:
                        made[row] = (token, gain)
                        said[row].append(token)
                        if token == end_id:
                            going_on.discard(row)
                yield made
                if not going_on or length == self.max_tokens:
                    return
                if 2 * len(going_on) <= len(rows):
                    kept = torch.tensor([at for at, row in enumerate(rows) if row in going_on], device=tokens.device)
                    rows = [row for row in rows if row in going_on]
                    tokens, state = tokens[kept], speaker.select_rows(state, kept)
                logits, state = speaker.step(tokens, state)

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,
    ) -> list[list[int]]:
        """Generate a reply to each prompt; see `Generation.generate`."""
        return [reply.tokens for reply in self._replies(model, prompts, end_id, forbidden, generator)]

    def n_best(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,
        count: int,
    ) -> list[list[Hypothesis]]:
        """Generate `count` replies to each prompt, and return the distinct ones; see `Generation.n_best`.

        The score is the mean log-probability of the tokens.
        """
        repeated = [prompt for prompt in prompts for _ in range(count)]
        replies = self._replies(model, repeated, end_id, forbidden, generator)
        results = []
        for start in range(0, len(replies), count):
            different = {tuple(reply.tokens): reply for reply in replies[start : start + count]}
            results.append(sorted(different.values(), key=lambda reply: -reply.score))
        return results

    def _replies(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,
    ) -> list[Hypothesis]:
        tokens: list[list[int]] = [[] for _ in prompts]
        totals, lengths = [0.0] * len(prompts), [0] * len(prompts)
        for made in self.stream(model, prompts, end_id, forbidden, generator):
            for row, (token, log_p) in enumerate(made):
                if token is None:
                    continue
                totals[row] += log_p
                lengths[row] += 1
                if token != end_id:
                    tokens[row].append(token)
        return [
            Hypothesis(reply, total, total / max(1, length))
            for reply, total, length in zip(tokens, totals, lengths, strict=True)
        ]
