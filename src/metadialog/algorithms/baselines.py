"""The baselines: joint training with and without fine-tuning, and no outer training."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge, Le, Len
from torch import nn

from metadialog.algorithms.base import Algorithm, GradientAlgorithm, OuterStep, Passes
from metadialog.engines.base import InnerLoop
from metadialog.engines.functional import joint as functional
from metadialog.engines.functional.adaptation import SideBySide, side_by_side
from metadialog.engines.functional.joint import is_faster
from metadialog.engines.stacked.joint import joint_gradient
from metadialog.engines.stacked.meta_gradient import obstacle
from metadialog.episodes import Batch, Episode, merge
from metadialog.models.loss import mean_token_loss
from metadialog.models.parts import select
from metadialog.models.rnn import DialogModel
from metadialog.options import FROM_YAML
from metadialog.randomness import TaskSeeds, drops


class JointTraining(Algorithm):
    """Joint training over all meta-train topics; subclasses define the adaptation.

    The outer loop draws the same episodes as a meta-learner, merges support and query sets, and minimises their mean
    token loss: ordinary training on the same dialogues in the same order.

    Args:
        average: what the loss of a meta-batch is averaged over: all `tokens`, so that longer tasks count more, as is
            usual in joint training, or `tasks`, each with the mean over its own tokens, as in MAML.
    """

    average: Literal["tokens", "tasks"] = "tokens"
    additive = True

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:  # noqa: ARG002
        """Put the gradient of the mean token loss over all exchanges into the parameters' `.grad`."""
        tokens = sum(int(batch.mask.sum()) for episode in episodes for batch in _sets(episode))
        # Each task has its own random numbers, independent of the rest of the meta-batch; without dropout, one batch is
        # faster.
        by_task = drops(model) or self.tools.objectives.draws or self.average == "tasks"
        # A recorded pass is sent to a GPU at once.
        graphs = self.tools.graphs
        recorded = graphs is not None and graphs.take(next(model.parameters()).device)
        if (by_task or recorded) and obstacle(model, self.tools.objectives.outer, InnerLoop(0.0, 0)) is None:
            value = self._in_one_pass(model, episodes, tokens)
        elif by_task and len(episodes) > 1 and self.tools.objectives.outer is mean_token_loss and is_faster(model):
            value = self._vectorized(model, episodes, tokens)
        else:
            parts = [[episode] for episode in episodes] if by_task else [episodes]
            value = self._by_autograd(model, parts, tokens, TaskSeeds())
        return OuterStep(value, value, value, size=None if self.average == "tasks" else tokens)

    def _weight(self, tasks: int, share: float) -> float:
        """Return the weight of a task's mean loss, given its share of the tokens."""
        return 1 / tasks if self.average == "tasks" else share

    def _in_one_pass(self, model: nn.Module, episodes: Sequence[Episode], tokens: int) -> float:
        """Compute the gradient of a model with hand-written derivatives, and return the loss."""
        batches = [merge(_sets(episode)) for episode in episodes]
        weights = [self._weight(len(batches), int(batch.mask.sum()) / tokens) for batch in batches]
        numbers = [episode.index for episode in episodes]
        loss, gradients = joint_gradient(cast("DialogModel", model), batches, weights, numbers, self.tools.graphs)
        for name, parameter in model.named_parameters():
            parameter.grad = gradients.get(name)
        return loss.item()

    def _vectorized(self, model: nn.Module, episodes: Sequence[Episode], tokens: int) -> float:
        """Compute the gradient of any model by `vmap`, or part by part if that is not possible; return the loss."""
        batches, seeds = [merge(_sets(episode)) for episode in episodes], TaskSeeds()
        weights = [self._weight(len(batches), int(batch.mask.sum()) / tokens) for batch in batches]
        result = functional.joint_gradient(model, batches, weights, [episode.index for episode in episodes], seeds)
        if result is None:
            return self._by_autograd(model, [[episode] for episode in episodes], tokens, seeds)
        loss, gradients = result
        for name, parameter in model.named_parameters():
            parameter.grad = gradients.get(name)
        return loss.item()

    def _by_autograd(
        self, model: nn.Module, parts: Sequence[Sequence[Episode]], tokens: int, seeds: TaskSeeds
    ) -> float:
        """Compute the gradient of any model by autograd, part by part, and return the loss."""
        batches = [merge([batch for episode in part for batch in _sets(episode)]) for part in parts]
        value = 0.0
        model.zero_grad()
        # Off for every algorithm of a comparison, since meta-learners cannot use cuDNN.
        with torch.backends.cudnn.flags(enabled=False):
            for part, batch in zip(parts, batches, strict=True):
                # Objectives are means over the counted tokens; weighted by token counts they add up to that of one
                # batch.
                weight = self._weight(len(parts), int(batch.mask.sum()) / tokens)
                with seeds.of(part[0].index):
                    loss = self.tools.objectives.outer(model, batch) * weight
                loss.backward()  # type: ignore[no-untyped-call]
                value += loss.item()
        return value

    def passes(self, step: int) -> Passes:  # noqa: ARG002
        """Return the passes of an outer step: one over everything."""
        return Passes(1, 0, 1)


