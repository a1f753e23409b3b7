"""Greedy decoding."""

from collections.abc import Sequence

import torch

from metadialog.generation.stepwise import Choose, Stepwise


class Greedy(Stepwise):
    """Takes the most probable token at every position, so that there is only one reply to a prompt.

    Attributes:
        most: maximum number of different replies to a prompt.
    """

    most = 1

    def chooser(
        self,
        prompts: Sequence[Sequence[int]],  # noqa: ARG002
        generator: torch.Generator | None,  # noqa: ARG002 - nothing is drawn
    ) -> Choose:
        """Return the function that chooses tokens; see `Stepwise.chooser`."""
        return lambda logits, _: logits.argmax(-1)
