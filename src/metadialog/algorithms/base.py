"""What every algorithm does: say what is learned in the outer loop, and how a task is adapted to."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen
from torch import Tensor, nn

from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import Engine, InnerLoop
from metadialog.engines.functional.adaptation import SideBySide, adapt_together, side_by_side
from metadialog.engines.graphs import Graphs
from metadialog.episodes import Batch, Episode, Exchange
from metadialog.errors import ConfigError
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import PLAIN
from metadialog.models.parts import select
from metadialog.models.protocol import rows_at_once
from metadialog.objectives.base import LIKELIHOOD, Objectives
from metadialog.options import FROM_YAML, Options

Retriever = Callable[[str, Sequence[Exchange]], Sequence[str]]
"""Returns replies to a context, taken from the given exchanges, best first; empty if there is none."""


@dataclass(frozen=True, slots=True)
class OuterStep:
    """The losses of one meta-batch, in nats per token.

    Attributes:
        loss: the outer objective; its gradient is in the parameters' `.grad`.
        support_loss: support loss before adaptation, mean over tasks.
        query_loss: query loss that the algorithm trains on, mean over tasks.
        size: number of units, such as tokens, that these values and the gradient are means over; None for the number of
            tasks. Parts of a meta-batch that are computed separately are weighted by it.
        reduction: whether `loss` and its gradient are means or sums.
        tokens: number of support and of query tokens that `Algorithm.passes` refers to; None for all of the meta-batch.
    """

    loss: float
    support_loss: float
    query_loss: float
    size: float | None = None
    reduction: Literal["mean", "sum"] = "mean"
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Passes:
    """How many passes an outer step makes over its meta-batch, from which the cost of training is computed.

    Attributes:
        support: gradient passes over the support sets.
        hessian_products: Hessian-vector products over the support sets.
        query: gradient passes over the query sets.
    """

    support: int
    hessian_products: int
    query: int


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts that an algorithm is composed of.

    Attributes:
        engine: computes the meta-gradient, and adapts.
        rule: updates the parameters in the inner loop.
        objectives: losses that the inner and the outer loop minimise.
    """

    engine: Engine = field(default_factory=AutoEngine)
    rule: InnerRule = PLAIN
    objectives: Objectives = LIKELIHOOD

    @property
    def graphs(self) -> Graphs | None:
        """What records steps on a GPU, if the engine does."""
        return getattr(self.engine, "graphs", None)


