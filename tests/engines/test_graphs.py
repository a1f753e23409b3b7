"""Steps that are recorded and replayed: as CUDA graphs on a GPU, and as torch.fx graphs in these tests.

Like a CUDA graph, a torch.fx graph consists of the operations that were executed while it was recorded, without the
Python code around them. If replaying it on other meta-batches is correct, then so is replaying a CUDA graph.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.engines.conftest import VOCABULARY
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from metadialog.algorithms.base import Tools
from metadialog.algorithms.baselines import FineTuning
from metadialog.engines.base import InnerLoop, MetaGradient
from metadialog.engines.functional.adaptation import adapt_together
from metadialog.engines.graphs import Graphs
from metadialog.engines.lean import LeanEngine
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.engines.stacked.meta_gradient import start_of
from metadialog.engines.stacked.prepared import Sets, prepare
from metadialog.engines.stacked.sweep import Keeping, Sweep
from metadialog.engines.stacked.tasks import rounded_up
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.episodes import Batch, Episode
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.operations import OperationCounter
from metadialog.randomness import TaskSeeds

MakeModel = Callable[..., DialogModel]
Engine = VectorizedEngine | LeanEngine
CUDA = pytest.param("cuda", marks=pytest.mark.cuda)


@pytest.fixture(scope="module", name="episodes")
def short(episodes: list[Episode]) -> list[Episode]:
    """The tasks with only their first tokens, as recording a hundred operations takes a second."""

    def cut(batch: Batch | None) -> Batch:
        assert batch is not None
        return Batch(batch.inputs[:, :4], batch.targets[:, :4], batch.mask[:, :4], batch.words)

    return [replace(episode, support=cut(episode.support), query=cut(episode.query)) for episode in episodes]


class Traced:
    """Records torch.fx graphs, and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, function: Callable[[Any], Any], argument: object) -> Callable[[Any], Any]:
        leaves, spec = tree_flatten(argument)
        specs = []

        def flat(*tensors: Tensor) -> list[Any]:
            given = iter(tensors)
            own = tree_unflatten([next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves], spec)
            outputs, of_outputs = tree_flatten(function(own))
            specs.append(of_outputs)
            return outputs

        def tensors(of: object) -> list[Tensor]:
            return [leaf for leaf in tree_flatten(of)[0] if isinstance(leaf, Tensor)]

        graph = make_fx(flat)(*tensors(argument))
        self.graphs += 1
        return lambda another: tree_unflatten(graph(*tensors(another)), specs[0])


def variations(episodes: Sequence[Episode]) -> Iterator[list[Episode]]:
    """Return meta-batches of other tokens and masks, padded to the same sizes."""
    yield list(episodes)
    for number in (3, 5):
        yield [
            replace(
                episode,
                support=replace(episode.support, inputs=(episode.support.inputs * number) % VOCABULARY),
                query=replace(
                    episode.query,
                    inputs=(episode.query.inputs * number) % VOCABULARY,
                    targets=(episode.query.targets + number) % VOCABULARY,
                ),
            )
            for episode in episodes
            if episode.support is not None
        ]


def recorded(engine: Engine, device: str) -> tuple[Engine, Traced]:
    """Make an engine record on a device."""
    traced = Traced()
    if device == "cpu":
        engine.graphs = Graphs(traced, "cpu")
    return engine, traced


def computed(
    engine: Engine | Learn2LearnEngine, model: nn.Module, episodes: Sequence[Episode], inner: InnerLoop
) -> MetaGradient:
    torch.manual_seed(7)
    result: MetaGradient = engine.meta_gradient(model, mean_token_loss, episodes, inner, "mean")
    return result