def _sets(episode: Episode) -> list[Batch]:
    return [episode.query] if episode.support is None else [episode.support, episode.query]


class FineTuning(JointTraining, GradientAlgorithm):
    """Joint training over all meta-train topics, then fine-tuning on a topic's support set.

    Args:
        inner_lr: learning rate of fine-tuning.
        inner_steps: number of fine-tuning steps in validation.
    """

    inner_steps: Annotated[int, Ge(0), Le(10**6)] = FROM_YAML


class Scratch(GradientAlgorithm):
    """Fine-tuning of a random initialisation on the support set, without an outer loop.

    Args:
        inner_lr: learning rate of fine-tuning.
        inner_steps: number of fine-tuning steps.
    """

    trains = False
    additive = True
    inner_steps: Annotated[int, Ge(0), Le(10**6)] = FROM_YAML

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:
        """Raise NotImplementedError, as there is no outer loop."""
        raise NotImplementedError("scratch has no outer loop")

    def passes(self, step: int) -> Passes:  # noqa: ARG002
        """Return the passes of an outer step: none."""
        return Passes(0, 0, 0)


class ZeroShot(JointTraining):
    """Joint training over all meta-train topics, without adaptation."""

    def adapt(
        self,
        model: nn.Module,
        support: Batch | None,  # noqa: ARG002
        steps: int,  # noqa: ARG002
        scale: float = 1.0,  # noqa: ARG002
    ) -> Iterator[nn.Module]:
        """Yield the unchanged model once, whatever the support set."""
        yield model

    def adapt_together(
        self,
        model: nn.Module,
        supports: Sequence[Batch | None],
        steps: int,  # noqa: ARG002
        scale: float = 1.0,  # noqa: ARG002
    ) -> Iterator[SideBySide] | None:
        """Yield the unchanged model once for each support set."""
        return iter([side_by_side(model, len(supports))])


class HeadFineTuning(FineTuning):
    """Joint training over all meta-train topics, then fine-tuning of a part of the model, by default its head.

    Args:
        adapted: parts of the model (embeddings, body, head) or patterns of parameter names.
    """

    adapted: Annotated[list[str], Len(1)] = FROM_YAML

    def adapted_parameters(self, model: nn.Module) -> frozenset[str] | None:
        """Return the names of the fine-tuned parameters, among those that `inner.adapted` allows."""
        names, allowed = select(model, self.adapted, "algorithm.adapted"), super().adapted_parameters(model)
        return names if allowed is None else names & allowed


class Oracle(FineTuning):
    """An upper bound: joint training, then fine-tuning on all dialogues of the target topic except the query set.

    Its episodes and the shots in its records are those of every other algorithm, so that it can be shown in the same
    tables, but its data do not depend on the shots.
    """

    def adapts_to(self, episode: Episode) -> Batch | None:
        """Return the topic's other dialogues.

        Raises:
            ValueError: the episode was drawn without them.
        """
        if episode.others is None:
            raise ValueError(f"the episode of topic {episode.topic!r} was drawn without the topic's other dialogues")
        return episode.others()
