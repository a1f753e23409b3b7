"""Drawing the next token from the model's distribution, or from its better part."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from metadialog.generation.base import extend


class Sampling:
    """Draw every token, with a temperature, from the top k (Fan et al. 2018) and the nucleus (Holtzman et al. 2020).

    Args:
        max_tokens: longest reply.
        temperature: divides the logits; below 1 is sharper, above 1 flatter.
        top_k: draw from the k most probable tokens only; 0 for all.
        top_p: draw from the fewest tokens that together have this probability; 1 for all.
    """

    def __init__(
        self,
        *,
        max_tokens: Annotated[int, Gt(0)],
        temperature: Annotated[float, Gt(0)],
        top_k: Annotated[int, Ge(0)],
        top_p: Annotated[float, Gt(0), Le(1)],
    ) -> None:
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None = None,
    ) -> list[list[int]]:
        """Generate a reply to each prompt; see `Generation.generate`."""

        def choose(logits: Tensor) -> Tensor:
            return torch.multinomial(self.distribution(logits), 1, generator=generator)[:, 0]

        return extend(model, prompts, end_id, forbidden, self.max_tokens, choose)

    def distribution(self, logits: Tensor) -> Tensor:
        """Return the probabilities that tokens are drawn with, from logits; both `[batch, vocab]`."""
        logits = logits / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            smallest = logits.topk(self.top_k).values[:, -1:]
            logits = logits.masked_fill(logits < smallest, -torch.inf)
        probabilities = logits.softmax(-1)
        if self.top_p < 1:
            ordered, order = probabilities.sort(descending=True, stable=True)
            before = ordered.cumsum(-1) - ordered  # the probability of all better tokens
            kept = ordered.masked_fill(before >= self.top_p, 0)
            probabilities = torch.zeros_like(probabilities).scatter(-1, order, kept)
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        return probabilities
