"""Adapt a few context parameters, and nothing else."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

from metadialog.algorithms.base import OuterStep, Tools
from metadialog.algorithms.maml import MAML
from metadialog.episodes import Episode
from metadialog.errors import ConfigError
from metadialog.models.protocol import as_dialogue_model, token_embedding


class ContextEmbedding(nn.Module):
    """A token embedding to which a learned map of the context parameters is added.

    That is a first layer which reads the context beside every token: the map is its part for the context.

    Args:
        embed: the embedding of tokens.
        size: number of context parameters, which are zero until a task sets them.
    """

    def __init__(self, embed: nn.Embedding, size: int) -> None:
        super().__init__()
        self.embed = embed
        self.context = nn.Parameter(torch.zeros(size))
        self.condition = nn.Linear(size, embed.embedding_dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed token ids, `[...]` to `[..., embedding]`."""
        found: Tensor = self.embed(tokens) + self.condition(self.context)
        return found


class CAVIA(MAML):
    """Zintgraf et al. 2019 (arXiv:1810.03642), section 3: only context parameters are adapted to a task.

    They are zero before each task; the outer loop learns all other parameters, through the inner steps (equations 3
    and 4). They enter where tokens are embedded.

    Args:
        tools: engine, inner rule and objectives.
        name: how records and tables call it.
        inner_lr: the inner learning rate, alpha.
        inner_steps: inner steps in training and validation.
        first_order: leave out the second derivatives.
        reduction: how the tasks' query losses make the outer objective.
        context_size: number of context parameters.
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
        context_size: Annotated[int, Ge(1)],
    ) -> None:
        super().__init__(
            tools,
            name=name,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            first_order=first_order,
            reduction=reduction,
        )
        if tools.rule.adapted is not None or tools.rule.frozen:
            raise ConfigError(
                f"inner.adapted and inner.frozen: algorithm={name} adapts its context parameters and no others; leave "
                "both as they are"
            )
        self.context_size = context_size

    def prepare(self, model: nn.Module) -> nn.Module:
        """Put the context parameters beside the token embedding.

        Raises:
            ConfigError: the model has no token embedding.
        """
        embedding = token_embedding(model, f"algorithm={self.name}")
        as_dialogue_model(model).replace_token_embedding(ContextEmbedding(embedding, self.context_size))
        return model

    def adapted(self, model: nn.Module) -> frozenset[str] | None:
        """Return the name of the context parameters."""
        context = _context(model)
        return frozenset(name for name, parameter in model.named_parameters() if parameter is context)

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Put the meta-gradient into the `.grad` of all but the context parameters, which stay zero."""
        result = super().outer_step(model, episodes, step)
        _context(model).grad = None
        return result


def _context(model: nn.Module) -> nn.Parameter:
    embedding = as_dialogue_model(model).token_embedding
    assert isinstance(embedding, ContextEmbedding)  # noqa: S101 - for the type checker: `prepare` has put it there
    return embedding.context
