"""Algorithms that put the support dialogues into the prompt."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import nn

from metadialog.algorithms.base import Algorithm, OuterStep, Passes
from metadialog.algorithms.baselines import ZeroShot
from metadialog.algorithms.low_rank_linear import Base, LowRankFineTuning, settle_base
from metadialog.engines.base import support_of
from metadialog.episodes import Batch, Episode, dialogues_of
from metadialog.models.context import InContext, show
from metadialog.options import FROM_YAML
from metadialog.randomness import TaskSeeds


class Prompting(Algorithm):
    """Base class of algorithms that put support dialogues into the prompt.

    Args:
        prompt_tokens: maximum number of tokens of the support dialogues in the prompt; dialogues are added in the order
            of the support set while they fit completely.
    """

    prompt_tokens: Annotated[int, Ge(1), Le(10**6)] = FROM_YAML

    def in_context(self, model: nn.Module, support: Batch) -> nn.Module:
        """Return the model with support dialogues in its prompt; see `Shown`."""
        shown = show(dialogues_of(support), self.prompt_tokens)
        return InContext(model, shown)


class InContextLearning(Prompting, ZeroShot):
    """Brown et al. 2020 (arXiv:2005.14165), section 2: the model is conditioned on examples instead of being changed.

    Before that, joint training over all meta-train topics, without examples in the prompt (`training.steps=0` for a
    pretrained model without further training). Step 0 is without examples, step 1 with them.
    """

    inner_steps = 1
    base: Base = FROM_YAML

    def prepare(self, model: nn.Module) -> nn.Module:
        """Freeze the base model if `base` says so."""
        settle_base(model, self.base)
        self.trains = any(parameter.requires_grad for parameter in model.parameters())
        return super().prepare(model)

    def adapt(
        self,
        model: nn.Module,
        support: Batch | None,
        steps: int,
        scale: float = 1.0,  # noqa: ARG002 - there is no rate
    ) -> Iterator[nn.Module]:
        """Yield the unchanged model, then the model with the support dialogues in its prompt."""
        yield model
        if support is not None and steps > 0:
            yield self.in_context(model, support)


class MetaInContext(InContextLearning):
    """MetaICL, Min et al. 2022 (arXiv:2110.15943), section 3: trained to predict queries given the support set.

    The outer loss is the mean token loss of the query sets, each with its task's support dialogues in the prompt
    (equation 1, for dialogues); the weights do not change at test time.
    """

    additive = True

    def outer_step(self, model: nn.Module, episodes: Sequence[Episode], step: int) -> OuterStep:  # noqa: ARG002
        """Put the gradient of the query losses, given the support sets, into the parameters' `.grad`."""
        tokens = sum(int(episode.query.mask.sum()) for episode in episodes)
        seeds = TaskSeeds()
        before = after = 0.0
        model.zero_grad()
        with torch.backends.cudnn.flags(enabled=False):
            for episode in episodes:
                share = int(episode.query.mask.sum()) / tokens
                with seeds.of(episode.index):
                    with torch.no_grad():
                        before += share * self.tools.objectives.outer(model, support_of(episode)).item()
                    loss = share * self.tools.objectives.outer(
                        self.in_context(model, support_of(episode)), episode.query
                    )
                loss.backward()  # type: ignore[no-untyped-call]
                after += loss.item()
        return OuterStep(after, before, after, size=tokens)

    def passes(self, step: int) -> Passes:  # noqa: ARG002
        """Return the passes of an outer step: one over everything."""
        return Passes(1, 0, 1)


class LowRankInContext(Prompting, LowRankFineTuning):
    """Low-rank fine-tuning on the support set, which is also in the prompt.

    Step 0 is the trained model; after each step on the support set, the support dialogues are in the prompt.
    """

    def adapt(self, model: nn.Module, support: Batch | None, steps: int, scale: float = 1.0) -> Iterator[nn.Module]:
        """Yield the unchanged model, then the fine-tuned model with the support dialogues in its prompt."""
        for step, adapted in enumerate(super().adapt(model, support, steps, scale)):
            yield adapted if step == 0 or support is None else self.in_context(adapted, support)
