"""Algorithms that adapt low-rank factors of linear layers, for models of any size."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Len
from torch import nn

from metadialog.algorithms.base import GradientAlgorithm
from metadialog.algorithms.baselines import FineTuning
from metadialog.algorithms.maml import MAML
from metadialog.algorithms.meta_sgd import MetaSGD
from metadialog.algorithms.reptile import Reptile
from metadialog.errors import ConfigError
from metadialog.models.low_rank import Update, add_low_rank, factors
from metadialog.options import FROM_YAML

Base = Literal["auto", "frozen", "trained"]
"""What the outer loop does with the weights that are not adapted; `auto` freezes those of a pretrained model."""


def settle_base(model: nn.Module, base: Base) -> None:
    """Freeze the parameters of a model if `base` says so."""
    if base == "frozen" or (base == "auto" and getattr(model, "is_pretrained", False)):
        model.requires_grad_(requires_grad=False)


class LowRankFactors(GradientAlgorithm):
    """Base class of algorithms that adapt low-rank factors of linear layers.

    Hu et al. 2022, LoRA (arXiv:2106.09685), equation 3: a task's weights are `W + scale / rank * up down`, and the
    inner loop changes only `up` and `down`. A task then takes no more memory than its factors. (`algorithm=low_rank`
    adapts updates of any matrices, including those of recurrent layers.)

    Args:
        layers: linear layers with factors: parts of the model (embeddings, body, head) or patterns of parameter
            names.
        rank: rank of the factors.
        scale: alpha in the paper.
        update: form of the update: `lora`, as above, or `tarp`, in which a task also multiplies W elementwise and a
            small network makes both changes depend on the layer's input (`TaskAdaptiveLinear`); that takes as many
            more products with W as the rank.
        base: whether the outer loop also trains the weights.
    """

    layers: Annotated[list[str], Len(1)] = FROM_YAML
    rank: Annotated[int, Ge(1), Le(10**5)] = FROM_YAML
    scale: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML
    update: Update = FROM_YAML
    base: Base = FROM_YAML

    def __post_init__(self) -> None:
        """Check that the inner rule does not select parameters."""
        super().__post_init__()
        if self.tools.rule.adapted is not None or self.tools.rule.frozen:
            raise ConfigError(
                f"inner.adapted and inner.frozen: algorithm={self.name} adapts only low-rank factors; "
                "leave both at their defaults, and see algorithm.layers"
            )

    def prepare(self, model: nn.Module) -> nn.Module:
        """Add the factors to the layers.

        Raises:
            ConfigError: no linear layer matches `layers`.
        """
        settle_base(model, self.base)
        add_low_rank(model, self.layers, self.rank, self.scale, "algorithm.layers", self.update)
        return super().prepare(model)

    def adapted_parameters(self, model: nn.Module) -> frozenset[str] | None:
        """Return the names of the factors."""
        return factors(model)


class LowRankMAML(LowRankFactors, MAML):
    """MAML of low-rank factors: Hou et al. 2022, "Meta-Learning the Difference" (TACL), section 3.

    With `update=tarp` in the paper's form, otherwise in LoRA's.
    """


class LowRankReptile(LowRankFactors, Reptile):
    """Reptile of low-rank factors: the outer gradient is `mean_i (phi - phi_i')` of the factors phi.

    The other weights do not change in a task and so have no such gradient: they are frozen.
    """

    base = "frozen"


class LowRankMetaSGD(LowRankFactors, MetaSGD):
    """Meta-SGD of low-rank factors: an inner learning rate for each of their weights is learned."""


class LowRankFineTuning(LowRankFactors, FineTuning):
    """Joint training of the factors (and of the base, if it is not frozen), then fine-tuning of the factors."""
