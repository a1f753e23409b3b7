"""The parts of the benchmark of models, each with its rows of results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from metadialog.algorithms.base import Tools
from metadialog.algorithms.baselines import FineTuning
from metadialog.algorithms.maml import MAML
from metadialog.benchmark.evaluation_part import evaluation
from metadialog.benchmark.model_work import MODELS, ModelWork, Sizes, model_work
from metadialog.benchmark.rows import Action, Row, Setting, compared
from metadialog.benchmark.storages import LiveStorages
from metadialog.engines.base import Engine, InnerLoop
from metadialog.engines.functional.adaptation import adapt_together
from metadialog.engines.functional.engine import FunctionalEngine
from metadialog.engines.graphs import Graphs
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.stacked.meta_gradient import obstacle
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import merge
from metadialog.models.loss import mean_token_loss
from metadialog.operations import OperationCounter
from metadialog.token_ids import PAD_ID

Part = Literal["models", "joint", "evaluation", "growth", "memory", "graphs"]

REFERENCE, DESCENT = "learn2learn", "gradient descent"
DROPOUT = 0.2
JOINT = Sizes(width=128, exchanges=5, length=24)
GROWTH: Mapping[str, Sequence[int]] = {
    "tasks": (1, 4, 16, 64),
    "steps": (1, 2, 4, 8),
    "width": (16, 64, 256),
    "vocabulary": (250, 1_000, 4_000),
    "length": (6, 12, 24, 48),
}
"""Values of the sizes that are varied one at a time; the others are those of `Sizes`."""


def engines(model: nn.Module, *, cuda_graphs: bool = False) -> dict[str, Engine]:
    """Return the fast engines that support a model."""
    if obstacle(model, mean_token_loss, InnerLoop(0.1, 1)) is not None:
        return {"functional": FunctionalEngine(memory=1024)}
    return {
        "vectorized": VectorizedEngine(cuda_graphs=cuda_graphs),
        "lean": LeanEngine(memory=128, cuda_graphs=cuda_graphs),
    }


def meta_step(engine: Engine, work: ModelWork, inner: InnerLoop | None = None) -> Action:
    """Return a meta-step without the optimizer."""
    return lambda: engine.meta_gradient(work.model, mean_token_loss, work.episodes, inner or work.inner, "mean")


def descent(work: ModelWork) -> Action:
    """Return a pass of ordinary gradient descent over all tokens in one batch."""
    batch = merge([part for one in work.episodes for part in (one.support, one.query) if part is not None])
    parameters = list(work.model.parameters())

    def step() -> object:
        with torch.backends.cudnn.flags(enabled=False):
            return torch.autograd.grad(mean_token_loss(work.model, batch), parameters)

    return step


def models(setting: Setting) -> Iterator[Row]:
    """Measure every model's meta-step beside learn2learn's loop."""
    for name in MODELS:
        for steps in setting.inner_steps:
            work = model_work(name, Sizes(steps=steps), setting.device)
            who: dict[str, Engine] = {REFERENCE: Learn2LearnEngine(), "functional": FunctionalEngine(memory=1024)}
            who |= engines(work.model)
            actions = {one: meta_step(engine, work) for one, engine in who.items()}
            yield from compared(setting, "Meta-step", f"{name}, {_steps(steps)}", actions)


def joint(setting: Setting) -> Iterator[Row]:
    """Compare joint training with a first-order meta-step, in seconds per executed operation."""
    for name in MODELS:
        work = model_work(name, replace(JOINT, dropout=DROPOUT), setting.device)
        work.model.train()
        first, *_ = engines(work.model).values()
        tools = Tools(first)
        meta = MAML(tools, name="fomaml", inner_lr=0.1, inner_steps=1, first_order=True)
        tuned = FineTuning(tools, name="finetune", inner_lr=0.1)
        actions: dict[str, Action] = {
            "first-order meta-step": lambda meta=meta, work=work: meta.outer_step(work.model, work.episodes, 0),  # type: ignore[misc]
            "joint step": lambda tuned=tuned, work=work: tuned.outer_step(work.model, work.episodes, 0),  # type: ignore[misc]
        }
        operations = {who: _operations(action) for who, action in actions.items()}
        what = f"{name}, seconds an operation"
        yield from compared(setting, "Joint training", what, actions, operations)


def _operations(action: Action) -> float:
    with OperationCounter() as counter:
        action()
    return float(counter.total)


def growth(setting: Setting) -> Iterator[Row]:
    """Measure how the cost of the recurrent model's meta-step grows with its sizes."""
    for against, sizes in GROWTH.items():
        for size in sizes:
            work = model_work("gru", replace(Sizes(), **{against: size}), setting.device)
            graphs = setting.device.type == "cuda"
            actions = {DESCENT: descent(work), REFERENCE: meta_step(Learn2LearnEngine(), work)}
            fast = engines(work.model, cuda_graphs=graphs)
            actions |= {one: meta_step(engine, work) for one, engine in fast.items()}
            what = f"{against} {size:,}"
            yield from compared(setting, "Growth", what, actions, against=(against, size))


