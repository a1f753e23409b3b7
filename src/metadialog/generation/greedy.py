"""The most probable next token, again and again."""

from collections.abc import Sequence

import torch

from metadialog.generation.stepwise import Choose, Stepwise


class Greedy(Stepwise):
    """Take the most probable token at every position; all replies to a prompt are one.

    Attributes:
        most: how many different replies to a prompt there are.
    """

    most = 1

    def chooser(
        self,
        prompts: Sequence[Sequence[int]],  # noqa: ARG002
        generator: torch.Generator | None,  # noqa: ARG002 - nothing is drawn
    ) -> Choose:
        """Return what chooses the tokens; see `Stepwise.chooser`."""
        return lambda logits, _: logits.argmax(-1)
