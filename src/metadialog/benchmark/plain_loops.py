"""Plain PyTorch loops, as references for adaptation, replies and training."""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from metadialog.episodes import Batch


def plain_adaptation(module: nn.Module, batch: Batch, steps: int, rate: float) -> nn.Module:
    """Return a copy of a model after gradient steps on an encoded batch."""
    adapted = copy.deepcopy(module)
    parameters = list(adapted.parameters())
    for _ in range(steps):
        gradients = torch.autograd.grad(plain_loss(adapted, batch), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(rate * gradient)
    return adapted


@torch.no_grad()
def plain_reply(module: nn.Module, prompt: Sequence[int], count: int) -> list[int]:
    """Return `count` greedily generated tokens."""
    logits, state = module(torch.tensor([list(prompt)]))
    said = []
    for _ in range(count):
        token = logits[:, -1].argmax(-1)
        said.append(int(token))
        logits, state = module(token[:, None], state)
    return said


def plain_step(module: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, clip_norm: float) -> float:
    """Take a step of ordinary training, and return the loss before it."""
    optimizer.zero_grad()
    loss = plain_loss(module, batch)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), clip_norm)
    optimizer.step()
    return loss.item()


def plain_loss(module: nn.Module, batch: Batch) -> torch.Tensor:
    """Return the mean negative log-likelihood of the counted tokens."""
    logits, _ = module(batch.inputs)
    return cross_entropy(logits[batch.mask], batch.targets[batch.mask])
