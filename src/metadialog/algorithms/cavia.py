"""Adapt only a few context parameters."""

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from metadialog.algorithms.base import OuterStep
from metadialog.algorithms.maml import MAML
from metadialog.episodes import Episode
from metadialog.errors import ConfigError
from metadialog.models.protocol import as_dialogue_model, token_embedding
from metadialog.options import FROM_YAML


class ContextEmbedding(nn.Module):
    """A token embedding to which a learned map of the context parameters is added.

    This is equivalent to a first layer that takes the context as an additional input at every token.

    Args:
        embed: the token embedding.
        size: number of context parameters, which are zero before adaptation.
    """

    def __init__(self, embed: nn.Embedding, size: int) -> None:
        super().__init__()
        self.embed = embed
        self.context = nn.Parameter(torch.zeros(size))
        self.condition = nn.Linear(size, embed.embedding_dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed token ids, `[...]` to `[..., embedding]`."""
        embedded: Tensor = self.embed(tokens) + self.condition(self.context)
        return embedded


class CAVIA(MAML):
    """Zintgraf et al. 2019 (arXiv:1810.03642), section 3: only context parameters are adapted to a task.

    They are zero before each task; the outer loop learns all other parameters through the inner steps (equations 3 and
    4). They are an additional input of the token embedding.

    Args:
        context_size: number of context parameters.
    """

    context_size: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML
    additive = True

    def __post_init__(self) -> None:
        """Check that the inner rule does not select parameters."""
        super().__post_init__()
        if self.tools.rule.adapted is not None or self.tools.rule.frozen:
            raise ConfigError(
                f"inner.adapted and inner.frozen: algorithm={self.name} adapts only its context parameters; "
                "leave both at their defaults"
            )

    def prepare(self, model: nn.Module) -> nn.Module:
        """Add the context parameters to the token embedding.

        Raises:
            ConfigError: the model has no token embedding.
        """
        embedding = token_embedding(model, f"algorithm={self.name}")
        as_dialogue_model(model).replace_token_embedding(ContextEmbedding(embedding, self.context_size))
        return model

    def adapted_parameters(self, model: nn.Module) -> frozenset[str] | None:
        """Return the name of the context parameters."""
        context = _context(model)
        return frozenset(name for name, parameter in model.named_parameters() if parameter is context)

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Put the meta-gradient into the `.grad` of all parameters except the context parameters, which stay zero."""
        result = super().outer_step(model, episodes, step)
        _context(model).grad = None
        return result


def _context(model: nn.Module) -> nn.Parameter:
    embedding = as_dialogue_model(model).token_embedding
    assert isinstance(embedding, ContextEmbedding)  # noqa: S101 - for the type checker: `prepare` has put it there
    return embedding.context
