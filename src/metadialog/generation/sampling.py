"""Sampling from the model's distribution, optionally truncated."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from metadialog.generation.stepwise import Choose, Stepwise
from metadialog.options import FROM_YAML


class Sampling(Stepwise):
    """Draws every token, with a temperature, from the top k (Fan et al. 2018) and the nucleus (Holtzman et al. 2020).

    The nucleus is computed after the top k, at this temperature.

    Args:
        temperature: divisor of the logits; below 1 is sharper, above 1 flatter.
        top_k: draw only from the k most probable tokens; 0 for all.
        top_p: draw only from the most probable tokens that together have this probability; 1 for all.
    """

    temperature: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML
    top_k: Annotated[int, Ge(0), Le(10**9)] = FROM_YAML
    top_p: Annotated[float, Gt(0), Le(1)] = FROM_YAML

    def chooser(self, prompts: Sequence[Sequence[int]], generator: torch.Generator | None) -> Choose:
        """Return the function that draws tokens; see `Stepwise.chooser`."""
        draws = iter(_draws(prompts, self.max_tokens, generator))

        def choose(logits: Tensor, rows: Sequence[int]) -> Tensor:
            # In double precision on the CPU, so that a seed gives the same reply on all devices.
            cumulative = self.distribution(logits.double().cpu()).cumsum(-1)  # [rows, vocab]
            cumulative = cumulative / cumulative[:, -1:]  # ends with exactly 1, which is above every draw
            drawn = next(draws)[list(rows)]
            tokens = torch.searchsorted(cumulative, drawn[:, None], right=True)[:, 0]  # [rows]
            return tokens.to(logits.device)

        return choose

    def distribution(self, logits: Tensor) -> Tensor:
        """Return the probabilities with which tokens are drawn, given logits; both `[batch, vocab]`.

        Among equally probable tokens at the boundary of the top k or of the nucleus, those with lower ids are kept.
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

    The numbers of a prompt, and hence its reply, depend only on the generator and the prompt, not on other prompts. If
    a prompt occurs several times, each occurrence has its own numbers.
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
