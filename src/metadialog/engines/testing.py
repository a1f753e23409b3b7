"""A reusable test case for engines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from metadialog.engines.base import Engine, InnerLoop, MetaGradient, Objective
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import Batch, Episode
from metadialog.inner.adam import Adam
from metadialog.inner.base import InnerRule
from metadialog.inner.sgd import PLAIN, GradientDescent, Momentum
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.token_ids import OTHER_ID, PAD_ID, SELF_ID

VOCABULARY = 16


def _options(clip_norm: float | None = None, weight_decay: float = 0.0, chunk: int | None = None) -> dict[str, object]:
    return {"adapted": None, "frozen": [], "clip_norm": clip_norm, "weight_decay": weight_decay, "chunk": chunk}


RULES: Mapping[str, InnerRule] = {
    "sgd": PLAIN,
    "clipped": GradientDescent(**_options(clip_norm=0.3)),  # type: ignore[arg-type]
    "decayed": GradientDescent(**_options(weight_decay=0.3)),  # type: ignore[arg-type]
    "in chunks": GradientDescent(**_options(chunk=1)),  # type: ignore[arg-type]
    "momentum": Momentum(momentum=0.9, nesterov=False, **_options(weight_decay=0.1)),  # type: ignore[arg-type]
    "nesterov": Momentum(momentum=0.9, nesterov=True, **_options()),  # type: ignore[arg-type]
    "adam": Adam(betas=[0.9, 0.99], eps=0.01, **_options(clip_norm=1.0, weight_decay=0.1)),  # type: ignore[arg-type]
}


def random_episodes(tasks: int = 3, seed: int = 0, *, padded: bool = True) -> list[Episode]:
    """Return tasks of random turns; if `padded`, of different sizes, with padding and uncounted tokens."""
    generator = torch.Generator().manual_seed(seed)

    def batch(rows: int, time: int) -> Batch:
        tokens = torch.randint(OTHER_ID + 1, VOCABULARY, (rows, time + 1), generator=generator)
        inputs, targets = tokens[:, :-1].clone(), tokens[:, 1:].clone()
        mask = torch.rand(rows, time, generator=generator) < (0.6 if padded else 2.0)
        for row in range(rows):
            length = int(torch.randint(3, time + 1, (), generator=generator)) if padded else time
            inputs[row, 0], inputs[row, length // 2], mask[row, 0] = SELF_ID, OTHER_ID, True
            inputs[row, length:], mask[row, length:] = PAD_ID, False
        return Batch(inputs, targets, mask, torch.ones(rows, dtype=torch.int64))

    def episode(task: int) -> Episode:
        more = task if padded else 0
        return Episode(f"task {task}", task, batch(2 + more % 2, 5 + more), batch(3 - more % 2, 7 - more), (), (), ())

    return [episode(task) for task in range(tasks)]


def relative_error(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest relative error of any tensor, in the 2-norm."""
    if len(actual) != len(expected):
        raise AssertionError(f"{len(actual)} gradients, where there should be {len(expected)}")
    errors = [0.0]
    for a, b in zip(actual, expected, strict=True):
        if a.shape != b.shape or not bool(a.isfinite().all()):
            raise AssertionError(f"a gradient of shape {tuple(a.shape)}, which should be finite and {tuple(b.shape)}")
        errors.append(float((a - b).norm() / b.norm().clamp_min(1e-12)))
    return max(errors)


