"""From prompts to replies: what every way of generating shares."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from metadialog.episodes import PAD_ID
from metadialog.models.protocol import DialogueModel, as_dialogue_model
from metadialog.models.recurrence import State


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

    A model that diverged in adaptation has bad replies; it shall not break off the evaluation of all others.
    """
    logits = logits.nan_to_num()
    logits[..., list(forbidden)] = -torch.inf
    return logits


def extend(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    end_id: int,
    forbidden: Sequence[int],
    max_tokens: int,
    choose: Callable[[Tensor], Tensor],
) -> list[list[int]]:
    """Extend each prompt token by token until it ends.

    Args:
        model: as in `Generation.generate`, like what follows.
        prompts: token ids.
        end_id: ends a reply.
        forbidden: tokens that are never generated.
        max_tokens: longest reply.
        choose: from logits `[batch, vocab]` to tokens `[batch]`.
    """
    replies: list[list[int]] = [[] for _ in prompts]
    if not prompts:
        return replies
    with inference(model):
        speaker = as_dialogue_model(model)
        logits, state = read_prompts(speaker, prompts, next(model.parameters()).device)
        open_rows = set(range(len(prompts)))
        for length in range(1, max_tokens + 1):
            tokens = choose(forbid(logits, forbidden))
            for row, token in enumerate(tokens.tolist()):
                if token == end_id:
                    open_rows.discard(row)
                elif row in open_rows:
                    replies[row].append(token)
            if not open_rows or length == max_tokens:
                break
            logits, state = speaker.step(tokens, state)
    return replies