def agree(found: MetaGradient, expected: MetaGradient) -> None:
    for one, other in zip(tree_flatten(vars_of(found))[0], tree_flatten(vars_of(expected))[0], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def vars_of(result: MetaGradient) -> list[Any]:
    return [result.loss, result.query_losses, result.support_losses, *result.gradients, *result.rate_gradients]


def rates(model: nn.Module) -> tuple[dict[str, Tensor], ...]:
    return ({name: torch.full_like(p, 0.3).requires_grad_() for name, p in model.named_parameters()},)


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize(
    ("engine", "cell", "steps"),
    [(VectorizedEngine(), "gru", 1), (LeanEngine(memory=1024), "rnn", 3), (VectorizedEngine(), "lstm", 1)],
    ids=["vectorized gru with rates", "lean rnn", "vectorized lstm tied"],
)
def test_a_replayed_step_is_that_of_the_reference(
    engine: Engine, cell: str, steps: int, device: str, make_model: MakeModel, episodes: list[Episode]
) -> None:
    engine, traced = recorded(engine, device)
    model = make_model(cell, tied=cell == "lstm").to(device)
    inner = InnerLoop(0.5, steps, rates=rates(model) if cell == "gru" else None)
    for number, tasks in enumerate([episodes, *variations(episodes)]):
        there = [episode.to(torch.device(device)) for episode in tasks]
        found = computed(engine, model, there, inner)
        agree(found, computed(Learn2LearnEngine(), model, there, inner))
        # When sizes occur for the second time: with `lean`, which takes one task at a time here, within a meta-batch.
        assert traced.graphs == ((number > 0 or steps == 3) and device == "cpu")
        with torch.no_grad():  # as an optimizer would
            for parameter in model.parameters():
                parameter.mul_(0.9)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_the_same_units_are_dropped(device: str, make_model: MakeModel, episodes: list[Episode]) -> None:
    model = make_model("gru", dropout=0.4).to(device).train()
    there, inner = [episode.to(torch.device(device)) for episode in episodes], InnerLoop(0.5, 1)
    engine, _ = recorded(VectorizedEngine(), device)
    for _ in range(3):
        agree(computed(engine, model, there, inner), computed(Learn2LearnEngine(), model, there, inner))


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_joint_training_is_replayed(device: str, make_model: MakeModel, episodes: list[Episode]) -> None:
    plain = VectorizedEngine(cuda_graphs=False)
    engine, traced = recorded(VectorizedEngine(), device)
    model = make_model("gru").to(device)
    for tasks in [episodes, *variations(episodes)]:
        there = [episode.to(torch.device(device)) for episode in tasks]
        results = []
        for of in (engine, plain):
            step = FineTuning(Tools(of), name="finetune").outer_step(model, there, 0)
            results.append([torch.tensor(step.loss), *(p.grad for p in model.parameters())])
        torch.testing.assert_close(*results, rtol=1e-10, atol=1e-12)
    assert traced.graphs == (device == "cpu")


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_adaptation_in_evaluation_is_replayed(device: str, make_model: MakeModel, episodes: list[Episode]) -> None:
    model, inner = make_model("gru").to(device).eval(), InnerLoop(0.5, 3)
    engine, traced = recorded(VectorizedEngine(), device)
    for tasks in [episodes, *variations(episodes)]:
        supports = [episode.support.to(torch.device(device)) for episode in tasks if episode.support is not None]
        steps = [list(adapt_together(model, mean_token_loss, supports, inner, of)) for of in (engine.graphs, None)]
        for one, other in zip(*steps, strict=True):
            torch.testing.assert_close(one.parameters, other.parameters, rtol=1e-10, atol=1e-12)
    assert traced.graphs == 2 * (device == "cpu")  # the first step has weights that all tasks share


LOOPS = (InnerLoop(0.5, 1), InnerLoop(0.5, 3), InnerLoop(0.5, 2, first_order=True, query_weights=(0.1, 0.2, 0.7)))


@pytest.mark.parametrize("inner", LOOPS, ids=["1 step", "3 steps", "first order, every step counts"])
@pytest.mark.parametrize("tapes", [True, False])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_step_asks_for_no_value(
    cell: str, *, tapes: bool, inner: InnerLoop, make_model: MakeModel, episodes: list[Episode]
) -> None:
    """Nothing synchronises or branches on values: tensors on the device "meta" have none, so it would fail."""
    model = make_model(cell)
    sets: Sets = prepare(model, episodes, inner, TaskSeeds(), rounded=True)
    there, start = tree_map(lambda leaf: leaf if leaf is None else leaf.to("meta"), (sets, start_of(model)))
    swept = Sweep(model, inner, Keeping(tapes=tapes, weights=0), there, start).run()
    assert swept.outer_losses.is_meta
    assert {name: value.shape for name, value in swept.gradients.items()} == {
        name: parameter.shape for name, parameter in model.named_parameters()
    }


class Shapes(TorchDispatchMode):
    """Records every operation with its shapes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[tuple[str, str]] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        shapes = [tuple(leaf.shape) if isinstance(leaf, Tensor) else leaf for leaf in tree_flatten(args)[0]]
        self.seen.add((str(func), str(shapes)))
        return func(*args, **(kwargs or {}))


def test_there_is_no_new_shape_after_the_first_meta_batch_of_a_size(
    make_model: MakeModel, episodes: list[Episode]
) -> None:
    model, inner = make_model("gru"), InnerLoop(0.5, 2)
    shapes = []
    for tasks in variations(episodes):
        sets = prepare(model, tasks, inner, TaskSeeds(), rounded=True)
        with Shapes() as noted:
            Sweep(model, inner, Keeping(tapes=True, weights=0), sets).run()
        shapes.append(noted.seen)
    assert len(shapes) == 3
    assert shapes[0] == shapes[1] == shapes[2]
    assert not any(name.startswith(("aten._local_scalar", "aten.nonzero", "aten._to_copy")) for name, _ in shapes[0])


def test_sizes_are_of_few_kinds() -> None:
    sizes = [rounded_up(count) for count in range(1, 1000)]
    assert sorted(set(sizes))[:10] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    assert all(count <= size < 1.5 * count or count <= 2 for count, size in enumerate(sizes, 1))


def test_what_cannot_be_recorded_is_called(caplog: pytest.LogCaptureFixture) -> None:
    def fail(function: Callable[[Any], Any], argument: object) -> Callable[[Any], Any]:  # noqa: ARG001
        raise RuntimeError("operation not permitted when stream is capturing")

    graphs = Graphs(fail, "cpu")
    for _ in range(4):
        assert graphs.call("key", lambda value: value + 1, torch.ones(())) == 2
    assert len(caplog.records) == 1
    assert not graphs.take(torch.device("cpu"))


def test_functions_and_shapes_have_graphs_of_their_own() -> None:
    traced = Traced()
    graphs = Graphs(traced, "cpu")
    one, two = torch.ones(1), torch.full((2,), 3.0)
    for _ in range(3):
        assert graphs.call("more", lambda value: value[0] + 1, (one, None)) == 2
        assert torch.equal(graphs.call("more", lambda value: value[0] + 1, (two, None)), two + 1)
        assert graphs.call("less", lambda value: value[0] - 1, (one, None)) == 0
    assert traced.graphs == 3
    with OperationCounter() as counter:  # a graph could not be counted
        graphs.call("more", lambda value: value[0] @ value[0], (two, None))
    assert counter.total > 0


@pytest.mark.cuda
def test_a_replay_waits_for_nothing(make_model: MakeModel, episodes: list[Episode]) -> None:
    model, inner = make_model("gru").cuda(), InnerLoop(0.5, 2)
    graphs = Graphs()
    there = [episode.to(torch.device("cuda")) for episode in episodes]
    sets = prepare(model, there, inner, TaskSeeds(), rounded=True)
    keeping = Keeping(tapes=True, weights=0)
    for number in range(3):
        torch.cuda.set_sync_debug_mode("error" if number == 2 else "default")
        try:
            graphs.call("sweep", lambda argument: Sweep(model, inner, keeping, argument).run(), sets)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert graphs.take(torch.device("cuda"))
    assert len(graphs._replays) == 1
