"""Steps as CUDA graphs: their kernels are recorded once for each shape, and replayed as a whole.

A meta-step of a small model is hundreds of small kernels, and launching each takes longer than running it. A graph is
launched at once. It uses the memory that it was recorded with, so arguments are copied in and results copied out. A
recorded function must not read values of tensors on the host, and its random numbers are drawn beforehand.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

WARM_UPS = 3
"""Calls before a recording, as cuBLAS sets up its workspaces in the first ones."""
MOST = 48
"""Maximum number of graphs of an engine; each keeps the memory of a step's arguments and results."""

Function = Callable[[Any], Any]
"""Maps a nested structure of tensors to another one."""
Replay = Callable[[Any], Any]

log = logging.getLogger(__name__)


class Record(Protocol):
    """Records what a function does to an argument."""

    def __call__(self, function: Function, argument: Any) -> Replay:  # noqa: ANN401 - nested as it is
        """Return a function that does the same to arguments of the same shapes.

        Raises:
            RuntimeError: the function cannot be recorded.
        """
        ...


class Graphs:
    """Calls functions, and records them the second time that an argument has the same shapes.

    If recording fails, functions are called directly, as they are while operations are counted: a replay shows none.

    Args:
        record: records a function; None for CUDA graphs.
        device: type of the devices on which functions are recorded.
    """

    def __init__(self, record: Record | None = None, device: str = "cuda") -> None:
        self._record = record or CudaGraphs()
        self._device = device
        self._seen: set[Hashable] = set()
        self._replays: dict[Hashable, Replay] = {}
        self._refused = False

    def take(self, device: torch.device) -> bool:
        """Return whether functions on a device are recorded."""
        return device.type == self._device and not self._refused

    def call(self, key: Hashable, function: Function, argument: Any) -> Any:  # noqa: ANN401
        """Call a function, or replay it.

        Args:
            key: identifies the function; two with the same key do the same to arguments of the same shapes.
            function: a function that does not read values of tensors on the host.
            argument: a nested structure of tensors; its other values are part of the key.
        """
        if self._refused or _get_current_dispatch_mode() is not None:
            return function(argument)
        leaves, spec = tree_flatten(argument)
        whole = (key, spec, tuple(_shape(leaf) for leaf in leaves))
        if whole not in self._replays and not self._recorded(whole, function, argument):
            return function(argument)
        return self._replays[whole](argument)

    def _recorded(self, key: Hashable, function: Function, argument: Any) -> bool:  # noqa: ANN401
        """Record a function unless its key is new; return whether it was recorded."""
        if key not in self._seen or len(self._replays) >= MOST:
            self._seen.add(key)
            return False
        try:
            self._replays[key] = self._record(function, argument)
        except RuntimeError as error:
            self._refused = True
            self._replays.clear()
            log.warning("steps are not recorded as graphs: %s", " ".join(str(error).split())[:200])
            return False
        return True


def _shape(leaf: object) -> Hashable:
    return (leaf.shape, leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf


class CudaGraphs:
    """Records CUDA graphs, which share one memory pool, as only the results of a graph are needed after a replay."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, function: Function, argument: Any) -> Replay:  # noqa: ANN401
        """Record a CUDA graph; see `Record`."""
        leaves, spec = tree_flatten(argument)
        inputs = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        own = tree_unflatten(inputs, spec)
        device = next(leaf.device for leaf in inputs if isinstance(leaf, Tensor))
        with torch.cuda.device(device):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    function(own)
            torch.cuda.current_stream().wait_stream(stream)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            # Other threads, such as those of NCCL, may use the GPU at the same time.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                outputs = function(own)
        return _Replay(graph, inputs, spec, outputs)


class _Replay:
    """A CUDA graph with the tensors that it reads and writes."""

    def __init__(self, graph: torch.cuda.CUDAGraph, inputs: Sequence[Any], spec: TreeSpec, outputs: Any) -> None:  # noqa: ANN401
        self._graph = graph
        self._inputs = inputs
        self._spec = spec
        self._outputs = outputs

    def __call__(self, argument: Any) -> Any:  # noqa: ANN401
        """Copy the argument in, replay, and copy the results out."""
        leaves, _ = tree_flatten(argument)
        pairs = [pair for pair in zip(self._inputs, leaves, strict=True) if isinstance(pair[0], Tensor)]
        torch._foreach_copy_([own for own, _ in pairs], [new for _, new in pairs])
        self._graph.replay()
        return tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, self._outputs)
