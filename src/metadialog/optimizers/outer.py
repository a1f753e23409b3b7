"""The optimizers of the outer loop: PyTorch's, with their options checked."""

from collections.abc import Iterable
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le, Lt
from torch.nn import Parameter

from metadialog.options import FROM_YAML, with_defaults

Fraction = Annotated[float, Ge(0), Lt(1)]


@with_defaults
def adam(
    parameters: Iterable[Parameter],
    *,
    lr: Annotated[float, Gt(0), Le(1e4)] = FROM_YAML,
    beta1: Fraction = FROM_YAML,
    beta2: Fraction = FROM_YAML,
    weight_decay: Annotated[float, Ge(0), Le(1e3)] = FROM_YAML,
) -> torch.optim.Optimizer:
    """Kingma and Ba 2015 (arXiv:1412.6980); weight decay is added to the gradient."""
    return torch.optim.Adam(parameters, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)


@with_defaults
def adamw(
    parameters: Iterable[Parameter],
    *,
    lr: Annotated[float, Gt(0), Le(1e4)] = FROM_YAML,
    beta1: Fraction = FROM_YAML,
    beta2: Fraction = FROM_YAML,
    weight_decay: Annotated[float, Ge(0), Le(1e3)] = FROM_YAML,
) -> torch.optim.Optimizer:
    """Loshchilov and Hutter 2019 (arXiv:1711.05101); weight decay is decoupled from the gradient."""
    return torch.optim.AdamW(parameters, lr=lr, betas=(beta1, beta2), weight_decay=weight_decay)


@with_defaults
def sgd(
    parameters: Iterable[Parameter],
    *,
    lr: Annotated[float, Gt(0), Le(1e4)] = FROM_YAML,
    momentum: Fraction = FROM_YAML,
    weight_decay: Annotated[float, Ge(0), Le(1e3)] = FROM_YAML,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent; without momentum it is the outer update of the MAML paper."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
