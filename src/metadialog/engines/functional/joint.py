"""The gradient of ordinary training on the batches of several tasks, in one pass, for any model."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from metadialog.engines.base import InnerLoop
from metadialog.engines.functional.batches import level_of
from metadialog.engines.functional.dropout import draws_of, dropping
from metadialog.engines.functional.levels import stacked_losses, twice_differentiable
from metadialog.episodes import Batch
from metadialog.models.loss import mean_token_loss
from metadialog.randomness import TaskSeeds

_NO_STEPS = InnerLoop(0.0, 0)
one_by_one: set[type[nn.Module]] = set()
"""Classes of models whose tasks are computed one after another, as `vmap` does not support an operation of them."""

log = logging.getLogger(__name__)


def is_faster(model: nn.Module) -> bool:
    """Tell whether one pass is faster than one after another: on a CPU only that of recurrent layers is."""
    if type(model) in one_by_one:
        return False
    recurrent = any(isinstance(part, nn.RNNBase) for part in model.modules())
    return recurrent or next(model.parameters()).device.type != "cpu"


def joint_gradient(
    model: nn.Module, batches: Sequence[Batch], weights: Sequence[float], numbers: Sequence[int], seeds: TaskSeeds
) -> tuple[Tensor, dict[str, Tensor]] | None:
    """Return the weighted sum of the tasks' mean token losses, nats, and its gradient by the trainable parameters.

    Each task has the dropout masks that it would have alone.

    Args:
        model: any model.
        batches: batch of each task.
        weights: weight of each task's loss.
        numbers: numbers of the tasks, which determine their random numbers.
        seeds: seeds of the meta-batch.

    Returns:
        None if `vmap` does not support an operation of the model; parameters that the loss does not depend on have no
        gradient.
    """
    trainable = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    try:
        with twice_differentiable(), torch.enable_grad():
            level = level_of(model, mean_token_loss, batches, _NO_STEPS)
            draws = draws_of(model, level, level, _NO_STEPS, seeds, numbers)
            if draws is None:
                losses = stacked_losses(model, level, {}, trainable)
            else:

                def dropped(masks: list[Tensor]) -> AbstractContextManager[None]:
                    return dropping(model, lambda features, _: features * masks.pop(0))

                losses = stacked_losses(model, level, {}, trainable, dropped, draws.of("query", 0))
            loss = (losses * losses.new_tensor(weights)).sum()
            result = torch.autograd.grad(loss, list(trainable.values()), allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        one_by_one.add(type(model))
        log.info("joint training computes the tasks one by one: %s", " ".join(str(error).split())[:200])
        return None
    gradients = {name: value for name, value in zip(trainable, result, strict=True) if value is not None}
    return loss.detach(), gradients
