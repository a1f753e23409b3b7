"""Models built without weights on torch's device `meta`, for checks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

_INITIALISATION = "torch.nn.init"


class WithoutInitialisation(TorchFunctionMode):
    """Skips the functions of `torch.nn.init` while it is entered.

    On the device `meta` there is nothing to initialise, and torch would import its compiler for it, which takes longer
    than the rest of a check.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Return the tensor unchanged instead of initialising it; call any other function."""
        options = kwargs or {}
        if getattr(func, "__module__", None) == _INITIALISATION:
            return args[0] if args else options["tensor"]
        return func(*args, **options)
