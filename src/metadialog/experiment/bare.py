"""Models that are only looked at: made without numbers, on torch's device `meta`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

_INITIALISATION = "torch.nn.init"


class WithoutInitialisation(TorchFunctionMode):
    """Leaves out what `torch.nn.init` does while it is entered.

    On the device `meta` there is nothing to initialise, and torch would import its compiler for that, which takes
    longer than all the rest of a check.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        """Return the tensor as it is where it is to be initialised, else what the function returns."""
        options = kwargs or {}
        if getattr(func, "__module__", None) == _INITIALISATION:
            return args[0] if args else options["tensor"]
        return func(*args, **options)
