"""Drawing the next token from the model's distribution, or from its better part."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
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
        generator: torch.Generator | None,
    ) -> list[list[int]]:
        """Generate a reply to each prompt; see `Generation.generate`."""
        draws = iter(_draws(prompts, self.max_tokens, generator))

        def choose(logits: Tensor) -> Tensor:
            # In double precision on the CPU, so that one seed gives one reply on all devices.
            cumulative = self.distribution(logits.double().cpu()).cumsum(-1)  # [batch, vocab]
            cumulative = cumulative / cumulative[:, -1:]  # ends in exactly 1, which is above every draw
            tokens = torch.searchsorted(cumulative, next(draws)[:, None], right=True)[:, 0]  # [batch]
            return tokens.to(logits.device)

        return extend(model, prompts, end_id, forbidden, self.max_tokens, choose)

    def distribution(self, logits: Tensor) -> Tensor:
        """Return the probabilities that tokens are drawn with, from logits; both `[batch, vocab]`.

        Of equally probable tokens at the edge of the top k or of the nucleus, those with the lower id are kept.
        """
        logits = logits - logits.amax(-1, keepdim=True)  # so that a low temperature cannot overflow
        ordered, order = (logits / self.temperature).softmax(-1).sort(descending=True, stable=True)
        if self.top_k > 0:
            ordered[:, self.top_k :] = 0
            ordered = ordered / ordered.sum(-1, keepdim=True)
        if self.top_p < 1:
            before = ordered.cumsum(-1) - ordered  # the probability of all better tokens
            ordered = ordered.masked_fill(before >= self.top_p, 0)
        kept = ordered / ordered.sum(-1, keepdim=True)
        return torch.zeros_like(kept).scatter(-1, order, kept)


def _draws(prompts: Sequence[Sequence[int]], count: int, generator: torch.Generator | None) -> Tensor:
    """Return uniform numbers from 0 to below 1, double precision, `[count, batch]`.

    A prompt's numbers depend on the generator and on the prompt alone, not on what stands beside it: so its reply
    does not either. Where a prompt comes several times, each time has numbers of its own.
    """
    device = torch.device("cpu") if generator is None else generator.device
    seed = int(torch.randint(2**32, (), generator=generator, device=device))
    seen: Counter[tuple[int, ...]] = Counter()
    rows = np.empty((len(prompts), count))
    for row, prompt in zip(rows, prompts, strict=True):
        key = tuple(prompt)
        row[:] = np.random.default_rng([seed, seen[key], len(key), *key]).random(count)
        seen[key] += 1
    return torch.from_numpy(rows).T.contiguous()
