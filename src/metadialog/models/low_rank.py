"""Low-rank factors for the linear layers of any model."""

from collections.abc import Iterable

from torch import Tensor, nn

from metadialog.errors import ConfigError
from metadialog.models.parts import select


class LowRankLinear(nn.Linear):
    """Hu et al. 2022, LoRA (arXiv:2106.09685), section 4.1: `W x + b + scale / rank * up down x`.

    `down`, `[rank, in]`, is initialised at random and `up`, `[out, rank]`, with zeros, so that the layer is unchanged
    at first.

    Args:
        layer: the linear layer; its weight and bias remain the same parameters.
        rank: rank of the update.
        scale: alpha; the update is multiplied by alpha divided by the rank.
    """

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


def add_low_rank(model: nn.Module, wanted: Iterable[str], rank: int, scale: float, option: str) -> None:
    """Add low-rank factors to linear layers of a model, in place.

    Args:
        model: the model.
        wanted: parts of it (embeddings, body, head) or patterns of parameter names, as in `select`; only weights of
            linear layers count.
        rank: of the factors.
        scale: see `LowRankLinear`.
        option: name of the option that sets `wanted`, for messages.

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
        setattr(parent, name, LowRankLinear(child, rank, scale))


def factors(model: nn.Module) -> frozenset[str]:
    """Return the names of the low-rank factors of a model."""
    return frozenset(
        f"{name}.{factor}" if name else factor
        for name, module in model.named_modules()
        if isinstance(module, LowRankLinear)
        for factor in ("down", "up")
    )
