"""Algorithms that adapt low-rank updates of the weights."""

from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Le, Len
from torch import Tensor, nn
from torch.func import functional_call

from metadialog.algorithms.maml import MAML
from metadialog.errors import ConfigError
from metadialog.models.parts import parts_of, select
from metadialog.options import FROM_YAML

_PREFIX = "base."


class LowRankModel(nn.Module):
    """A model with a low-rank update added to some of its weight matrices: `W + up @ down`.

    Args:
        base: the model.
        names: names of the matrices, `[out, in]` each.
        rank: rank of the updates. `down`, `[rank, in]`, is initialised at random, `up`, `[out, rank]`, with zeros.
    """

    def __init__(self, base: nn.Module, names: frozenset[str], rank: int) -> None:
        super().__init__()
        self.base = base
        self.names = sorted(names)
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()
        for name in self.names:
            rows, columns = base.get_parameter(name).shape
            key = name.replace(".", "/")  # parameter names must not contain dots
            self.down[key] = torch.randn(rank, columns) / columns**0.5
            self.up[key] = torch.zeros(rows, rank)

    @property
    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """The parts of the base model, with their parameters' names in this model."""
        return {part: tuple(_PREFIX + p for p in patterns) for part, patterns in parts_of(self.base).items()}

    @property
    def predicts_at(self) -> bool:
        """Whether the base model takes `at`."""
        return bool(getattr(self.base, "predicts_at", False))

    def forward(self, tokens: Tensor, hidden: object = None, **options: Tensor) -> tuple[Tensor, object]:
        """Run the base model with the updates added; see its `forward`."""
        weights: dict[str, Tensor] = dict(self.base.named_parameters())
        for name in self.names:
            key = name.replace(".", "/")
            weights[name] = weights[name] + self.up[key] @ self.down[key]
        output: tuple[Tensor, object] = functional_call(self.base, weights, (tokens, hidden), options)
        return output


class LowRank(MAML):
    """Low-rank updates, after Hou et al. 2022 (TACL; arXiv:2207.03509), "Meta-Learning the Difference", section 3.

    A task's weights are `W + up @ down`: the inner loop adapts only the factors; W and the initial factors are learned
    in the outer loop.

    Departures: this is the static, additive part of the paper's task-adaptive reparameterisation (TARP), which is that
    of LoRA (Hu et al. 2022, arXiv:2106.09685). The paper also multiplies W elementwise by a low-rank matrix, and puts a
    diagonal matrix between the factors that a small network computes from the layer's input: here the updates belong to
    the weights and are the same for every token, so that they apply inside recurrent layers; `low_rank_maml` with
    `algorithm.update=tarp` has the paper's form, on linear layers. Its search for a task-adaptive structure (TAMS) is
    not implemented, and the paper starts from a pretrained language model.

    Args:
        matrices: weight matrices to update: parts of the model (embeddings, body, head) or patterns of parameter names;
            vectors among them are ignored.
        rank: rank of the updates.
    """

    matrices: Annotated[list[str], Len(1)] = FROM_YAML
    rank: Annotated[int, Ge(1), Le(10**5)] = FROM_YAML

    def __post_init__(self) -> None:
        """Check that the inner rule does not select parameters."""
        super().__post_init__()
        if self.tools.rule.adapted is not None or self.tools.rule.frozen:
            raise ConfigError(
                f"inner.adapted and inner.frozen: algorithm={self.name} adapts only low-rank factors; "
                "leave both at their defaults, and see algorithm.matrices"
            )

    def prepare(self, model: nn.Module) -> nn.Module:
        """Add the factors to the model.

        Raises:
            ConfigError: no matrix matches `matrices`.
        """
        names = select(model, self.matrices, "algorithm.matrices")
        matrices = frozenset(name for name in names if model.get_parameter(name).dim() == 2)
        if not matrices:
            raise ConfigError(f"algorithm.matrices={self.matrices}: no matrix is among {', '.join(sorted(names))}")
        return LowRankModel(model, matrices, self.rank)

    def adapted_parameters(self, model: nn.Module) -> frozenset[str] | None:
        """Return the names of the factors."""
        return frozenset(name for name, _ in model.named_parameters() if not name.startswith(_PREFIX))
