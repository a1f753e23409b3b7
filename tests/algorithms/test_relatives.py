"""Variants of MAML, each compared with its defining equation in plain autograd and float64."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from metadialog.algorithms.alfa import ALFA, Generator
from metadialog.algorithms.base import Algorithm, GradientAlgorithm
from metadialog.algorithms.maml_plus_plus import MAMLPlusPlus
from metadialog.episodes import Batch, Episode, merge
from metadialog.errors import ConfigError
from metadialog.models.loss import mean_token_loss
from metadialog.models.rnn import DialogModel
from metadialog.randomness import TaskSeeds
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.token_ids import PAD_ID

Make = Callable[..., Algorithm]
Parameters = Mapping[str, Tensor]
RATE = 0.4


@pytest.fixture
def double(model: DialogModel) -> DialogModel:
    return model.double()


def loss_of(model: nn.Module, parameters: Parameters, batch: Batch | None) -> Tensor:
    """Return the mean token loss, computed directly."""
    assert batch is not None
    logits: Tensor = functional_call(model, dict(parameters), (batch.inputs,))[0]
    chosen = logits.log_softmax(-1).gather(-1, batch.targets[..., None]).squeeze(-1)
    return -(chosen * batch.mask).sum() / batch.mask.sum()


def leaves(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}


def gradients_of(loss: Tensor, parameters: Parameters, *, graph: bool = True) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(parameters.values()), create_graph=graph)
    return dict(zip(parameters, found, strict=True))


def compare(model: nn.Module, expected: Parameters) -> None:
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("adapted", [["head"], ["body", "linear.bias"], ["embeddings"]])
def test_anil_adapts_a_part_and_learns_all(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler, adapted: list[str]
) -> None:
    episodes = sampler.batch(2)
    prefixes = {"head": "linear.", "body": "rnn.", "embeddings": "embed.", "linear.bias": "linear.bias"}
    start = leaves(double)
    losses = []
    for episode in episodes:
        current = dict(start)
        for _ in range(2):
            changed = {n: v for n, v in current.items() if any(n.startswith(prefixes[part]) for part in adapted)}
            found = gradients_of(loss_of(double, current, episode.support), changed)
            current |= {name: changed[name] - RATE * gradient for name, gradient in found.items()}
        losses.append(loss_of(double, current, episode.query))
    outer = torch.stack(losses).mean()
    algorithm = make_algorithm("anil", inner_lr=RATE, inner_steps=2, adapted=adapted)
    assert algorithm.outer_step(double, episodes, 0).loss == pytest.approx(outer.item())
    compare(double, gradients_of(outer, start, graph=False))
    *_, last = algorithm.adapt(double, episodes[0].support, 3)
    moved = {name for name, value in last.named_parameters() if not torch.equal(value, start[name])}
    assert moved == {n for n in start if any(n.startswith(prefixes[part]) for part in adapted)}


@pytest.mark.parametrize("dialogues", ["all", "support"])
def test_reptile_moves_towards_the_trained_weights(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler, dialogues: str
) -> None:
    episodes = sampler.batch(3)
    start = leaves(double)
    ends = []
    for episode in episodes:
        assert episode.support is not None
        batch = episode.support if dialogues == "support" else merge([episode.support, episode.query])
        current = dict(start)
        for _ in range(4):
            found = gradients_of(loss_of(double, current, batch), current, graph=False)
            current = {n: (v - RATE * found[n]).detach().requires_grad_() for n, v in current.items()}
        ends.append(current)
    make_algorithm("reptile", inner_lr=RATE, inner_steps=4, dialogues=dialogues, minibatch=None).outer_step(
        double, episodes, 0
    )
    way = {name: torch.stack([value - end[name] for end in ends]).mean(0).detach() for name, value in start.items()}
    compare(double, way)


def test_reptile_draws_a_minibatch_for_each_inner_step(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler
) -> None:
    episode = sampler.sample()
    assert episode.support is not None
    batch = merge([episode.support, episode.query])
    size = len(batch.inputs) // 2
    algorithm = make_algorithm("reptile", inner_lr=RATE, inner_steps=3, minibatch=size)
    torch.manual_seed(4)
    result = algorithm.outer_step(double, [episode], 0)
    torch.manual_seed(4)
    start, drawn, order = leaves(double), [], torch.empty(0, dtype=torch.int64)
    current = dict(start)
    with TaskSeeds().of(episode.index):
        for _ in range(3):
            order = order if len(order) >= size else torch.randperm(len(batch.inputs))
            drawn.append(order[:size])
            order = order[size:]
            rows = drawn[-1]
            part = Batch(batch.inputs[rows], batch.targets[rows], batch.mask[rows], batch.words[rows])
            found = gradients_of(loss_of(double, current, part), current, graph=False)
            current = {n: (v - RATE * found[n]).detach().requires_grad_() for n, v in current.items()}
    assert not set(drawn[0].tolist()) & set(drawn[1].tolist())  # in turn, without repetition
    assert result.tokens == (sum(int((batch.inputs[rows] != PAD_ID).sum()) for rows in drawn), 0)
    compare(double, {name: (value - current[name]).detach() for name, value in start.items()})


def test_reptile_of_one_step_is_joint_training(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler
) -> None:
    episodes = sampler.batch(1)
    make_algorithm("reptile", inner_lr=RATE, inner_steps=1, minibatch=None).outer_step(double, episodes, 0)
    of_reptile = {name: parameter.grad for name, parameter in double.named_parameters()}
    make_algorithm("finetune").outer_step(double, episodes, 0)
    for name, parameter in double.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(of_reptile[name], RATE * parameter.grad)


def rates_like(start: Parameters, *, whole: bool) -> dict[str, Tensor]:
    return {
        name: torch.full(() if whole else value.shape, RATE, dtype=value.dtype).requires_grad_()
        for name, value in start.items()
    }


def test_meta_sgd_learns_a_rate_for_each_weight(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler
) -> None:
    episodes = sampler.batch(2)
    start = leaves(double)
    rates = rates_like(start, whole=False)
    losses = []
    for episode in episodes:
        current: Parameters = start
        for _ in range(2):
            found = gradients_of(loss_of(double, current, episode.support), current)
            current = {name: value - rates[name] * found[name] for name, value in current.items()}
        losses.append(loss_of(double, current, episode.query))
    outer = torch.stack(losses).mean()
    algorithm = make_algorithm("meta_sgd", inner_lr=RATE, inner_steps=2)
    assert algorithm.prepare(double) is double
    assert algorithm.outer_step(double, episodes, 0).loss == pytest.approx(outer.item())
    compare(double, gradients_of(outer, start))
    expected = gradients_of(outer, rates, graph=False)
    learned = dict(algorithm.learned.named_parameters())
    assert len(learned) == len(expected)
    for name, rate in learned.items():
        assert rate.grad is not None
        torch.testing.assert_close(rate.grad, expected[name.removeprefix("steps.0.").replace("/", ".")])


def plus_plus(make_algorithm: Make, **options: object) -> MAMLPlusPlus:
    given = {"inner_lr": RATE, "inner_steps": 3, "multi_step_until": 10, "first_order_until": 5, **options}
    algorithm = make_algorithm("maml_plus_plus", **given)
    assert isinstance(algorithm, MAMLPlusPlus)
    return algorithm


@pytest.mark.parametrize("step", [0, 4, 5, 8, 10, 1000])
def test_maml_plus_plus_anneals_order_and_weights(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler, step: int
) -> None:
    episodes = sampler.batch(2)
    start = leaves(double)
    rates = [rates_like(start, whole=True) for _ in range(3)]
    early = max(0.0, (1 - step / 10) / 3)
    weights = (early, early, 1 - 2 * early)
    losses = []
    for episode in episodes:
        current: Parameters = start
        for inner_step in range(3):
            found = gradients_of(loss_of(double, current, episode.support), current)
            found = {name: value.detach() if step < 5 else value for name, value in found.items()}
            current = {name: value - rates[inner_step][name] * found[name] for name, value in current.items()}
            losses.append(weights[inner_step] * loss_of(double, current, episode.query))
    outer = torch.stack(losses).sum() / 2
    algorithm = plus_plus(make_algorithm)
    algorithm.prepare(double)
    assert algorithm.outer_step(double, episodes, step).loss == pytest.approx(outer.item())
    compare(double, gradients_of(outer, start))
    for inner_step, of_step in enumerate(rates):
        expected = gradients_of(outer, of_step)
        for name, rate in algorithm.learned.get_submodule(f"steps.{inner_step}").named_parameters():
            assert rate.grad is not None
            torch.testing.assert_close(rate.grad, expected[name.replace("/", ".")], rtol=1e-7, atol=1e-12)


def test_maml_plus_plus_weights_move_to_the_last_step(make_algorithm: Make) -> None:
    algorithm = plus_plus(make_algorithm)
    assert algorithm.query_weights(0) == pytest.approx((0, 1 / 3, 1 / 3, 1 / 3))
    assert algorithm.query_weights(5) == pytest.approx((0, 1 / 6, 1 / 6, 2 / 3))
    assert plus_plus(make_algorithm, inner_steps=1).query_weights(2) == pytest.approx((0, 1))


def test_maml_plus_plus_without_its_mends_is_maml(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler
) -> None:
    episodes = sampler.batch(2)
    bare = plus_plus(make_algorithm, multi_step_until=0, first_order_until=0, learned_rates=False)
    bare.prepare(double)
    assert not list(bare.learned.parameters())
    bare.outer_step(double, episodes, 0)
    found = {name: parameter.grad for name, parameter in double.named_parameters()}
    make_algorithm("maml", inner_lr=RATE).outer_step(double, episodes, 0)
    for name, parameter in double.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


def test_learned_rates_are_those_of_adaptation(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler
) -> None:
    """Each step has its own rate; steps beyond those of training have the last rate; `scale` multiplies all."""
    support = sampler.sample().support
    algorithm = plus_plus(make_algorithm, inner_steps=2)
    algorithm.prepare(double)
    with torch.no_grad():
        for place, number in enumerate((0.1, 0.2)):
            for rate in algorithm.learned.get_submodule(f"steps.{place}").parameters():
                rate.fill_(number)
    current: dict[str, Tensor] = leaves(double)
    for rate_of_step, adapted in zip((0.05, 0.1, 0.1), list(_states(algorithm, double, support))[1:], strict=True):
        found = gradients_of(loss_of(double, current, support), current, graph=False)
        current = {n: (v - rate_of_step * found[n]).detach().requires_grad_() for n, v in current.items()}
        for name, value in current.items():
            torch.testing.assert_close(adapted[name], value.detach())


def _states(algorithm: Algorithm, model: nn.Module, support: Batch | None) -> list[dict[str, Tensor]]:
    return [
        {name: value.detach().clone() for name, value in adapted.named_parameters()}
        for adapted in algorithm.adapt(model, support, 3, 0.5)
    ]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_meta_curvature_transforms_the_inner_gradients(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler, reduction: str
) -> None:
    episodes = sampler.batch(2)
    algorithm = make_algorithm("meta_curvature", inner_lr=RATE, inner_steps=2, reduction=reduction)
    algorithm.prepare(double)
    algorithm.learned.double()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for value in algorithm.learned.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    start = leaves(double)
    transforms = {name: value.detach().clone().requires_grad_() for name, value in algorithm.learned.named_parameters()}

    def transformed(place: int, gradient: Tensor) -> Tensor:
        prefix = f"transforms_modules.{place}"
        if gradient.dim() == 1:
            return transforms[f"{prefix}.mc"] * gradient
        return torch.einsum("ij,jk,kl->il", transforms[f"{prefix}.mc_in"], gradient, transforms[f"{prefix}.mc_out"])

    losses = []
    for episode in episodes:
        current: Parameters = start
        for _ in range(2):
            inner = gradients_of(loss_of(double, current, episode.support), current)
            current = {n: v - RATE * transformed(i, inner[n]) for i, (n, v) in enumerate(current.items())}
        losses.append(loss_of(double, current, episode.query))
    outer = torch.stack(losses).mean() if reduction == "mean" else torch.stack(losses).sum()
    found = algorithm.outer_step(double, episodes, 0)
    assert found.loss == pytest.approx(outer.item())
    assert found.query_loss == pytest.approx(torch.stack(losses).mean().item())
    compare(double, gradients_of(outer, start))
    for name, value in algorithm.learned.named_parameters():
        assert value.grad is not None
        torch.testing.assert_close(value.grad, gradients_of(outer, {name: transforms[name]})[name])


def alfa(make_algorithm: Make, model: nn.Module, **options: object) -> ALFA:
    """Return ALFA with a network that generates different values for every task and step."""
    given = {"inner_lr": RATE, "inner_steps": 2, **options}
    algorithm = make_algorithm("alfa", **given)
    assert isinstance(algorithm, ALFA)
    algorithm.prepare(model)
    algorithm.learned.double()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in algorithm.learned.parameters():
            value.add_(0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    return algorithm


def alfa_step(
    made: Parameters, current: Parameters, found: Parameters, changed: list[str], step: int, scale: float = 1.0
) -> dict[str, Tensor]:
    """Take an inner step of ALFA, computed directly."""
    state = torch.stack([current[n].mean() for n in changed] + [found[n].detach().mean() for n in changed])
    hidden = torch.clamp(made["hidden.weight"] @ state + made["hidden.bias"], min=0)
    generated = made["output.weight"] @ hidden + made["output.bias"]
    alphas = generated[: len(changed)] * made["rates"][step]
    betas = 1 - generated[len(changed) :] * made["decays"][step]
    stepped = {name: betas[i] * current[name] - scale * alphas[i] * found[name] for i, name in enumerate(changed)}
    return {**current, **stepped}


@pytest.mark.parametrize(("first_order", "frozen"), [(False, "[]"), (True, "[]"), (False, "[embeddings]")])
def test_alfa_generates_rates_and_decay_and_learns_how(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler, first_order: bool, frozen: str
) -> None:
    episodes = sampler.batch(2)
    algorithm = alfa(make_algorithm, double, inner=f"inner.frozen={frozen}", first_order=first_order)
    start, made = leaves(double), leaves(algorithm.learned)
    changed = [name for name in start if frozen == "[]" or not name.startswith("embed.")]
    losses = []
    for episode in episodes:
        current: Parameters = start
        for step in range(2):
            found = gradients_of(loss_of(double, current, episode.support), {n: current[n] for n in changed})
            found = {name: value.detach() if first_order else value for name, value in found.items()}
            current = alfa_step(made, current, found, changed, step)
        losses.append(loss_of(double, current, episode.query))
    outer = torch.stack(losses).mean()
    assert algorithm.outer_step(double, episodes, 0).loss == pytest.approx(outer.item())
    compare(double, gradients_of(outer, start))
    compare(algorithm.learned, gradients_of(outer, made))


def test_alfa_generates_anew_in_adaptation(make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler) -> None:
    """Steps beyond those of training have the values of the last one; `scale` multiplies the rates, not the decay."""
    support = sampler.sample().support
    algorithm = alfa(make_algorithm, double)
    current, made = leaves(double), leaves(algorithm.learned)
    for step, adapted in zip((0, 1, 1), _states(algorithm, double, support)[1:], strict=True):
        found = gradients_of(loss_of(double, current, support), current, graph=False)
        after = alfa_step(made, current, found, list(current), step, 0.5)
        current = {name: value.detach().requires_grad_() for name, value in after.items()}
        for name, value in current.items():
            torch.testing.assert_close(adapted[name], value.detach())


def test_alfa_starts_at_the_initial_rate_and_its_decay(make_algorithm: Make, double: DialogModel) -> None:
    algorithm = make_algorithm("alfa", inner_lr=RATE, initial_decay=0.01)
    algorithm.prepare(double)
    generator = algorithm.learned.double()
    assert isinstance(generator, Generator)
    parameters = leaves(double)
    rates, decays = generator(parameters, parameters, 1)
    assert [rate.item() for rate in rates.values()] == pytest.approx([RATE] * len(rates))
    assert [decay.item() for decay in decays.values()] == pytest.approx([0.01 * RATE] * len(decays))


@pytest.mark.parametrize("choice", ["meta_curvature", "alfa"])
def test_what_transforms_the_steps_starts_as_maml(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    support = sampler.sample().support
    options = {"initial_decay": 0.0} if choice == "alfa" else {}
    algorithm = make_algorithm(choice, inner_lr=RATE, **options)
    algorithm.prepare(double)
    algorithm.learned.double()
    for found, expected in zip(
        _states(algorithm, double, support),
        _states(make_algorithm("maml", inner_lr=RATE), double, support),
        strict=True,
    ):
        for name, value in expected.items():  # learned rates start in single precision
            torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-7)


def test_adaptation_keeps_no_graph(make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler) -> None:
    support = sampler.sample().support
    for choice in ("meta_curvature", "meta_sgd", "maml_plus_plus", "alfa"):
        algorithm = make_algorithm(choice)
        algorithm.prepare(double)
        algorithm.learned.double()
        with torch.no_grad():  # as evaluation has it
            for adapted in algorithm.adapt(double, support, 3):
                assert all(parameter.grad_fn is None for parameter in adapted.parameters())


@pytest.mark.parametrize("inner", ["inner=adam", "inner=momentum", "inner.weight_decay=0.1"])
def test_alfa_refuses_what_it_generates_itself(make_algorithm: Make, inner: str) -> None:
    with pytest.raises(ConfigError, match=r"^inner: algorithm=alfa generates the rates and the weight decay"):
        make_algorithm("alfa", inner=inner)


def test_meta_curvature_refuses_what_learn2learn_does_not_do(make_algorithm: Make) -> None:
    with pytest.raises(ConfigError, match="engine=vectorized: algorithm=meta_curvature is learn2learn's GBML"):
        make_algorithm("meta_curvature", engine="vectorized")


def test_the_learned_part_leads_somewhere(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    """A few outer steps on learned parts only lower the outer loss on the same tasks."""
    episodes: list[Episode] = sampler.batch(4)
    for choice in ("meta_sgd", "maml_plus_plus", "meta_curvature", "alfa"):
        algorithm = make_algorithm(choice, inner_lr=0.05, inner_steps=2)
        algorithm.prepare(model)
        optimizer = torch.optim.Adam(algorithm.learned.parameters(), lr=0.03)
        losses = []
        for _ in range(6):
            losses.append(algorithm.outer_step(model, episodes, 10**6).query_loss)
            optimizer.step()
        assert losses[-1] < losses[0] - 0.01, choice


def test_cavia_adapts_the_context_and_learns_the_rest(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler
) -> None:
    episodes = sampler.batch(2)
    algorithm = make_algorithm("cavia", inner_lr=RATE, inner_steps=2, context_size=5)
    prepared = algorithm.prepare(double).double()
    start = leaves(prepared)
    assert start["embed.context"].abs().sum() == 0
    losses = []
    for episode in episodes:
        context = start["embed.context"]
        for _ in range(2):
            loss = loss_of(prepared, {**start, "embed.context": context}, episode.support)
            context = context - RATE * torch.autograd.grad(loss, context, create_graph=True)[0]
        losses.append(loss_of(prepared, {**start, "embed.context": context}, episode.query))
    outer = torch.stack(losses).mean()
    assert algorithm.outer_step(prepared, episodes, 0).loss == pytest.approx(outer.item())
    expected = gradients_of(outer, start, graph=False)
    for name, parameter in prepared.named_parameters():
        if name == "embed.context":
            assert parameter.grad is None
        else:
            assert parameter.grad is not None, name
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-8, atol=1e-12)
    *_, last = algorithm.adapt(prepared, episodes[0].support, 3)
    moved = {name for name, value in last.named_parameters() if not torch.equal(value, start[name])}
    assert moved == {"embed.context"}


def test_low_rank_adapts_the_factors_and_learns_all(
    make_algorithm: Make, double: DialogModel, sampler: EpisodeSampler
) -> None:
    episodes = sampler.batch(2)
    algorithm = make_algorithm("low_rank", inner_lr=RATE, inner_steps=2, rank=2, matrices=["rnn.*", "head"])
    prepared = algorithm.prepare(double).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in prepared.named_parameters():
            if name.startswith("up."):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    start = leaves(prepared)
    matrices = {"rnn.weight_ih_l0", "rnn.weight_hh_l0", "linear.weight"}
    factors = {name: value for name, value in start.items() if not name.startswith("base.")}
    assert set(factors) == {f"{side}.{name.replace('.', '/')}" for side in ("up", "down") for name in matrices}

    def loss_with(differences: Parameters, batch: Batch | None) -> Tensor:
        weights = {name.removeprefix("base."): value for name, value in start.items() if name.startswith("base.")}
        for name in matrices:
            key = name.replace(".", "/")
            weights[name] = weights[name] + torch.einsum(
                "or,ri->oi", differences[f"up.{key}"], differences[f"down.{key}"]
            )
        return loss_of(double, weights, batch)

    losses = []
    for episode in episodes:
        current: Parameters = factors
        for _ in range(2):
            found = gradients_of(loss_with(current, episode.support), current)
            current = {name: value - RATE * found[name] for name, value in current.items()}
        losses.append(loss_with(current, episode.query))
    outer = torch.stack(losses).mean()
    assert algorithm.outer_step(prepared, episodes, 0).loss == pytest.approx(outer.item())
    compare(prepared, gradients_of(outer, start, graph=False))


def test_little_models_of_a_task_learn_from_it(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    """After a few outer steps on the same tasks, adaptation of the few parameters lowers the loss more than before."""
    episodes = sampler.batch(3)
    for choice, rate in (("cavia", 1.0), ("low_rank", 0.3)):
        algorithm = make_algorithm(choice, inner_lr=rate, inner_steps=2)
        prepared = algorithm.prepare(DialogModel(**OPTIONS))  # type: ignore[arg-type]
        optimizer = torch.optim.Adam(prepared.parameters(), lr=0.02)
        losses = []
        for _ in range(8):
            losses.append(algorithm.outer_step(prepared, episodes, 0).query_loss)
            optimizer.step()
        assert losses[-1] < losses[0] - 0.3, choice
        assert losses[-1] < mean_of(prepared, episodes), choice
    assert model.training


OPTIONS = {
    "vocab_size": 300,
    "cell": "lstm",
    "embedding_size": 16,
    "hidden_size": 16,
    "layers": 1,
    "dropout": 0.0,
    "tied_embedding": True,
}


def mean_of(model: nn.Module, episodes: list[Episode]) -> float:
    return sum(mean_token_loss(model, episode.query).item() for episode in episodes) / len(episodes)


@pytest.mark.parametrize("choice", ["cavia", "low_rank"])
def test_what_they_adapt_cannot_be_chosen_otherwise(make_algorithm: Make, choice: str) -> None:
    with pytest.raises(ConfigError, match=r"inner\.adapted and inner\.frozen: algorithm="):
        make_algorithm(choice, inner="inner.frozen=[head]")


@pytest.mark.parametrize(
    ("choice", "inner", "options"),
    [
        ("maml", "inner.frozen=['*']", "inner.adapted and inner.frozen"),
        ("anil", "inner.frozen=[head]", "algorithm.adapted, inner.adapted and inner.frozen"),
    ],
)
def test_something_has_to_be_adapted(make_algorithm: Make, choice: str, inner: str, options: str) -> None:
    model, algorithm = DialogModel(**OPTIONS), make_algorithm(choice, inner=inner)  # type: ignore[arg-type]
    assert isinstance(algorithm, GradientAlgorithm)
    with pytest.raises(ConfigError, match=rf"^{options}: leave no parameter to adapt; to train without adaptation"):
        algorithm.adapted_parameters(model)
