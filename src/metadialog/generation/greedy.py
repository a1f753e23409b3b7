"""The most probable next token, again and again."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn

from metadialog.generation.base import extend


class Greedy:
    """Take the most probable token at every position.

    Args:
        max_tokens: longest reply.
    """

    def __init__(self, *, max_tokens: Annotated[int, Gt(0)]) -> None:
        self.max_tokens = max_tokens

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,  # noqa: ARG002 - nothing is drawn
    ) -> list[list[int]]:
        """Generate a reply to each prompt; see `Generation.generate`."""
        return extend(model, prompts, end_id, forbidden, self.max_tokens, lambda logits: logits.argmax(-1))
