"""Drawing the next token from the model's distribution, or from its better part."""

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
    """Draw every token, with a temperature, from the top k (Fan et al. 2018) and the nucleus (Holtzman et al. 2020).

    The nucleus is of what the top k leave, at this temperature.

    Args:
        temperature: divides the logits; below 1 is sharper, above 1 flatter.
        top_k: draw from the k most probable tokens only; 0 for all.
        top_p: draw from the fewest tokens that together have this probability; 1 for all.
    """

    temperature: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML
    top_k: Annotated[int, Ge(0), Le(10**9)] = FROM_YAML
    top_p: Annotated[float, Gt(0), Le(1)] = FROM_YAML

    def chooser(self, prompts: Sequence[Sequence[int]], generator: torch.Generator | None) -> Choose:
        """Return what draws the tokens; see `Stepwise.chooser`."""
        draws = iter(_draws(prompts, self.max_tokens, generator))

        def choose(logits: Tensor, rows: Sequence[int]) -> Tensor:
            # In double precision on the CPU, so that one seed gives one reply on all devices.
            cumulative = self.distribution(logits.double().cpu()).cumsum(-1)  # [rows, vocab]
            cumulative = cumulative / cumulative[:, -1:]  # ends in exactly 1, which is above every draw
            drawn = next(draws)[list(rows)]
            tokens = torch.searchsorted(cumulative, drawn[:, None], right=True)[:, 0]  # [rows]
            return tokens.to(logits.device)

        return choose

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
