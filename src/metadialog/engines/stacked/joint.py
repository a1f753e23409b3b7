"""The gradient of joint training over several tasks, with the kernels of the meta-gradient."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from metadialog.engines.stacked import dropout
from metadialog.engines.stacked.network import StackedDialogModel
from metadialog.engines.stacked.tasks import stack
from metadialog.episodes import Batch
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds


def joint_gradient(
    model: DialogModel, batches: Sequence[Batch], weights: Sequence[float], numbers: Sequence[int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the tasks' mean token losses, nats, and its gradient by parameter name.

    All tasks are computed in one pass, each with the dropout masks that it would have alone, and logits are computed
    only for counted tokens.

    Args:
        model: a model with hand-written derivatives.
        batches: batch of each task.
        weights: weight of each task's loss.
        numbers: numbers of the tasks, which determine their random numbers.
    """
    like = model.linear.weight.detach()
    with torch.no_grad():
        sets = stack(batches, [batch.inputs for batch in batches], like.dtype)
        of_tasks = like.new_tensor(weights)[:, None]
        weighted = replace(sets, targets=replace(sets.targets, weights=sets.targets.weights * of_tasks))
        (masks,) = dropout.draw(model, [batches], TaskSeeds(), numbers)
        parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
        wanted = {name: True for name, parameter in model.named_parameters() if parameter.requires_grad}
        result = StackedDialogModel(model).gradient(parameters, weighted, masks, wanted)
        return result.losses.sum(), result.gradients
