"""From prompts to replies: what every way of generating shares."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

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
            model: maps tokens `[batch, time]` and a hidden state to logits `[batch, time, vocab]` and the next one.
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


def map_state(change: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the tensors of states that are built alike."""
    first = states[0]
    if isinstance(first, Tensor):
        return change(*states)
    return tuple(map_state(change, *parts) for parts in zip(*states, strict=True))


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


def read_prompts(model: nn.Module, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, State]:
    """Feed prompts of any lengths to the model.

    A recurrent state must be the one after a row's own last token, not after padding: so the prompts go in token
    by token, and a row whose prompt is over keeps its state.

    Returns:
        The logits of each prompt's next token, `[batch, vocab]`, and the states; see `State`.
    """
    if not all(prompts):
        raise ValueError("a prompt is empty; it needs at least one token")
    device = next(model.parameters()).device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    time = int(lengths.max())
    tokens = torch.tensor([[*prompt, *[0] * (time - len(prompt))] for prompt in prompts], device=device)
    logits, hidden = next_logits(model, tokens[:, 0], None)
    for position in range(1, time):
        on = lengths > position  # [batch]
        new_logits, new_hidden = next_logits(model, tokens[:, position], hidden)
        logits = torch.where(on[:, None], new_logits, logits)
        hidden = map_state(lambda new, old, on=on: _where(on, new, old), new_hidden, hidden)
    return logits, hidden


def _where(on: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Return the new state in some rows, `[batch]`, and the old one, which may be shorter, in the others."""
    grown = pad(old, (0, 0, 0, 0, 0, len(new) - len(old)))
    return torch.where(on[None, :, None], new, grown)


def next_logits(model: nn.Module, tokens: Tensor, hidden: State | None) -> tuple[Tensor, State]:
    """Feed one token a row, `[batch]`; return the logits of the next, `[batch, vocab]`, and the states."""
    logits, hidden = model(tokens[:, None], hidden)
    return logits[:, -1], hidden


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
        logits, hidden = read_prompts(model, prompts)
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
            logits, hidden = next_logits(model, tokens, hidden)
    return replies