def memory(setting: Setting) -> Iterator[Row]:
    """Measure the memory of each engine by kind of tensor, at its peak."""
    for steps in (1, 10):
        work = model_work("gru", Sizes(steps=steps, width=128, vocabulary=2_003), setting.device)
        who: dict[str, Engine] = {REFERENCE: Learn2LearnEngine(), **engines(work.model)}
        who["functional"] = FunctionalEngine(memory=1024)
        actions = {DESCENT: descent(work), **{one: meta_step(engine, work) for one, engine in who.items()}}
        for one, action in actions.items():
            action()
            with LiveStorages(work.model, len(work.episodes), 2_003) as live:
                action()
            peak = {"in all": float(sum(live.peak.values())), **live.peak}
            mebibytes = {kind: size / 2**20 for kind, size in peak.items()}
            yield Row("Memory, MiB", f"gru, {_steps(steps)}", one, mebibytes=mebibytes)


def graphs(setting: Setting) -> Iterator[Row]:
    """Compare steps that are recorded as CUDA graphs with unrecorded ones, and with gradient descent, likewise.

    On a CPU nothing is recorded, so there are no rows.
    """
    if setting.device.type != "cuda":
        return
    for name, sizes in (("small", Sizes()), ("medium", Sizes(4_000, 256, 8, 8, 24))):
        for steps in setting.inner_steps:
            work = model_work("gru", replace(sizes, steps=steps), setting.device)
            actions = {"gradient descent, recorded": recorded_descent(work), DESCENT: descent(work)}
            for one, engine in engines(work.model).items():
                actions[one] = meta_step(engine, work)
            for one, engine in engines(work.model, cuda_graphs=True).items():
                actions[f"{one}, recorded"] = meta_step(engine, work)
            actions[REFERENCE] = meta_step(Learn2LearnEngine(), work)
            yield from _warm(setting, "CUDA graphs", f"meta-step of {name}, {_steps(steps)}", actions)
        work = model_work("gru", replace(sizes, dropout=0.0), setting.device)
        yield from _warm(setting, "CUDA graphs", f"joint step of {name}", _joint_steps(work))
        yield from _warm(setting, "CUDA graphs", f"10 steps of adaptation, {name}", _adaptations(work))


def _warm(setting: Setting, question: str, what: str, actions: Mapping[str, Action]) -> Iterator[Row]:
    """Measure after two more calls, in the second of which functions are recorded."""
    for _ in range(2):
        for action in actions.values():
            action()
    return compared(setting, question, what, actions)


def recorded_descent(work: ModelWork) -> Action:
    """Return a pass of gradient descent that is recorded as a graph; its loss needs no value of a tensor."""
    batch = merge([part for one in work.episodes for part in (one.support, one.query) if part is not None])
    at = (batch.mask & (batch.inputs != PAD_ID)).flatten().nonzero().flatten()
    targets = batch.targets.flatten()[at]
    graphs, names = Graphs(device=batch.inputs.device.type), [name for name, _ in work.model.named_parameters()]

    def gradients(argument: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        own = {name: argument[name].detach().requires_grad_() for name in names}
        with torch.enable_grad():
            logits, _ = torch.func.functional_call(work.model, own, (argument["inputs"],), {"at": argument["at"]})
            loss = nn.functional.cross_entropy(logits, argument["targets"])
            return list(torch.autograd.grad(loss, list(own.values())))

    def step() -> object:
        argument = {name: parameter.detach() for name, parameter in work.model.named_parameters()}
        argument |= {"inputs": batch.inputs, "at": at, "targets": targets}
        with torch.backends.cudnn.flags(enabled=False):
            return graphs.call("descent", gradients, argument)

    return step


def _joint_steps(work: ModelWork) -> dict[str, Action]:
    def step(engine: Engine) -> Action:
        tuned = FineTuning(Tools(engine), name="finetune", inner_lr=0.1)
        return lambda: tuned.outer_step(work.model, work.episodes, 0)

    return {"by autograd": step(VectorizedEngine(cuda_graphs=False)), "recorded": step(VectorizedEngine())}


def _adaptations(work: ModelWork) -> dict[str, Action]:
    inner, supports = replace(work.inner, steps=10), [one.support for one in work.episodes if one.support is not None]
    engine = Learn2LearnEngine()

    def together(graphs: Graphs | None) -> Action:
        return lambda: list(adapt_together(work.model, mean_token_loss, supports, inner, graphs))

    return {
        "one by one": lambda: [list(engine.adapt(work.model, mean_token_loss, one, inner)) for one in supports],
        "together": together(None),
        "together, recorded": together(Graphs()),
    }


def _steps(steps: int) -> str:
    return f"{steps} inner step{'' if steps == 1 else 's'}"


PARTS: Mapping[Part, Callable[[Setting], Iterator[Row]]] = {
    "models": models,
    "joint": joint,
    "evaluation": evaluation,
    "growth": growth,
    "memory": memory,
    "graphs": graphs,
}
