"""Almost no inner loop: adapt only a part of the model."""

from typing import Annotated

from annotated_types import Len
from torch import nn

from metadialog.algorithms.base import some
from metadialog.algorithms.maml import MAML
from metadialog.models.parts import select
from metadialog.options import FROM_YAML


class ANIL(MAML):
    """Raghu et al. 2020 (arXiv:1909.09157), section 4: MAML whose inner loop changes only the head.

    The outer loop learns all parameters: the head's through the inner loop, the others' as features for it.

    Args:
        adapted: parts of the model (embeddings, body, head) or patterns of parameter names.
    """

    adapted: Annotated[list[str], Len(1)] = FROM_YAML

    def adapted_parameters(self, model: nn.Module) -> frozenset[str] | None:
        """Return the names of the adapted parameters, among those that `inner.adapted` allows."""
        names, allowed = select(model, self.adapted, "algorithm.adapted"), super().adapted_parameters(model)
        if allowed is None:
            return names
        return some(names & allowed, "algorithm.adapted, inner.adapted and inner.frozen")