class Algorithm(Options, ABC):
    """Base class of the algorithms that `conf/algorithm/*.yaml` names.

    A subclass declares its options as annotated attributes (see `metadialog.options.Options`), and checks them in
    `__post_init__`.

    Args:
        tools: engine, inner rule and objectives.
        name: the name in records, tables and charts.

    Attributes:
        learned: what the outer loop learns in addition to the model, such as learning rates, as parameters, and any
            other state that training changes, such as counters, as buffers. Created by `prepare`; saved in checkpoints
            and exported models.
        inner_steps: default number of inner steps, also used in validation.
        trains: whether the algorithm has an outer loop.
        additive: whether the outer gradient of a meta-batch is the mean or the sum of its tasks' gradients, so that
            several processes can share it. False if the weight of a task depends on the other tasks. A class that
            overrides `outer_step` must declare it again; until then it is None and training with several processes is
            refused.
        caches: names of attributes that training may change but that checkpoints need not hold, as no result depends on
            them.
    """

    tools: Tools = field(default_factory=Tools, kw_only=False)
    name: Annotated[str, MinLen(1)] = FROM_YAML
    learned: nn.Module = field(default_factory=nn.Module, init=False)

    inner_steps = 0
    trains = True
    additive: ClassVar[bool | None] = None
    caches: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        if "outer_step" in vars(cls) and "additive" not in vars(cls):
            cls.additive = None  # the parent's declaration is about the parent's outer step

    def __post_init__(self) -> None:
        """Check the options, and compute what depends on them.

        Raises:
            ConfigError: options are incompatible.
        """

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return the model to train, and create what is learned in addition to it; called once, before anything else.

        Most algorithms return the model unchanged; some add parameters that they adapt.
        """
        return model

    def check(self, model: nn.Module) -> None:
        """Check before training that the algorithm can train this model with its tools.

        Args:
            model: as returned by `prepare`; may be on the device "meta".

        Raises:
            ConfigError: it cannot be trained.
        """

    def check_processes(self, processes: int) -> None:
        """Check that this number of processes can share the tasks of a meta-batch; see `additive`.

        Raises:
            ConfigError: they cannot, or the class does not declare it.
        """
        if processes == 1 or self.additive:
            return
        if self.additive is not None:
            raise ConfigError(
                f"algorithm={self.name}: weighs the tasks of a meta-batch against each other, so that {processes} "
                "processes cannot share it; train in one process"
            )
        owner = next(kind for kind in type(self).__mro__ if "outer_step" in vars(kind))
        raise ConfigError(
            f"algorithm={self.name}: {owner.__name__} has an outer_step of its own, and does not say whether "
            f"{processes} processes can share the tasks of a meta-batch; train in one process, or declare "
            "`additive = True` in the class if its gradient is the mean or the sum over tasks of what each gives alone"
        )

    def adapts_to(self, episode: Episode) -> Batch | None:
        """Return the batch of a held-out episode that the model is adapted to; None without one.

        This is the support set by default. `episode.others()` holds all dialogues of the topic except the query's.
        """
        return episode.support

    def retriever(self) -> Retriever | None:
        """Return a function that selects replies from support exchanges; None if the adapted model generates replies.

        With a retriever, an exported model includes the dialogues that it was adapted to.
        """
        return None

    @abstractmethod
    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Put the gradient of the outer objective over a meta-batch into the parameters' `.grad`.

        Args:
            model: as returned by `prepare`.
            episodes: the meta-batch.
            step: number of outer steps taken so far.
        """

    @abstractmethod
    def passes(self, step: int) -> Passes:
        """Return the passes of the outer step that follows `step` earlier ones."""

    @abstractmethod
    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `steps` inner steps on a support set.

        Step 0 is the trained model. Without a support set, or if the algorithm does not adapt, only step 0 is yielded.
        No graph is kept; all steps share one copy of the model.

        Args:
            model: as returned by `prepare`.
            support: the support set.
            steps: number of inner steps.
            scale: factor of the inner learning rates.
        """

    def adapt_together(
        self,
        model: nn.Module,  # noqa: ARG002
        supports: Sequence[Batch | None],  # noqa: ARG002
        steps: int,  # noqa: ARG002
        scale: float = 1.0,  # noqa: ARG002
    ) -> Iterator[SideBySide] | None:
        """Yield what `adapt` does, for several support sets in one pass; None if that is not possible.

        Raises:
            RuntimeError: during iteration, if an operation of the model cannot be vectorised over tasks.
        """
        return None


def some(names: frozenset[str], options: str) -> frozenset[str]:
    """Return the names of the adapted parameters.

    Raises:
        ConfigError: there are none.
    """
    if not names:
        raise ConfigError(
            f"{options}: leave no parameter to adapt; to train without adaptation, choose algorithm=zero_shot"
        )
    return names


class GradientAlgorithm(Algorithm):
    """Base class of algorithms that adapt with steps of the inner rule.

    Args:
        inner_lr: the inner learning rate, alpha.
        inner_steps: number of inner steps in training and validation.
    """

    inner_lr: Annotated[float, Gt(0), Le(1e6)] = FROM_YAML
    inner_steps: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML

    def adapted_parameters(self, model: nn.Module) -> frozenset[str] | None:
        """Return the names of the parameters that the inner loop changes; None for all."""
        rule = self.tools.rule
        if rule.adapted is None and not rule.frozen:
            return None
        names = select(model, ["*"] if rule.adapted is None else rule.adapted, "inner.adapted")
        return some(names - select(model, rule.frozen, "inner.frozen"), "inner.adapted and inner.frozen")

    def inner_loop(self, model: nn.Module, steps: int, scale: float = 1.0) -> InnerLoop:
        """Return the inner loop for a number of steps, which the outer loop differentiates through."""
        return InnerLoop(
            self.inner_lr * scale,
            steps,
            adapted=self.adapted_parameters(model),
            rule=_within_memory(self.tools.rule, model),
            support_objective=self.tools.objectives.inner,
        )

    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `steps` inner steps; see `Algorithm.adapt`."""
        if support is None:
            yield model
        else:
            inner = self.inner_loop(model, steps, scale)
            yield from self.tools.engine.adapt(model, self.tools.objectives.inner, support, inner)

    def adapt_together(
        self, model: nn.Module, supports: Sequence[Batch | None], steps: int, scale: float = 1.0
    ) -> Iterator[SideBySide] | None:
        """Yield what `adapt` does for several support sets in one pass; see `Algorithm.adapt_together`."""
        known = [support for support in supports if support is not None]
        if type(self).adapt is not GradientAlgorithm.adapt or (known and len(known) < len(supports)):
            return None
        if not known:
            return iter([side_by_side(model, len(supports))])
        inner = self.inner_loop(model, steps, scale)
        return adapt_together(model, self.tools.objectives.inner, known, inner, self.tools.graphs)


def _within_memory(rule: InnerRule, model: nn.Module) -> InnerRule:
    """Return the rule; if it sets no number of exchanges for a pass, with the most that fit into memory."""
    rows = rows_at_once(model)
    if rule.chunk is not None or rows is None:
        return rule
    sized = copy.copy(rule)
    sized.chunk = rows
    return sized


def assign_gradients(model: nn.Module, gradients: Sequence[Tensor]) -> None:
    """Make `gradients` the `.grad` of the model's trainable parameters, in their order."""
    trainable = (parameter for parameter in model.parameters() if parameter.requires_grad)
    for parameter, gradient in zip(trainable, gradients, strict=True):
        parameter.grad = gradient
