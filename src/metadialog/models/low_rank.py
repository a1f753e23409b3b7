"""Low-rank factors for the linear layers of any model."""

from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from metadialog.errors import ConfigError
from metadialog.models.parts import select

Update = Literal["lora", "tarp"]
"""The form of an update: that of `LowRankLinear` or of `TaskAdaptiveLinear`."""


class LowRankLinear(nn.Linear):
    """Hu et al. 2022, LoRA (arXiv:2106.09685), section 4.1: `W x + b + scale / rank * up down x`.

    `down`, `[rank, in]`, is initialised at random and `up`, `[out, rank]`, with zeros, so that the layer is unchanged
    at first.

    Args:
        layer: the linear layer; its weight and bias remain the same parameters.
        rank: rank of the update.
        scale: alpha; the update is multiplied by alpha divided by the rank.
    """

    factors: ClassVar[tuple[str, ...]] = ("down", "up")

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        weight = layer.weight
        self.down = nn.Parameter(weight.new_empty(rank, layer.in_features).normal_() / layer.in_features**0.5)
        self.up = nn.Parameter(weight.new_zeros(layer.out_features, rank))
        self.scale = scale / rank

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return `[..., out]` of `[..., in]`."""
        difference = nn.functional.linear(nn.functional.linear(input, self.down), self.up)
        return super().forward(input) + self.scale * difference


class TaskAdaptiveLinear(LowRankLinear):
    """Task-adaptive reparameterisation (TARP): `(P(x) * W) x + b + scale / rank * Q(x) x`, with `*` elementwise.

    Hou et al. 2022, "Meta-Learning the Difference" (TACL; arXiv:2207.03509), section 3: both matrices have a low rank,
    and a diagonal matrix between their factors that a small network computes from the layer's input:

        P(x) = 1 + gate_out diag(a(x)) gate_in    Q(x) = up diag(c(x)) down
        [a(x), c(x)] = 1 + expand relu(squeeze x)

    Departures: the constant 1 in `P` and in the diagonals, with zeros in `gate_out`, `up` and `expand` at first, so
    that the layer is unchanged at first and the first gradients are those of `LowRankLinear`; the diagonals belong to
    a token, not to a sequence; the bottleneck of the small network is as wide as the rank. The multiplied term takes
    `rank` products with W, and keeps `[..., rank, in]` values.

    `gate_in`, `[rank, in]`, and `squeeze`, `[rank, in]`, are initialised at random; `gate_out` is `[out, rank]` and
    `expand` `[2 * rank, rank]`. For the arguments see `LowRankLinear`.
    """

    factors: ClassVar[tuple[str, ...]] = (*LowRankLinear.factors, "gate_in", "gate_out", "squeeze", "expand")

    def __init__(self, layer: nn.Linear, rank: int, scale: float) -> None:
        super().__init__(layer, rank, scale)
        self.gate_in = nn.Parameter(torch.randn_like(self.down))
        self.gate_out = nn.Parameter(torch.zeros_like(self.up))
        self.squeeze = nn.Parameter(torch.randn_like(self.down) / layer.in_features**0.5)
        self.expand = nn.Parameter(self.down.new_zeros(2 * rank, rank))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Return `[..., out]` of `[..., in]`."""
        linear = nn.functional.linear
        gate, diagonal = (1 + linear(linear(input, self.squeeze).relu(), self.expand)).chunk(2, -1)
        gated = linear(input.unsqueeze(-2) * gate.unsqueeze(-1) * self.gate_in, self.weight)  # [..., rank, out]
        multiplied = (gated * self.gate_out.T).sum(-2)
        added = linear(linear(input, self.down) * diagonal, self.up)
        return linear(input, self.weight, self.bias) + multiplied + self.scale * added


_LAYERS: dict[Update, type[LowRankLinear]] = {"lora": LowRankLinear, "tarp": TaskAdaptiveLinear}


def add_low_rank(
    model: nn.Module, wanted: Iterable[str], rank: int, scale: float, option: str, update: Update = "lora"
) -> None:
    """Add low-rank factors to linear layers of a model, in place.

    Args:
        model: the model.
        wanted: parts of it (embeddings, body, head) or patterns of parameter names, as in `select`; only weights of
            linear layers count.
        rank: of the factors.
        scale: see `LowRankLinear`.
        option: name of the option that sets `wanted`, for messages.
        update: form of the update.

    Raises:
        ConfigError: no linear layer matches.
    """
    wanted = list(wanted)
    names = select(model, wanted, option)
    parameters = {id(model.get_parameter(name)) for name in names}
    results = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear and id(child.weight) in parameters
    ]
    if not results:
        raise ConfigError(f"{option}={wanted}: no linear layer is among {', '.join(sorted(names))}")
    for parent, name, child in results:
        setattr(parent, name, _LAYERS[update](child, rank, scale))


def factors(model: nn.Module) -> frozenset[str]:
    """Return the names of the low-rank factors of a model."""
    return frozenset(
        f"{name}.{factor}" if name else factor
        for name, module in model.named_modules()
        if isinstance(module, LowRankLinear)
        for factor in module.factors
    )
