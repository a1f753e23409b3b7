"""Peak memory by kind of tensor."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WEIGHTS, LOGITS, FEATURES = "weights, gradients and their tangents", "logits and their slopes", "features of tokens"

_EXACT = 1.01
"""Freed tensors are searched for when memory may exceed the peak so far by this factor, as searching takes time."""


class LiveStorages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within the context, tracks the tensors that operations create until they are freed.

    Args:
        model: tensors with the shape of one of its parameters, once or per task, count as weights.
        tasks: number of tasks in the meta-batch.
        vocabulary: tensors with as many columns count as logits.

    Attributes:
        peak: bytes of each kind at the moment of the largest total, to within one percent.
    """

    def __init__(self, model: nn.Module, tasks: int, vocabulary: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = dict.fromkeys((WEIGHTS, LOGITS, FEATURES), 0)
        self._vocabulary = vocabulary
        self._widths = {tuple(p.shape) for p in model.parameters()}
        self._of_tasks = {(count, *shape) for shape in self._widths for count in range(1, tasks + 1)}
        self._there = {p.untyped_storage()._cdata for p in model.parameters()}  # noqa: SLF001 - its identity
        self._now = dict(self.peak)
        self._live: dict[int, tuple[StorageWeakRef, int, str]] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Execute an operation, and record the tensors that it created."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._note(tensor)
        if sum(self._now.values()) > _EXACT * sum(self.peak.values()):
            self._forget_freed()
            if sum(self._now.values()) > sum(self.peak.values()):
                self.peak = dict(self._now)
        return result

    def _forget_freed(self) -> None:
        self._live = {key: entry for key, entry in self._live.items() if not _is_gone(entry[0])}
        self._now = dict.fromkeys(self.peak, 0)
        for _, size, kind in self._live.values():
            self._now[kind] += size

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001
        if key not in self._there and (key not in self._live or _is_gone(self._live[key][0])):
            reference = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
            if key in self._live:  # its address was reused
                _, size, kind = self._live[key]
                self._now[kind] -= size
            self._now[self._kind(tensor)] += storage.nbytes()
            self._live[key] = (reference, storage.nbytes(), self._kind(tensor))

    def _kind(self, tensor: Tensor) -> str:
        shape = tuple(tensor.shape)
        if shape in self._widths or shape in self._of_tasks:
            return WEIGHTS
        return LOGITS if shape[-1:] == (self._vocabulary,) else FEATURES


def _is_gone(reference: StorageWeakRef) -> bool:
    return bool(reference.expired())  # type: ignore[no-untyped-call]
