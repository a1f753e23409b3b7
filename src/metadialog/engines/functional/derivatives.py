"""First and second derivatives of the losses of several tasks."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

from metadialog.engines.functional.levels import Parameters

Losses = Callable[[Parameters, Parameters], Iterable[Tensor]]
"""Maps (parameters of each task, shared parameters) to parts of the losses of the tasks, `[tasks]`, which add up."""
Tensors = dict[str, Tensor]


class Tape(Protocol):
    """A pass over losses that provides first and second derivatives."""

    def losses(self) -> Tensor:
        """Return the losses, `[tasks]`."""
        ...

    def gradients(self) -> Tensors:
        """Return the gradients; see `Derivatives.gradients`."""
        ...

    def products(self, direction: Parameters) -> Tensors:
        """Return the derivative of the gradients along a direction of `adapted`; can be called once.

        Args:
            direction: direction of each task; zero for parameters that are not in it.
        """
        ...


class Derivatives:
    """Differentiates losses; remembers which method of second derivatives the operations of a model support.

    A Hessian-vector product is computed reverse over reverse, through the graph of the gradient. The graph of the last
    inner step, which is needed first, still exists, so that nothing is computed again. With limited memory it is
    computed forward over reverse: as the tangent of the gradient, which keeps the activations of one pass (Pearlmutter
    1994; Kemaev et al. 2025, MixFlow-MG), unless an operation has no forward derivative.
    """

    def __init__(self) -> None:
        self.has_forward = True

    def gradients(
        self, losses: Losses, adapted: Parameters, shared: Parameters, *, by_shared: bool = True
    ) -> tuple[Tensor, Tensors]:
        """Return the losses, `[tasks]`, and the gradients of those parameters that they depend on.

        Gradients of `adapted` are per task, `[tasks, ...]`; those of `shared`, if wanted, are summed over the tasks.
        """
        own, common = _leaves(adapted), _leaves(shared) if by_shared else dict(shared)
        total: Tensor | None = None
        result: Tensors = {}
        with torch.enable_grad():
            for part in losses(own, common):
                _add_up(result, _differentiate(part, {**own, **common} if by_shared else own))
                total = part.detach() if total is None else total + part.detach()
        assert total is not None  # noqa: S101 - there is no task without data
        return total, result

    def tape(self, losses: Losses, adapted: Parameters, shared: Parameters, *, short_of_memory: bool = False) -> Tape:
        """Return a tape, which provides both derivatives.

        Args:
            losses: losses to differentiate twice.
            adapted: parameters of each task.
            shared: parameters that the tasks share.
            short_of_memory: whether to keep less and compute more.
        """
        if short_of_memory and self.has_forward:
            return _Forward(self, losses, adapted, shared)
        return _Reverse(losses, adapted, shared)


class _Reverse:
    """Keeps the graph of the gradient, and differentiates it again."""

    def __init__(self, losses: Losses, adapted: Parameters, shared: Parameters) -> None:
        own, common = _leaves(adapted), _leaves(shared)
        self._leaves = {**own, **common}
        self._parts: list[Tensors] = []
        total: Tensor | None = None
        with torch.enable_grad():
            for part in losses(own, common):
                self._parts.append(_differentiate(part, self._leaves, create_graph=True))
                total = part.detach() if total is None else total + part.detach()
        assert total is not None  # noqa: S101 - there is no task without data
        self._losses = total

    def losses(self) -> Tensor:
        return self._losses

    def gradients(self) -> Tensors:
        result: Tensors = {}
        for part in self._parts:
            _add_up(result, {name: gradient.detach() for name, gradient in part.items()})
        return result

    def products(self, direction: Parameters) -> Tensors:
        products: Tensors = {}
        while self._parts:
            gradients = self._parts.pop(0)
            curved = [name for name in gradients if name in direction and gradients[name].requires_grad]
            if curved:
                along = [direction[name] for name in curved]
                _add_up(products, _differentiate([gradients[name] for name in curved], self._leaves, along))
        return products


class _Forward:
    """Keeps nothing, and computes the gradient again with its tangent."""

    def __init__(self, derivatives: Derivatives, losses: Losses, adapted: Parameters, shared: Parameters) -> None:
        self._derivatives = derivatives
        self._arguments = losses, adapted, shared
        self._known: tuple[Tensor, Tensors] | None = None

    def _gradients(self) -> tuple[Tensor, Tensors]:
        if self._known is None:
            self._known = self._derivatives.gradients(*self._arguments)
        return self._known

    def losses(self) -> Tensor:
        return self._gradients()[0]

    def gradients(self) -> Tensors:
        return self._gradients()[1]

    def products(self, direction: Parameters) -> Tensors:
        try:
            return _forward_over_reverse(*self._arguments, direction)
        except (NotImplementedError, RuntimeError) as error:
            if "forward" not in str(error):
                raise
            self._derivatives.has_forward = False
        return _Reverse(*self._arguments).products(direction)


def _forward_over_reverse(losses: Losses, adapted: Parameters, shared: Parameters, direction: Parameters) -> Tensors:
    products: Tensors = {}
    _load_forward_derivatives()
    with forward_ad.dual_level(), torch.enable_grad():
        # Contiguous, as a tangent has the layout of its primal, and the initialisation is expanded over the tasks.
        own = _leaves({name: value.contiguous() for name, value in adapted.items()})
        common = _leaves(shared)
        moving = {name: _dual(p, direction[name]) if name in direction else p for name, p in own.items()}
        for part in losses(moving, common):
            for name, gradient in _differentiate(part, {**moving, **common}).items():
                tangent = forward_ad.unpack_dual(gradient).tangent  # type: ignore[no-untyped-call]
                if tangent is not None:
                    _add_up(products, {name: tangent})
    return products


def _dual(primal: Tensor, tangent: Tensor) -> Tensor:
    result: Tensor = forward_ad.make_dual(primal, tangent)  # type: ignore[no-untyped-call]
    return result


@cache
def _load_forward_derivatives() -> None:
    """Let torch load its forward mode, without the warning about a deprecated part of torch."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", FutureWarning)
        _dual(torch.zeros(()), torch.zeros(()))


def _leaves(parameters: Parameters) -> Tensors:
    return {name: value.detach().requires_grad_() for name, value in parameters.items()}


def _differentiate(
    outputs: Tensor | Sequence[Tensor],
    inputs: Mapping[str, Tensor],
    along: Sequence[Tensor] | None = None,
    *,
    create_graph: bool = False,
) -> Tensors:
    """Return the derivatives of a sum of outputs with respect to those inputs that they depend on."""
    outputs = [outputs.sum()] if isinstance(outputs, Tensor) else outputs
    if not inputs or not any(output.requires_grad for output in outputs):
        return {}
    result = torch.autograd.grad(outputs, list(inputs.values()), along, create_graph=create_graph, allow_unused=True)
    return {name: value for name, value in zip(inputs, result, strict=True) if value is not None}


def _add_up(totals: Tensors, parts: Mapping[str, Tensor]) -> None:
    for name, part in parts.items():
        totals[name] = totals[name] + part if name in totals else part
