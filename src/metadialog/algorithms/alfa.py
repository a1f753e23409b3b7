"""MAML whose inner learning rates and weight decay a small network generates for each task and step."""

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from metadialog.algorithms.base import some
from metadialog.algorithms.maml import MAML
from metadialog.engines.base import InnerLoop, MetaGradient
from metadialog.errors import ConfigError
from metadialog.inner.base import InnerRule, Memory, Rates, Tensors, clipped
from metadialog.inner.sgd import GradientDescent
from metadialog.options import FROM_YAML


class Generator(nn.Module):
    """Generate the inner learning rate and the weight decay of each adapted parameter.

    Two linear layers with a ReLU between them take the mean of each parameter and the mean of its gradient; the
    gradients are treated as constants. The outputs are multiplied by a learned rate and a learned decay for each inner
    step and parameter.

    Args:
        names: names of the adapted parameters.
        steps: number of inner steps with their own learned values; later steps use those of the last.
        rate: initial value of every learned rate.
        decay: initial value of every learned decay.
    """

    def __init__(self, names: Sequence[str], steps: int, rate: float, decay: float) -> None:
        super().__init__()
        self.names = tuple(names)
        width = 2 * len(names)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        nn.init.zeros_(self.output.weight)
        nn.init.ones_(self.output.bias)
        self.rates = nn.Parameter(torch.full((steps, len(names)), rate))
        self.decays = nn.Parameter(torch.full((steps, len(names)), decay))

    def forward(self, parameters: Tensors, gradients: Tensors, step: int) -> tuple[Tensors, Tensors]:
        """Return the rate and the decay, scalars by name of parameter.

        Args:
            parameters: the parameters before the step.
            gradients: gradients of the support loss; a missing one counts as zero.
            step: number of inner steps taken so far.
        """
        zero = self.rates.new_zeros(())
        state = [parameters[name].mean() for name in self.names]
        state += [gradients[name].detach().mean() if name in gradients else zero for name in self.names]
        of_rates, of_decays = self.output(self.hidden(torch.stack(state)).relu()).view(2, -1)  # [parameters] each
        row = min(step, len(self.rates) - 1)
        rates, decays = of_rates * self.rates[row], of_decays * self.decays[row]
        return dict(zip(self.names, rates, strict=True)), dict(zip(self.names, decays, strict=True))


class ALFAUpdate(InnerRule):
    """`(1 - decay) * theta - rate * gradient`, with rate and decay generated from theta and the gradient.

    Args:
        rule: the rule that supplies the choice of parameters, clipping and passes.
        generator: generates rates and decays; the rates are multiplied by those of the inner loop.
    """

    def __init__(self, rule: InnerRule, generator: Generator) -> None:
        super().__init__(
            adapted=rule.adapted, frozen=rule.frozen, clip_norm=rule.clip_norm, weight_decay=0.0, chunk=rule.chunk
        )
        self.generator = generator

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """The generator's parameters."""
        return tuple(self.generator.parameters())

    def changes(
        self, parameters: Tensors, gradients: Tensors, rates: Rates, memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """Return what to subtract from each parameter; see `InnerRule.changes`."""
        along = clipped(gradients, self.clip_norm)
        generated, decays = self.generator(parameters, along, memory.steps)
        changes = {
            name: decays[name] * parameters[name] + rates[name] * generated[name] * gradient
            for name, gradient in along.items()
        }
        return changes, Memory(memory.start, memory.steps + 1)

    def direction(self, gradients: Tensors, memory: Memory) -> tuple[Tensors, dict[str, Tensors]]:
        """Return the gradients."""
        return gradients, dict(memory.averages)


class ALFA(MAML):
    """Baik et al. 2020 (arXiv:2011.00209), "Meta-Learning with Adaptive Hyperparameters", section 3.

    `theta_(j+1) = beta_j * theta_j - alpha_j * grad L_i(theta_j; support)`, where a network that is learned with the
    initialisation generates alpha_j and beta_j for each parameter from the means of the parameters and of their
    gradients. They therefore depend on the task and on the progress of its adaptation. The form is that of the authors'
    released code: alpha is the output times a learned rate for each step and parameter, beta is `1 - generated *
    learned`; the learned rates start at `inner_lr`, the learned decays at `inner_lr * initial_decay`; the gradients
    enter the network as constants.

    Departures: the network starts by generating 1 for every task, so that the first inner steps are MAML's with that
    decay, where the released code starts from PyTorch's random initialisation; inner steps beyond those of training use
    the learned values of the last. The mean gradient of a softmax layer is zero for every task, so for the head the
    network only sees the weights.

    Args:
        tools: engine, inner rule and objectives; the inner rule must be gradient descent, as beta is the weight decay.
        inner_lr: initial value of every learned rate.
        first_order: treat the inner gradients as constants; the network is still learned.
        initial_decay: initial value of every learned decay, as a multiple of `inner_lr`.

    Raises:
        ConfigError: the inner rule is not gradient descent.
    """

    initial_decay: Annotated[float, Ge(0), Le(1e6)] = FROM_YAML
    rule: ALFAUpdate | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Check that the inner rule is gradient descent."""
        super().__post_init__()
        if not isinstance(self.tools.rule, GradientDescent) or self.tools.rule.weight_decay:
            raise ConfigError(
                f"inner: algorithm={self.name} generates the rates and the weight decay of gradient descent; choose "
                "inner=sgd, and leave inner.weight_decay=0"
            )

    def prepare(self, model: nn.Module) -> nn.Module:
        """Create the network for the adapted parameters."""
        adapted = self.adapted_parameters(model)
        names = [n for n, p in model.named_parameters() if p.requires_grad and (adapted is None or n in adapted)]
        some(frozenset(names), "inner.adapted, inner.frozen and training.frozen")
        decay = self.inner_lr * self.initial_decay
        self.learned = generator = Generator(names, self.inner_steps, self.inner_lr, decay)
        self.rule = ALFAUpdate(self.tools.rule, generator)
        return model

    def inner_loop(self, model: nn.Module, steps: int, scale: float = 1.0) -> InnerLoop:
        """Return the inner loop with the generated rates, each multiplied by `scale`."""
        inner = super().inner_loop(model, steps, scale)
        return inner if self.rule is None else replace(inner, rule=self.rule, lr=scale)

    def keep_gradients(self, result: MetaGradient) -> None:
        """Store the gradients of the network."""
        for parameter, gradient in zip(self.learned.parameters(), result.rule_gradients, strict=True):
            parameter.grad = gradient
