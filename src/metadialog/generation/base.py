"""From prompts to replies: what every way of generating shares."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from metadialog.models.protocol import DialogueModel
from metadialog.models.recurrence import State
from metadialog.token_ids import PAD_ID


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A reply, and what it is worth.

    Attributes:
        tokens: its token ids, without the one that ends it.
        log_probability: of these tokens, and of the end if it has come to one, nats, as they were chosen from: without
            what is forbidden, and by the rules.
        score: what replies are ordered by, the higher the better.
    """

    tokens: list[int]
    log_probability: float
    score: float


class Generation(Protocol):
    """What `conf/generation/*.yaml` names."""

    def generate(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,
    ) -> list[list[int]]:
        """Generate a reply to each prompt.

        Args:
            model: a `DialogueModel`.
            prompts: token ids, of any lengths; each at least one.
            end_id: the token that ends a reply; it is not part of what is returned.
            forbidden: tokens that are never generated.
            generator: where random numbers come from; None for torch's own. Only sampling needs one.

        Returns:
            The token ids of each reply: as if its prompt had been the only one, up to rounding.

        Raises:
            ValueError: a prompt is empty.
        """
        ...

    def n_best(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        end_id: int,
        forbidden: Sequence[int],
        generator: torch.Generator | None,
        count: int,
    ) -> list[list[Hypothesis]]:
        """Return up to so many different replies to each prompt, the best first; see `generate`.

        Where there can be no more than some number of them, however many are asked for, an attribute `most` says it.
        """
        ...


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Switch dropout off; leave the model as it was."""
    was_training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in was_training:
            module.training = training


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Switch dropout off and keep no graph; leave the model as it was."""
    with without_dropout(model), torch.no_grad():
        yield


def read_prompts(model: DialogueModel, prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, State]:
    """Feed prompts of any lengths to the model; see `DialogueModel.read`.

    Raises:
        ValueError: a prompt is empty.
    """
    if not all(prompts):
        raise ValueError("a prompt is empty; it needs at least one token")
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    time = int(lengths.max())
    tokens = torch.tensor([[*prompt, *[PAD_ID] * (time - len(prompt))] for prompt in prompts], device=device)
    return model.read(tokens, lengths)


def forbid(logits: Tensor, forbidden: Sequence[int]) -> Tensor:
    """Make tokens impossible, and whatever is not a number an even chance.

    A model that diverged in adaptation has bad replies; it must not end the evaluation of all others.
    """
    logits = logits.nan_to_num()
    logits[..., list(forbidden)] = -torch.inf
    return logits
