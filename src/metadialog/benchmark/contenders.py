"""The contenders of the benchmark: engines, other libraries, and ordinary gradient descent.

A contender maps a workload to the gradient of the mean query loss. Peers are written as in their documentation, and run
on the CPU or on the GPU without cuDNN, as second derivatives require.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from metadialog.benchmark.workload import Workload
from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import Engine
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch, merge
from metadialog.learn2learn_interface import maml
from metadialog.models.loss import mean_token_loss

Kind = Literal["engine", "peer", "yardstick"]
Name = Literal[
    "gd",
    "peer/learn2learn",
    "peer/higher",
    "peer/torchopt",
    "peer/torch.func",
    "learn2learn",
    "vectorized",
    "lean",
    "auto",
]
Gradients = tuple[Tensor, ...]
AUTO_MEMORY = 8192
LEAN_MEMORY = 128


@dataclass(frozen=True, slots=True)
class Contender:
    """A contender.

    Attributes:
        kind: engine, peer, or yardstick.
        name: name in results.
        gradient: a meta-step without the optimizer.
        needs: required distribution; None if it is always installed.
    """

    kind: Kind
    name: str
    gradient: Callable[[Workload], Gradients]
    needs: str | None = None

    @property
    def available(self) -> bool:
        """Whether its distribution is installed."""
        return self.needs is None or find_spec(self.needs) is not None


def engine(of: Engine) -> Contender:
    """Return the contender of an engine."""

    def gradient(work: Workload) -> Gradients:
        return of.meta_gradient(work.model, mean_token_loss, work.episodes, work.inner, "mean").gradients

    return Contender("engine", of.name, gradient)


def gradient_descent(work: Workload) -> Gradients:
    """One pass of ordinary training over the same tokens, support and query, in one batch."""
    sets = [batch for episode in work.episodes for batch in (episode.support, episode.query) if batch is not None]
    return torch.autograd.grad(mean_token_loss(work.model, merge(sets)), list(work.model.parameters()))


def learn2learn_loop(work: Workload) -> Gradients:
    """learn2learn's documented loop: clone, adapt, backward, task after task."""
    start = maml(work.model, work.inner.lr)
    work.model.zero_grad()
    for episode in work.episodes:
        learner = start.clone()
        for _ in range(work.inner.steps):
            learner.adapt(mean_token_loss(learner.module, _support(episode.support)))
        loss = mean_token_loss(learner.module, episode.query) / len(work.episodes)
        loss.backward()  # type: ignore[no-untyped-call]
    return _taken_gradients(work.model)


def higher_loop(work: Workload) -> Gradients:
    """Higher's `innerloop_ctx`, with gradients by the initial weights."""
    import higher

    optimizer = torch.optim.SGD(work.model.parameters(), lr=work.inner.lr)
    optimizer.zero_grad()
    for episode in work.episodes:
        with higher.innerloop_ctx(work.model, optimizer, copy_initial_weights=False) as (functional, inner):
            for _ in range(work.inner.steps):
                inner.step(mean_token_loss(functional, _support(episode.support)))
            loss = mean_token_loss(functional, episode.query) / len(work.episodes)
            loss.backward()  # type: ignore[no-untyped-call]
    return _taken_gradients(work.model)


def torchopt_loop(work: Workload) -> Gradients:
    """Torchopt's functional optimizer, as its module-based one does not support recurrent layers."""
    import torchopt

    names, start = zip(*work.model.named_parameters(), strict=True)
    for parameter in start:
        parameter.grad = None
    for episode in work.episodes:
        optimizer = torchopt.FuncOptimizer(torchopt.sgd(lr=work.inner.lr))
        parameters = start
        for _ in range(work.inner.steps):
            adapted = _Functional(work.model, dict(zip(names, parameters, strict=True)))
            parameters = optimizer.step(mean_token_loss(adapted, _support(episode.support)), parameters)
        adapted = _Functional(work.model, dict(zip(names, parameters, strict=True)))
        loss = mean_token_loss(adapted, episode.query) / len(work.episodes)
        loss.backward()  # type: ignore[no-untyped-call]
    return _taken_gradients(work.model)


