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
    """Generates the inner rate and the weight decay of each adapted parameter.

    Two linear layers with a ReLU between them see the mean of each parameter and that of its gradient, which count as
    constants in the case of the gradients. What they generate is multiplied by a learned rate, and a learned decay, of
    each inner step and parameter.

    Args:
        names: of the adapted parameters.
        steps: inner steps with learned numbers of their own; steps beyond have those of the last.
        rate: where every learned rate starts.
        decay: where every learned decay starts.
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
            parameters: before the step.
            gradients: of the support loss; one that is not there counts as zero.
            step: inner steps that were taken before.
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
        rule: whose choice of parameters, clipping and passes these steps have.
        generator: of rates and decays; the rates are multiplied by those of the inner loop.
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
    initialisation generates alpha_j and beta_j, one of each for a parameter, from the means of the parameters and of
    their gradients: so they depend on the task and on how far its adaptation has come. The form is that of the
    authors' released code: alpha is what is generated times a learned rate of each step and parameter, beta is
    `1 - generated * learned`; the learned rates start at `inner_lr`, the learned decays at `inner_lr * initial_decay`;
    the gradients enter the network as constants.

    Departures: the network starts by generating 1 for every task, so that the first inner steps are MAML's with that
    decay, where the released code starts from PyTorch's random initialisation; inner steps beyond those of training
    have the learned numbers of the last. The mean gradient of a softmax layer is zero, whatever the task: of the head
    the network sees the weights alone.

    Args:
        tools: the inner rule has to be gradient descent, as beta is the weight decay.
        inner_lr: where every learned rate starts.
        first_order: take the inner gradients as constants; the network is learned all the same.
        initial_decay: where every learned decay starts, as a multiple of `inner_lr`.

    Raises:
        ConfigError: the inner rule is another.
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
        """Make the network, for the parameters that are adapted."""
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
        """Keep the gradients of the network."""
        for parameter, gradient in zip(self.learned.parameters(), result.rule_gradients, strict=True):
            parameter.grad = gradient
