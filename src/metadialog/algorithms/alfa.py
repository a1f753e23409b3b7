"""MAML whose inner learning rates and weight decay a small network generates for each task and step."""

from collections.abc import Sequence
from dataclasses import field, replace

import torch
from torch import Tensor, nn

from metadialog.algorithms.base import some
from metadialog.algorithms.maml import MAML
from metadialog.engines.base import InnerLoop, MetaGradient
from metadialog.errors import ConfigError
from metadialog.inner.base import InnerRule, Memory, Rates, Tensors, clipped
from metadialog.inner.sgd import GradientDescent


class Generator(nn.Module):
    """Generates a factor of the inner rate, and one of the weights, for each adapted parameter.

    Two linear layers with a ReLU between see the mean of each parameter and that of its gradient; what comes of them is
    multiplied by a learned number for each inner step and parameter. All factors start as 1, whatever the task.

    Args:
        names: of the adapted parameters.
        steps: inner steps with numbers of their own; steps beyond have those of the last.
    """

    def __init__(self, names: Sequence[str], steps: int) -> None:
        super().__init__()
        self.names = tuple(names)
        width = 2 * len(names)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        nn.init.zeros_(self.output.weight)
        nn.init.ones_(self.output.bias)
        self.scales = nn.Parameter(torch.ones(steps, 2, len(names)))

    def forward(self, parameters: Tensors, gradients: Tensors, step: int) -> tuple[Tensors, Tensors]:
        """Return the factors of the rate and of the weights, scalars by name of parameter.

        Args:
            parameters: before the step.
            gradients: of the support loss; one that is not there counts as zero.
            step: inner steps that were taken before.
        """
        nothing = self.scales.new_zeros(())
        state = [parameters[name].mean() for name in self.names]
        state += [gradients[name].mean() if name in gradients else nothing for name in self.names]
        generated = self.output(self.hidden(torch.stack(state)).relu()).view(2, -1)  # [2, parameters]
        rate, kept = generated * self.scales[min(step, len(self.scales) - 1)]
        return dict(zip(self.names, rate, strict=True)), dict(zip(self.names, kept, strict=True))


class ALFAUpdate(InnerRule):
    """`beta * theta - alpha * gradient`, where alpha and beta are generated from theta and the gradient.

    Args:
        rule: whose choice of parameters, clipping and passes these steps have.
        generator: of the factors; alpha is the inner rate times its own, beta the other.
    """

    def __init__(self, rule: InnerRule, generator: Generator) -> None:
        super().__init__(
            adapted=rule.adapted, frozen=rule.frozen, clip_norm=rule.clip_norm, weight_decay=0.0, chunk=rule.chunk
        )
        self.generator = generator

    @property
    def learned(self) -> tuple[Tensor, ...]:
        """What the generator is made of."""
        return tuple(self.generator.parameters())

    def changes(
        self, parameters: Tensors, gradients: Tensors, rates: Rates, memory: Memory
    ) -> tuple[dict[str, Tensor], Memory]:
        """Return what to subtract from each parameter; see `InnerRule.changes`."""
        along = clipped(gradients, self.clip_norm)
        alpha, beta = self.generator(parameters, along, memory.steps)
        changes = {
            name: (1 - beta[name]) * parameters[name] + rates[name] * alpha[name] * gradient
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
    their gradients: so they depend on the task and on how far its adaptation has come. As the paper has it, both are
    multiplied by learned numbers of each step and parameter. The network starts so that all of this is MAML.

    The mean gradient of a softmax layer is zero, whatever the task: of the head the network sees the weights alone.

    Args:
        tools: the inner rule has to be gradient descent, as beta is the weight decay.
        inner_lr: where every alpha starts.
        first_order: take the inner gradients as constants; the network is learned all the same.

    Raises:
        ConfigError: the inner rule is another.
    """

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
        self.learned = generator = Generator(names, self.inner_steps)
        self.rule = ALFAUpdate(self.tools.rule, generator)
        return model

    def inner_loop(self, model: nn.Module, steps: int, scale: float = 1.0) -> InnerLoop:
        """Return the inner loop with the generated rates, each multiplied by `scale`."""
        inner = super().inner_loop(model, steps, scale)
        return inner if self.rule is None else replace(inner, rule=self.rule)

    def keep_gradients(self, result: MetaGradient) -> None:
        """Keep the gradients of the network."""
        for parameter, gradient in zip(self.learned.parameters(), result.rule_gradients, strict=True):
            parameter.grad = gradient
