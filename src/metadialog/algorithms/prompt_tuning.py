"""Algorithms that adapt a soft prefix."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from metadialog.algorithms.base import GradientAlgorithm
from metadialog.algorithms.baselines import FineTuning
from metadialog.algorithms.low_rank_linear import Base, settle_base
from metadialog.algorithms.maml import MAML
from metadialog.episodes import Batch, dialogues_of
from metadialog.errors import ConfigError
from metadialog.models.context import SoftPrompt
from metadialog.models.parts import copy_apart
from metadialog.models.protocol import as_dialogue_model, token_embedding
from metadialog.options import FROM_YAML


class SoftPrefix(GradientAlgorithm):
    """Base class of algorithms that adapt a soft prefix.

    Lester et al. 2021 (arXiv:2104.08691), section 2: vectors with the width of the token embedding precede the input;
    the inner loop changes only these.

    Args:
        length: number of vectors in the prefix.
        base: whether the outer loop also trains the model.
    """

    length: Annotated[int, Ge(1), Le(10**5)] = FROM_YAML
    base: Base = FROM_YAML

    def __post_init__(self) -> None:
        """Check that the inner rule does not select parameters."""
        super().__post_init__()
        if self.tools.rule.adapted is not None or self.tools.rule.frozen:
            raise ConfigError(
                f"inner.adapted and inner.frozen: algorithm={self.name} adapts only a soft prefix; leave "
                "both at their defaults"
            )

    def adapted_parameters(self, model: nn.Module) -> frozenset[str] | None:
        """Return the name of the prefix."""
        return frozenset({model.soft_name} if isinstance(model, SoftPrompt) else ())


class PromptTuning(SoftPrefix, FineTuning):
    """A prefix is tuned on the support set, starting from the embeddings of the support dialogues.

    This is context tuning (Lu et al. 2025): the prefix is initialised with the examples and then trained by gradient
    descent. The outer loop trains the model jointly over all meta-train topics, without a prefix. Step 0 is the model
    without one.
    """

    def prepare(self, model: nn.Module) -> nn.Module:
        """Freeze the base model if `base` says so.

        Raises:
            ConfigError: the model has no token embedding.
        """
        token_embedding(model, f"algorithm={self.name}")
        settle_base(model, self.base)
        self.trains = any(parameter.requires_grad for parameter in model.parameters())
        return super().prepare(model)

    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        """Yield the unchanged model, then the model with a prefix after each inner step."""
        yield model
        if support is None or steps == 0:
            return
        prefixed = SoftPrompt(copy_apart(model), embedded(model, support, self.length))
        prefixed.train(model.training)
        inner = replace(super().inner_loop(model, steps, scale), adapted=frozenset({prefixed.soft_name}))
        descent = self.tools.engine.adapt(prefixed, self.tools.objectives.inner, support, inner)
        next(descent)  # the initial prefix
        yield from descent


class MetaPromptTuning(SoftPrefix, MAML):
    """MAML of a soft prefix: its initial value is learned in the outer loop, through the inner steps."""

    def prepare(self, model: nn.Module) -> nn.Module:
        """Prepend a prefix of random tokens' embeddings (Lester et al. 2021, section 2.1).

        Raises:
            ConfigError: the model has no token embedding.
        """
        embedding = token_embedding(model, f"algorithm={self.name}")
        settle_base(model, self.base)
        drawn = torch.randint(embedding.num_embeddings, (self.length,), device="cpu")
        values = embedding.weight.detach()[drawn.to(embedding.weight.device)].clone()
        return super().prepare(SoftPrompt(model, values))


@torch.no_grad()
def embedded(model: nn.Module, support: Batch, length: int) -> Tensor:
    """Return the embeddings of the first tokens of the support dialogues, in the order of the model's input.

    They are not averaged: many models rely on the first position, and expect the token that a text begins with there.
    If there are fewer tokens than `length`, they are repeated.

    Returns:
        `[length, width]`.
    """
    tokens = [token for dialogue in dialogues_of(support) for token in dialogue]
    embed = as_dialogue_model(model).token_embedding
    expand = getattr(model, "own_ids", None)
    ids = torch.tensor([tokens], device=support.inputs.device)
    ids = ids if expand is None else expand(ids)
    while ids.shape[1] < length:
        ids = ids.repeat(1, 2)
    vectors: Tensor = embed(ids[:, :length])[0]
    return vectors.clone()
