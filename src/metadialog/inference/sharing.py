"""Sharing of unchanged parameters between adapted models and their parents."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The adapted model after a step, with copies of the parameters that differ from the parent's.

    The copies are missing if no later step has changed the model.
    """

    step: int
    model: nn.Module
    changed: Mapping[str, Tensor] | None


def changed_parameters(adapted: nn.Module, parent: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters that adaptation has changed."""
    if adapted is parent:
        return {}
    before = dict(parent.named_parameters())
    own = {id(value) for value in before.values()}
    return {
        name: value.detach().clone()
        for name, value in adapted.named_parameters()
        if id(value) not in own and (name not in before or not _same(value, before[name]))
    }


def share(best: Snapshot, parent: nn.Module) -> nn.Module:
    """Return an adapted model that shares equal parameters with its parent."""
    adapted = best.model
    if adapted is parent:
        return parent
    changed = changed_parameters(adapted, parent) if best.changed is None else best.changed
    before = dict(parent.named_parameters())
    made: dict[int, nn.Parameter] = {}
    for name, value in list(adapted.named_parameters(remove_duplicate=False)):
        if id(value) not in made:  # tied weights stay tied
            if name in changed:
                grad = before[name].requires_grad if name in before else value.requires_grad
                made[id(value)] = nn.Parameter(changed[name], requires_grad=grad)
            else:
                made[id(value)] = before.get(name, value)
        owner, _, leaf = name.rpartition(".")
        setattr(adapted.get_submodule(owner), leaf, made[id(value)])
    return adapted


def _same(value: Tensor, before: Tensor) -> bool:
    return value.shape == before.shape and torch.equal(value, before)
