"""A counter of the floating-point operations of the matrix products that torch executes."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


def _matrices(a: Tensor, b: Tensor) -> int:
    """Count `a @ b`, `[..., n, k] @ [..., k, m]`: a multiplication and an addition for each of `n * k * m`."""
    return 2 * a.numel() * b.shape[-1]


def _vector(a: Tensor, b: Tensor) -> int:
    """Count `a @ b` for a matrix `[n, k]` and a vector, or for two vectors."""
    return 2 * max(a.numel(), b.numel())


def _recurrent(inputs: Tensor, *weights: Tensor) -> int:
    """Count a recurrent layer of oneDNN, `[time, batch, width]`, whose first two weights are matrices."""
    return 2 * prod(inputs.shape[:-1]) * (weights[0].numel() + weights[1].numel())


# By name, as `aten.mm`, `aten.mm.out` and `aten.mm_` are the same product: its operands, and how to count it.
_PRODUCTS: Mapping[str, tuple[slice, Callable[..., int], int]] = {
    "mm": (slice(0, 2), _matrices, 1),
    "bmm": (slice(0, 2), _matrices, 1),
    "addmm": (slice(1, 3), _matrices, 1),
    "addmm_": (slice(1, 3), _matrices, 1),
    "baddbmm": (slice(1, 3), _matrices, 1),
    "baddbmm_": (slice(1, 3), _matrices, 1),
    "addbmm": (slice(1, 3), _matrices, 1),
    "addbmm_": (slice(1, 3), _matrices, 1),
    "mv": (slice(0, 2), _vector, 1),
    "dot": (slice(0, 2), _vector, 1),
    "addmv": (slice(1, 3), _vector, 1),
    "addmv_": (slice(1, 3), _vector, 1),
    "mkldnn_rnn_layer": (slice(0, 3), _recurrent, 1),
    "mkldnn_rnn_layer_backward": (slice(0, 3), _recurrent, 2),
}


class OperationCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations while it is entered, on every device, including in-place ones and those with `out=`.

    `torch.utils.flop_counter.FlopCounterMode` omits products that are written into a tensor or added to one in place.
    For other products (attention, convolution), torch's own formulas are used. Elementwise operations are not counted.

    Attributes:
        total: number of floating-point operations; a multiplication and an addition count as two.
        by_kind: the same by type of product.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return True, as nothing here is compiled, to save torch a check at each operation."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_kind: dict[str, int] = {}

    @property
    def total(self) -> int:
        """Floating-point operations so far."""
        return sum(self.by_kind.values())

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch has no type for it
        types: Any,  # noqa: ANN401
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Execute an operation, and count it."""
        result = func(*args, **(kwargs or {}))
        packet = func._overloadpacket  # noqa: SLF001 - how torch's own counter tells operations apart
        name = packet.__name__
        if name in _PRODUCTS:
            operands, count, times = _PRODUCTS[name]
            self._add(name, times * count(*args[operands]))
        elif packet in flop_registry:
            self._add(name, int(flop_registry[packet](*args, **(kwargs or {}), out_val=result)))
        return result

    def _add(self, name: str, operations: int) -> None:
        self.by_kind[name] = self.by_kind.get(name, 0) + operations