def torch_func_vmap(work: Workload) -> Gradients:
    """Plain torch.func: `vmap` over tasks of `grad` inside `grad`; the GRU is a function of its weights."""

    def task(start: Mapping[str, Tensor], support: tuple[Tensor, Tensor], query: tuple[Tensor, Tensor]) -> Tensor:
        parameters = dict(start)
        for _ in range(work.inner.steps):
            gradients = grad(_functional_loss)(parameters, *support)
            parameters = {name: value - work.inner.lr * gradients[name] for name, value in parameters.items()}
        return _functional_loss(parameters, *query)

    def outer(start: Mapping[str, Tensor]) -> Tensor:
        return vmap(task, in_dims=(None, 0, 0))(start, _stacked(supports), _stacked(queries)).mean()

    supports = [_support(episode.support) for episode in work.episodes]
    queries = [episode.query for episode in work.episodes]
    start = {name: parameter.detach() for name, parameter in work.model.named_parameters()}
    return tuple(grad(outer)(start).values())


def _functional_loss(weights: Mapping[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of a one-layer GRU language model as a function of its weights; `[batch, time]`."""
    x = nn.functional.embedding(inputs, weights["embed.weight"])
    gi = nn.functional.linear(x, weights["rnn.weight_ih_l0"], weights["rnn.bias_ih_l0"])
    state = torch.zeros_like(gi[:, 0, : gi.shape[-1] // 3])
    states = []
    for step in range(inputs.shape[1]):
        gh = nn.functional.linear(state, weights["rnn.weight_hh_l0"], weights["rnn.bias_hh_l0"])
        (ir, iz, ic), (hr, hz, hc) = gi[:, step].chunk(3, -1), gh.chunk(3, -1)
        update = torch.sigmoid(iz + hz)
        candidate = torch.tanh(ic + torch.sigmoid(ir + hr) * hc)
        state = candidate + update * (state - candidate)
        states.append(state)
    logits = nn.functional.linear(torch.stack(states, 1), weights["linear.weight"], weights["linear.bias"])
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


class _Functional(nn.Module):
    """A model with replaced parameters, for `mean_token_loss`."""

    def __init__(self, model: nn.Module, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._of = (model,)  # in a tuple, so that it is not a submodule
        self._with = dict(parameters)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return logits and state."""
        logits, state = functional_call(self._of[0], self._with, (tokens, state))
        return logits, state


def _support(batch: Batch | None) -> Batch:
    if batch is None:
        raise ValueError("the workload has an episode without a support set")
    return batch


def _stacked(batches: list[Batch]) -> tuple[Tensor, Tensor]:
    return torch.stack([b.inputs for b in batches]), torch.stack([b.targets for b in batches])


def _taken_gradients(model: nn.Module) -> Gradients:
    """Return the gradients of the parameters, and clear them."""
    results = tuple(torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters())
    for parameter in model.parameters():
        parameter.grad = None
    return results


CONTENDERS: dict[Name, Contender] = {
    "gd": Contender("yardstick", "gd", gradient_descent),
    "peer/learn2learn": Contender("peer", "learn2learn", learn2learn_loop),
    "peer/higher": Contender("peer", "higher", higher_loop, needs="higher"),
    "peer/torchopt": Contender("peer", "torchopt", torchopt_loop, needs="torchopt"),
    "peer/torch.func": Contender("peer", "torch.func", torch_func_vmap),
    "learn2learn": engine(Learn2LearnEngine()),
    "vectorized": engine(VectorizedEngine()),
    "lean": engine(LeanEngine(memory=LEAN_MEMORY)),
    "auto": engine(AutoEngine(memory=AUTO_MEMORY)),
}
