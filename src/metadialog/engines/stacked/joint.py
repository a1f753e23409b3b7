"""The gradient of joint training over several tasks, with the kernels of the meta-gradient."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from metadialog.engines.base import InnerLoop
from metadialog.engines.graphs import Graphs
from metadialog.engines.stacked import dropout
from metadialog.engines.stacked.dropout import Masks
from metadialog.engines.stacked.meta_gradient import recipe, start_of
from metadialog.engines.stacked.network import StackedDialogModel, Weights
from metadialog.engines.stacked.prepared import moved, on_host
from metadialog.engines.stacked.tasks import StackedBatch, stack
from metadialog.episodes import Batch
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds

NONE = InnerLoop(0.0, 0)
"""Joint training has no inner loop."""


def joint_gradient(
    model: DialogModel,
    batches: Sequence[Batch],
    weights: Sequence[float],
    numbers: Sequence[int],
    graphs: Graphs | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of the tasks' mean token losses, nats, and its gradient by parameter name.

    All tasks are computed in one pass, each with the dropout masks that it would have alone, and logits are computed
    only for counted tokens.

    Args:
        model: a model with hand-written derivatives.
        batches: batch of each task.
        weights: weight of each task's loss.
        numbers: numbers of the tasks, which determine their random numbers.
        graphs: records the pass as a graph, on the devices that it records on.
    """
    weight = model.linear.weight.detach()
    by_graph = graphs is not None and graphs.take(weight.device)
    wanted = {name: True for name, parameter in model.named_parameters() if parameter.requires_grad}

    def passed(argument: tuple[StackedBatch, Masks, Weights]) -> tuple[Tensor, dict[str, Tensor]]:
        sets, masks, parameters = argument
        result = StackedDialogModel(model).gradient(parameters, sets, masks, wanted)
        return result.losses.sum(), result.gradients

    with torch.no_grad():
        here = on_host(batches)
        sets = stack(here, [batch.inputs for batch in here], weight.dtype, rounded=by_graph)
        of_tasks = torch.tensor(weights, dtype=weight.dtype)[:, None]
        weighted = replace(sets, targets=replace(sets.targets, weights=sets.targets.weights * of_tasks))
        (masks,) = dropout.draw(model, [batches], TaskSeeds(), numbers, rounded=by_graph)
        argument = moved(weighted, weight.device), masks, start_of(model)
        if graphs is None or not by_graph:
            return passed(argument)
        results: tuple[Tensor, dict[str, Tensor]] = graphs.call(("joint", *recipe(model, NONE)), passed, argument)
        return results
