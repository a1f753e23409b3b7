"""Restore optimizers and schedules from a checkpoint, which may belong to another run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metadialog.errors import RunError
from metadialog.escapes import escaped, shortened

# State of torch's optimizers with a value for each weight of a parameter.
_LIKE_PARAMETER = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Turn errors of loading an unsuitable state into a RunError that names the checkpoint.

    Raises:
        RunError: the state does not fit.
    """
    try:
        yield
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = escaped(shortened(str(error)))
        raise RunError(f"{path}: belongs to another run and does not fit this one: {reason}") from error
    except RunError as error:
        raise error if str(path) in str(error) else RunError(f"{path}: {error}") from error


def restore_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Restore the state of an optimizer.

    Raises:
        ValueError, KeyError, TypeError: it belongs to another optimizer, or to another model.
    """
    own = [set(group) for group in optimizer.state_dict()["param_groups"]]
    results = [set(group) for group in state["param_groups"]]
    if any(mine - its for mine, its in zip(own, results, strict=True)):
        missing = sorted(next(mine - its for mine, its in zip(own, results, strict=True) if mine - its))
        raise ValueError(f"it is the state of another optimizer, without {missing[0]}")
    optimizer.load_state_dict(dict(state))
    for parameter, kept in optimizer.state.items():
        for name in _LIKE_PARAMETER:
            if isinstance(kept.get(name), Tensor) and kept[name].shape != parameter.shape:
                raise ValueError(
                    f"the optimizer's {name} has the shape {list(kept[name].shape)}, its parameter "
                    f"{list(parameter.shape)}"
                )


def restore_schedule(schedule: LRScheduler, state: Mapping[str, Any]) -> None:
    """Restore the state of a schedule; unlike in torch, the state cannot set other attributes.

    Raises:
        KeyError, TypeError: it belongs to another schedule.
    """
    own = schedule.state_dict()
    missing = [name for name in ("last_epoch", "base_lrs", "_last_lr") if name not in state]
    if missing:
        raise KeyError(f"it is the state of another schedule, without {missing[0]}")
    for name in ("base_lrs", "_last_lr"):
        if not isinstance(state[name], list) or len(state[name]) != len(own[name]):
            raise TypeError(f"the schedule's {name} should be a list of {len(own[name])} numbers")
    if not isinstance(state["last_epoch"], int):
        raise TypeError("the schedule's last_epoch should be a whole number")
    schedule.load_state_dict({name: value for name, value in state.items() if name in own})
