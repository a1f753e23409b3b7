"""Beam search: several hypotheses at once, and the best of those that ended."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import nn

from metadialog.generation.base import forbid, inference, read_prompts
from metadialog.models.protocol import as_dialogue_model


class Beam:
    """Keep the best hypotheses by total log-probability; return the best by `log p / length ** length_penalty`.

    A hypothesis that ends keeps its place in the beam, so one beam is greedy search. The length counts the end.

    Args:
        max_tokens: longest reply.
        beams: hypotheses that are kept.
        length_penalty: 0 takes the log-probability as it is; 1 divides it by the length.
    """

    def __init__(
        self,
        *,
        max_tokens: Annotated[int, Gt(0)],
        beams: Annotated[int, Gt(0)],
        length_penalty: Annotated[float, Ge(0)],
    ) -> None:
        self.max_tokens = max_tokens
        self.beams = beams
        self.length_penalty = length_penalty

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,  # noqa: ARG002 - nothing is drawn
    ) -> list[list[int]]:
        """Generate a reply to each prompt; see `Generation.generate`."""
        with inference(model):
            return [self._search(model, prompt, end_id, forbidden) for prompt in prompts]

    def _search(self, model: nn.Module, prompt: Sequence[int], end_id: int, forbidden: Sequence[int]) -> list[int]:
        speaker = as_dialogue_model(model)
        logits, state = read_prompts(speaker, [prompt], next(model.parameters()).device)
        alive: list[tuple[float, list[int]]] = [(0.0, [])]  # total log-probability, tokens
        ended: list[tuple[float, list[int]]] = []  # normalised score, tokens
        for length in range(1, self.max_tokens + 1):
            log_p = forbid(logits, forbidden).log_softmax(-1)  # [alive, vocab]
            totals = log_p + log_p.new_tensor([total for total, _ in alive])[:, None]  # [alive, vocab]
            possible = int(totals.isfinite().sum())  # a small vocabulary may have fewer than there is room for
            room = min(self.beams - len(ended), possible)
            best = totals.flatten().topk(room)
            parents: list[int] = []
            going_on: list[tuple[float, list[int]]] = []
            for total, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                parent, token = divmod(place, log_p.shape[-1])
                tokens = alive[parent][1]
                if token == end_id:
                    ended.append((self._normalised(total, length), tokens))
                else:
                    parents.append(parent)
                    going_on.append((total, [*tokens, token]))
            alive = going_on
            if not alive or length == self.max_tokens:
                break
            rows = torch.tensor(parents, device=log_p.device)
            last = torch.tensor([tokens[-1] for _, tokens in alive], device=log_p.device)
            logits, state = speaker.step(last, speaker.select_rows(state, rows))
        cut = [(self._normalised(total, self.max_tokens), tokens) for total, tokens in alive]
        _, tokens = max(ended + cut, key=lambda hypothesis: hypothesis[0])
        return tokens

    def _normalised(self, total: float, length: int) -> float:
        return float(total / length**self.length_penalty)
