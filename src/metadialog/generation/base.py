"""The interface of generation methods, and common functions."""

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
    """A reply with its score.

    Attributes:
        tokens: token ids, without the end token.
        log_probability: log-probability of the tokens, and of the end token if there is one, nats, under the
            distribution that they were chosen from, without forbidden tokens and after the rules.
        score: score by which replies are ordered; higher is better.
    """

    tokens: list[int]
    log_probability: float
    score: float


class Generation(Protocol):
    """Interface of the classes that `conf/generation/*.yaml` names."""

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
            prompts: token ids of any length, at least one each.
            end_id: token that ends a reply; it is not returned.
            forbidden: tokens that are never generated.
            generator: random number generator; None for torch's global one. Only used by sampling.

        Returns:
            The token ids of each reply, independent of the other prompts up to rounding.

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
        """Return up to `count` different replies to each prompt, best first; see `generate`.

        If the number of different replies is limited, an attribute `most` holds the limit.
        """
        ...


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Switch off dropout; restore the model's mode on exit."""
    was_training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in was_training:
            module.training = training


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Switch off dropout and gradients; restore the model's mode on exit."""
    with without_dropout(model), torch.no_grad():
        yield


def read_prompts(model: DialogueModel, prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, State]:
    """Feed prompts of any length to the model; see `DialogueModel.read`.

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
    """Forbid tokens, and replace NaN by equal chances.

    A model that diverged in adaptation gives bad replies, but must not abort the evaluation.
    """
    logits = logits.nan_to_num()
    logits[..., list(forbidden)] = -torch.inf
    return logits
