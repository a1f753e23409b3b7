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
"""Returns replies to a context, taken from some exchanges, the best first; none if it finds none."""


@dataclass(frozen=True, slots=True)
class OuterStep:
    """The losses of one meta-batch, in nats a token.

    Attributes:
        loss: the outer objective, whose gradient is in the parameters' `.grad`.
        support_loss: mean over tasks of the support loss before adaptation.
        query_loss: mean over tasks of the query loss that the algorithm trains on.
        size: what these figures and the gradient are means over, such as tokens; None for the number of tasks. Two
            parts of a meta-batch, computed apart, are put together in proportion to it.
        reduction: whether `loss` and its gradient are such means, or sums.
        tokens: tokens of the support and of the query sets that `Algorithm.passes` counts passes over; None for all of
            the meta-batch's.
    """

    loss: float
    support_loss: float
    query_loss: float
    size: float | None = None
    reduction: Literal["mean", "sum"] = "mean"
    tokens: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Passes:
    """How often an outer step goes over the sets of its meta-batch, for the account of what training costs.

    Attributes:
        support: passes of gradients over the support sets.
        hessian_products: Hessian-vector products over the support sets.
        query: passes of gradients over the query sets.
    """

    support: int
    hessian_products: int
    query: int


@dataclass(frozen=True, slots=True)
class Tools:
    """What an algorithm works with.

    Attributes:
        engine: computes the meta-gradient, and adapts.
        rule: how the inner loop changes the parameters.
        objectives: what the two levels minimise.
    """

    engine: Engine = field(default_factory=AutoEngine)
    rule: InnerRule = PLAIN
    objectives: Objectives = LIKELIHOOD

    @property
    def graphs(self) -> Graphs | None:
        """What records steps on a GPU, if the engine does."""
        return getattr(self.engine, "graphs", None)


class Algorithm(Options, ABC):
    """What `conf/algorithm/*.yaml` names.

    A subclass declares its options as annotated attributes (see `metadialog.options.Options`), and checks them in
    `__post_init__`.

    Args:
        tools: what it works with.
        name: the name in records, tables and charts.

    Attributes:
        learned: what the outer loop learns beside the model, such as learning rates, as parameters; and whatever else
            training changes, such as counters, as buffers. Made by `prepare`; checkpoints and exported models hold it.
        inner_steps: steps of adaptation to a task, in validation and wherever no other number is asked for.
        trains: whether there is an outer loop at all.
        additive: whether the outer gradient of a meta-batch is the mean, or the sum, of those of its tasks, so that
            several processes can share it. It is not where tasks are weighted by how they compare with each other. A
            class that overrides `outer_step` has to declare it again: until then it is None, and several processes are
            refused.
        caches: names of attributes that training may change though no checkpoint holds them, as no result depends on
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
        """Check the options, and make what depends on them.

        Raises:
            ConfigError: some of them do not go together.
        """

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return the model to train, and make what is learned beside it; called once, before all else.

        Most algorithms take the model as it is; some extend it by parameters that they adapt.
        """
        return model

    def check(self, model: nn.Module) -> None:
        """Check, before anything starts, that it can learn a model with its tools.

        Args:
            model: as `prepare` returned it; may be on the device "meta".

        Raises:
            ConfigError: it cannot.
        """

    def check_processes(self, processes: int) -> None:
        """Check that so many processes can share the tasks of a meta-batch; see `additive`.

        Raises:
            ConfigError: they cannot, or nobody has said so.
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
        """Return what of a held-out episode the model is adapted to; None if there is nothing.

        By default that is the support set. `episode.others()` is more: all of the topic's dialogues but the query's.
        """
        return episode.support

    def retriever(self) -> Retriever | None:
        """Return what takes replies from the exchanges that are adapted to; None if the adapted model generates them.

        An exported model of an algorithm that has one holds the dialogues that it was adapted to.
        """
        return None

    @abstractmethod
    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Put the gradient of the outer objective over a meta-batch into the parameters' `.grad`.

        Args:
            model: as `prepare` returned it.
            episodes: the meta-batch.
            step: outer steps that were taken before.
        """

    @abstractmethod
    def passes(self, step: int) -> Passes:
        """Return what an outer step goes over, after some outer steps."""

    @abstractmethod
    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        """Yield the model after 0, 1, ..., `steps` inner steps on a support set.

        Step 0 is the model as it was learned. With no support set, or for an algorithm that does not adapt,
        step 0 is all there is. No graph is kept; each step reuses the one copy.

        Args:
            model: as `prepare` returned it.
            support: the support set.
            steps: inner steps.
            scale: what the inner learning rates are multiplied by.
        """

    def adapt_together(
        self,
        model: nn.Module,  # noqa: ARG002
        supports: Sequence[Batch | None],  # noqa: ARG002
        steps: int,  # noqa: ARG002
        scale: float = 1.0,  # noqa: ARG002
    ) -> Iterator[SideBySide] | None:
        """Yield what `adapt` does for several support sets in one pass; None if that cannot be done.

        Raises:
            RuntimeError: while it is iterated: an operation of the model cannot be done for several tasks at once.
        """
        return None


def some(names: frozenset[str], options: str) -> frozenset[str]:
    """Return the names of what is adapted.

    Raises:
        ConfigError: there are none.
    """
    if not names:
        raise ConfigError(f"{options}: leave no parameter to adapt; algorithm=zero_shot does not adapt")
    return names


class GradientAlgorithm(Algorithm):
    """An algorithm that adapts by some steps of the inner rule.

    Args:
        inner_lr: the inner learning rate, alpha.
        inner_steps: inner steps in training and validation.
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
        """Return the inner loop for a number of steps, as the outer loop differentiates it."""
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
    """Return the rule, with as many exchanges in a pass as memory takes where it leaves that open."""
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
