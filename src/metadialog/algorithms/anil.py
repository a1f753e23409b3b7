"""Almost no inner loop: adapt a part of the model."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Len
from torch import nn

from metadialog.algorithms.base import Tools, some
from metadialog.algorithms.maml import MAML
from metadialog.models.parts import select


class ANIL(MAML):
    """Raghu et al. 2020 (arXiv:1909.09157), section 4: MAML whose inner loop changes the head alone.

    The outer loop learns all parameters: the head's through the inner loop, the others' as features for it.

    Args:
        tools: engine, inner rule and objectives.
        name: how records and tables call it.
        inner_lr: the inner learning rate, alpha.
        inner_steps: inner steps in training and validation.
        first_order: leave out the second derivatives.
        reduction: how the tasks' query losses make the outer objective.
        adapted: parts of the model (embeddings, body, head) or patterns of parameter names.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        name: str,
        inner_lr: Annotated[float, Gt(0)],
        inner_steps: Annotated[int, Ge(1)],
        first_order: bool,
        reduction: Literal["mean", "sum"],
        adapted: Annotated[list[str], Len(1)],
    ) -> None:
        super().__init__(
            tools,
            name=name,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            first_order=first_order,
            reduction=reduction,
        )
        self.parts = adapted

    def adapted(self, model: nn.Module) -> frozenset[str] | None:
        """Return the names of the parameters that are adapted: of those that `inner.adapted` leaves."""
        names, allowed = select(model, self.parts, "algorithm.adapted"), super().adapted(model)
        if allowed is None:
            return names
        return some(names & allowed, "algorithm.adapted, inner.adapted and inner.frozen")