class EngineTestCase:
    """Tests that every engine must pass; a subclass, named Test... for pytest to find, creates the engine.

    ```python
    class TestMyEngine(EngineTestCase):
        def make_engine(self) -> Engine:
            return MyEngine()
    ```

    Everything is compared with the reference, the engine `learn2learn`, in double precision.

    Attributes:
        models: functions that create a model with `VOCABULARY` token ids.
        rules: inner rules.
        objective: objective of both levels.
        tolerance: relative tolerance of each gradient.
    """

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {
        "gru": lambda: DialogModel(
            VOCABULARY, cell="gru", embedding_size=3, hidden_size=4, layers=2, dropout=0.0, tied_embedding=False
        )
    }
    rules: ClassVar[Mapping[str, InnerRule]] = RULES
    objective: ClassVar[Objective] = staticmethod(mean_token_loss)
    tolerance: ClassVar[float] = 1e-10

    def make_engine(self) -> Engine:
        """Return the engine."""
        raise NotImplementedError

    def compare(self, model: nn.Module, episodes: Sequence[Episode], inner: InnerLoop) -> MetaGradient:
        """Compare a meta-gradient with the reference, with the same random numbers; return it."""
        objective = type(self).objective
        torch.manual_seed(5)
        expected = Learn2LearnEngine().meta_gradient(model, objective, episodes, inner, "mean")
        torch.manual_seed(5)
        before = [parameter.detach().clone() for parameter in model.parameters()]
        result = self.make_engine().meta_gradient(model, objective, episodes, inner, "mean")
        for name, values in (
            ("gradients", (result.gradients, expected.gradients)),
            ("losses", ([result.loss], [expected.loss])),
            ("support losses", ([result.support_losses], [expected.support_losses])),
            ("query losses", ([result.query_losses], [expected.query_losses])),
            ("gradients of rates", (_values(result), _values(expected))),
            ("gradients of the rule", (result.rule_gradients, expected.rule_gradients)),
        ):
            error = relative_error(*values)
            if error > self.tolerance:
                raise AssertionError(f"{name}: a relative error of {error:.1e}, over {self.tolerance:g}, with {inner}")
        if not all(map(torch.equal, before, model.parameters())):
            raise AssertionError("the model's parameters have changed")
        return result

    def each_model(self) -> list[nn.Module]:
        """Return every model, in double precision."""
        torch.manual_seed(3)
        return [make().double() for make in self.models.values()]

    def test_every_rule(self) -> None:
        """Every inner rule with every model; first order, number of steps and padding alternate."""
        for turn, model in enumerate(self.each_model()):
            for number, rule in enumerate(self.rules.values(), turn):
                orders = (False, True) if len(self.models) == 1 or number % len(self.rules) == 0 else (False,)
                episodes = random_episodes(2, seed=number, padded=number % 4 < 3)
                for first_order in orders:
                    self.compare(model, episodes, InnerLoop(0.3, 1 + number % 5, first_order, rule=rule))

    def test_every_number_of_steps(self) -> None:
        """0 to 5 inner steps, and tasks without padding; the numbers are distributed over the models."""
        for turn, model in enumerate(self.each_model()):
            for steps in range(6) if len(self.models) == 1 else (0, 1 + turn % 5):
                self.compare(model, random_episodes(2, seed=steps, padded=steps % 2 == 0), InnerLoop(0.3, steps))

    def test_learned_rates_and_losses_of_several_steps(self) -> None:
        """Rates by parameter and step, a subset of adapted parameters, and query losses of earlier steps."""
        for turn, model in enumerate(self.each_model()):
            names = [name for name, _ in model.named_parameters()]
            for some, first_order in ((None, turn % 2 == 1), (frozenset(names[len(names) // 2 :]), turn % 2 == 0)):
                inner = InnerLoop(0.3, 3, adapted=some, query_weights=(0.2, 0.3, 0.0, 0.5))
                rates = tuple(
                    {n: torch.rand_like(p).requires_grad_() for n, p in model.named_parameters() if inner.adapts(n)}
                    for _ in range(2)
                )
                for order in (False, True) if len(self.models) == 1 else (first_order,):
                    self.compare(model, random_episodes(2), replace(inner, rates=rates, first_order=order))

    def test_one_task_and_the_sum_over_tasks(self) -> None:
        """A single task, and a sum instead of a mean."""
        for model in self.each_model():
            self.compare(model, random_episodes(1), InnerLoop(0.3, 2))
            of_sum, of_mean = (
                self.make_engine().meta_gradient(model, type(self).objective, random_episodes(), InnerLoop(0.3, 2), how)
                for how in ("sum", "mean")
            )
            error = relative_error(of_sum.gradients, [3 * gradient for gradient in of_mean.gradients])
            if error > self.tolerance:
                raise AssertionError(f"the sum over 3 tasks is not 3 times their mean: relative error {error:.1e}")


def _values(actual: MetaGradient) -> list[Tensor]:
    return [gradient for of_step in actual.rate_gradients for gradient in of_step.values()]
