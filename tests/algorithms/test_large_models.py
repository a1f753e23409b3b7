"""Adaptation methods for large models, each compared with its defining equation in float64."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from metadialog.algorithms.base import Algorithm
from metadialog.algorithms.prompt_tuning import embedded
from metadialog.datasets.dialogue import Dialogue
from metadialog.episodes import Batch, Episode, dialogues_of
from metadialog.errors import ConfigError
from metadialog.evaluation.adaptation import Evaluator, Labels
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.evaluation.records import to_frame
from metadialog.generation.greedy import Greedy
from metadialog.models.context import InContext, show
from metadialog.models.loss import mean_token_loss
from metadialog.models.low_rank import LowRankLinear, TaskAdaptiveLinear, factors
from metadialog.models.rnn import DialogModel
from metadialog.models.transformer import Transformer
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.samplers.exchanges import ExchangeEncoder
from metadialog.token_ids import OTHER_ID, SELF_ID
from metadialog.tokenizers.tokenizer import Tokenizer

Make = Callable[..., Algorithm]
RATE, RANK, SCALE = 0.4, 3, 6.0
PROTOCOL = AdaptationProtocol(
    shots=[3],
    queries=3,
    steps=2,
    report_steps=[0, 1],
    episodes_per_topic=1,
    max_tokens=64,
)


@pytest.fixture(params=["recurrent", "transformer"])
def double(request: pytest.FixtureRequest, model: DialogModel, tokenizer: Tokenizer) -> nn.Module:
    if request.param == "recurrent":
        return model.double()
    torch.manual_seed(0)
    return Transformer(
        tokenizer.vocab_size, embedding_size=16, heads=2, layers=1, dropout=0.0, tied_embedding=False
    ).double()


def leaves(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}


def loss_of(model: nn.Module, values: Mapping[str, Tensor], batch: Batch | None) -> Tensor:
    assert batch is not None
    logits: Tensor = functional_call(model, dict(values), (batch.inputs,))[0]
    chosen = logits.log_softmax(-1).gather(-1, batch.targets[..., None]).squeeze(-1)
    return -(chosen * batch.mask).sum() / batch.mask.sum()


def descended(
    model: nn.Module, start: Mapping[str, Tensor], adapted: Sequence[str], support: Batch | None, steps: int
) -> dict[str, Tensor]:
    """Take plain gradient steps on some parameters, as part of the graph."""
    current = dict(start)
    for _ in range(steps):
        found = torch.autograd.grad(
            loss_of(model, current, support), [current[name] for name in adapted], create_graph=True
        )
        current |= {name: current[name] - RATE * gradient for name, gradient in zip(adapted, found, strict=True)}
    return current


def compare(model: nn.Module, expected: Mapping[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        if name in expected:
            assert parameter.grad is not None, name
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-8, atol=1e-12)


def low_rank(make_algorithm: Make, choice: str, **options: object) -> Algorithm:
    return make_algorithm(choice, inner_lr=RATE, inner_steps=2, rank=RANK, scale=SCALE, **options)


def stirred(model: nn.Module) -> nn.Module:
    """Change the factors from their initial values, at which half of the derivatives are zero."""
    for name in sorted(factors(model)):
        nn.init.normal_(model.get_parameter(name), std=0.2)
    return model


def test_factors_are_those_of_the_equation() -> None:
    layer = nn.Linear(5, 4).double()
    changed = LowRankLinear(layer, RANK, SCALE)
    x = torch.randn(2, 5, dtype=torch.float64)
    assert torch.equal(changed(x), layer(x))
    nn.init.normal_(changed.up)
    expected = x @ (layer.weight + SCALE / RANK * changed.up @ changed.down).T + layer.bias
    torch.testing.assert_close(changed(x), expected)
    assert changed.weight is layer.weight


def test_task_adaptive_weights_are_those_of_the_equation() -> None:
    layer = nn.Linear(5, 4).double()
    changed = TaskAdaptiveLinear(layer, RANK, SCALE)
    tokens = torch.randn(2, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(changed(tokens), layer(tokens))
    for name in changed.factors:
        nn.init.normal_(changed.get_parameter(name))
    for x, output in zip(tokens.flatten(0, 1), changed(tokens).flatten(0, 1), strict=True):
        gate, diagonal = (1 + changed.expand @ (changed.squeeze @ x).relu()).split(RANK)
        multiplier = 1 + changed.gate_out @ gate.diag() @ changed.gate_in
        added = SCALE / RANK * changed.up @ diagonal.diag() @ changed.down
        torch.testing.assert_close(output, (multiplier * layer.weight + added) @ x + layer.bias)


@pytest.mark.parametrize("update", ["lora", "tarp"])
@pytest.mark.parametrize("first_order", [False, True])
def test_low_rank_maml(
    make_algorithm: Make, double: nn.Module, sampler: EpisodeSampler, first_order: bool, update: str
) -> None:
    algorithm = low_rank(make_algorithm, "low_rank_fomaml" if first_order else "low_rank_maml", update=update)
    model = stirred(algorithm.prepare(double).double())
    adapted, start, episodes = sorted(factors(model)), leaves(model), sampler.batch(2)
    losses = []
    for episode in episodes:
        current = descended(model, start, adapted, episode.support, 2)
        if first_order:  # the inner gradients are constants
            steps = {name: (current[name] - start[name]).detach() for name in adapted}
            current = {**start, **{name: start[name] + steps[name] for name in adapted}}
        losses.append(loss_of(model, current, episode.query))
    outer = torch.stack(losses).mean()
    assert algorithm.outer_step(model, episodes, 0).loss == pytest.approx(outer.item())
    found = torch.autograd.grad(outer, list(start.values()))
    compare(model, dict(zip(start, found, strict=True)))
    *_, last = algorithm.adapt(model, episodes[0].support, 2)
    moved = {name for name, value in last.named_parameters() if not torch.equal(value, start[name])}
    assert moved == set(adapted)


def test_low_rank_reptile(make_algorithm: Make, double: nn.Module, sampler: EpisodeSampler) -> None:
    algorithm = low_rank(make_algorithm, "low_rank_reptile", dialogues="support")
    model = stirred(algorithm.prepare(double).double())
    adapted, start, episodes = sorted(factors(model)), leaves(model), sampler.batch(2)
    algorithm.outer_step(model, episodes, 0)
    ends = [descended(model, start, adapted, episode.support, 2) for episode in episodes]
    compare(model, {n: torch.stack([start[n] - end[n] for end in ends]).mean(0).detach() for n in adapted})
    assert all(parameter.grad is None for name, parameter in model.named_parameters() if name not in adapted)


def test_low_rank_meta_sgd(make_algorithm: Make, double: nn.Module, sampler: EpisodeSampler) -> None:
    algorithm = low_rank(make_algorithm, "low_rank_meta_sgd")
    model = stirred(algorithm.prepare(double).double())
    algorithm.learned.double()
    adapted, start, episodes = sorted(factors(model)), leaves(model), sampler.batch(2)
    rates = {name: torch.full_like(start[name], RATE).requires_grad_() for name in adapted}
    losses = []
    for episode in episodes:
        current = dict(start)
        for _ in range(2):
            found = torch.autograd.grad(
                loss_of(model, current, episode.support), [current[name] for name in adapted], create_graph=True
            )
            current |= {n: current[n] - rates[n] * gradient for n, gradient in zip(adapted, found, strict=True)}
        losses.append(loss_of(model, current, episode.query))
    outer = torch.stack(losses).mean()
    algorithm.outer_step(model, episodes, 0)
    compare(model, dict(zip(start, torch.autograd.grad(outer, list(start.values()), retain_graph=True), strict=True)))
    expected = torch.autograd.grad(outer, list(rates.values()))
    learned = {name.rpartition(".")[2].replace("/", "."): p.grad for name, p in algorithm.learned.named_parameters()}
    for name, gradient in zip(rates, expected, strict=True):
        torch.testing.assert_close(learned[name], gradient, rtol=1e-8, atol=1e-12)


def test_low_rank_fine_tuning(make_algorithm: Make, double: nn.Module, sampler: EpisodeSampler) -> None:
    algorithm = low_rank(make_algorithm, "low_rank_finetune")
    model = stirred(algorithm.prepare(double).double())
    adapted, start, episode = sorted(factors(model)), leaves(model), sampler.sample()
    expected = descended(model, start, adapted, episode.support, 3)
    *_, last = algorithm.adapt(model, episode.support, 3)
    for name, value in last.named_parameters():
        torch.testing.assert_close(value, expected[name])


def test_a_frozen_base_leaves_the_factors_to_train(make_algorithm: Make, double: nn.Module) -> None:
    model = low_rank(make_algorithm, "low_rank_finetune", base="frozen").prepare(double)
    assert {name for name, value in model.named_parameters() if value.requires_grad} == factors(model)


def test_layers_that_are_not_there_are_named(make_algorithm: Make, model: DialogModel) -> None:
    with pytest.raises(ConfigError, match=r"algorithm.layers=\['body'\]: no linear layer is among rnn"):
        low_rank(make_algorithm, "low_rank_finetune", layers=["body"]).prepare(model)


def test_what_has_factors_is_unknown_to_the_fast_engines(make_algorithm: Make, model: DialogModel) -> None:
    algorithm = make_algorithm("low_rank_maml", engine="vectorized")
    with pytest.raises(ConfigError, match="not a model with LowRankLinear"):
        algorithm.check(algorithm.prepare(model))


@pytest.mark.parametrize("context_turns", [1, 2, 3, 5])
def test_dialogues_come_back_from_their_exchanges(
    topics: Mapping[str, Sequence[Dialogue]], tokenizer: Tokenizer, context_turns: int
) -> None:
    long = [dialogue for of in topics.values() for dialogue in of if len(dialogue.turns) > 3][:4]
    long += topics["food"][:2]
    batch = ExchangeEncoder(tokenizer, context_turns, 200, "response").batch(long)
    found = dialogues_of(batch)
    assert len(found) == len(long)
    for tokens, dialogue in zip(found, long, strict=True):
        last = dialogue.turns[-1].speaker
        expected = [tokenizer.begin_id]
        for turn in dialogue.turns:
            expected += [SELF_ID if turn.speaker == last else OTHER_ID, *tokenizer.encode(turn.text)]
        assert tokens == expected


def test_dialogues_are_one_each_where_their_turns_are_cut(
    topics: Mapping[str, Sequence[Dialogue]], tokenizer: Tokenizer
) -> None:
    long = [dialogue for of in topics.values() for dialogue in of if len(dialogue.turns) > 3][:4]
    lengths = [len(tokenizer.encode(turn.text)) for dialogue in long for turn in dialogue.turns]
    room = max(lengths) - 4
    assert any(room - 2 < length for length in lengths)
    found = dialogues_of(ExchangeEncoder(tokenizer, 1, room, "response").batch(long))
    assert len(found) == len(long)


def test_in_context_reads_the_support_set_first(
    make_algorithm: Make, double: nn.Module, sampler: EpisodeSampler
) -> None:
    episode = sampler.sample()
    assert episode.support is not None
    dialogues = dialogues_of(episode.support)
    room = len(dialogues[0]) + len(dialogues[1])
    algorithm = make_algorithm("in_context", prompt_tokens=room)
    model = algorithm.prepare(double)
    bare, prompted = algorithm.adapt(model, episode.support, 5)
    assert bare is model
    assert isinstance(prompted, InContext)
    assert (prompted.shown.dialogues, prompted.shown.left_out) == (2, len(dialogues) - 2)
    read = [*dialogues[0], *dialogues[1]]
    assert list(prompted.shown.tokens) == read
    query = episode.query
    losses = []
    for tokens, targets, mask in zip(query.inputs, query.targets, query.mask, strict=True):
        logits, _ = model(torch.cat([torch.tensor(read), tokens])[None])
        log_p = logits[0, len(read) :].log_softmax(-1)
        losses.append(-(log_p.gather(-1, targets[:, None])[:, 0] * mask).sum())
    expected = torch.stack(losses).sum() / query.mask.sum()
    torch.testing.assert_close(mean_token_loss(prompted, query), expected)
    prompts = [exchange.prompt for exchange in episode.exchanges[:3]]
    arguments = (2, [0, 1, 3, 4], None)
    replies = Greedy(max_tokens=6).generate(prompted, prompts, *arguments)
    assert replies == Greedy(max_tokens=6).generate(model, [(*read, *prompt) for prompt in prompts], *arguments)


def test_the_records_say_what_stood_in_the_prompt(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, tokenizer: Tokenizer
) -> None:
    episode, protocol = sampler.sample(), PROTOCOL
    assert episode.support is not None
    labels = Labels("in_context", "auto", "chatterbot", 0, "meta_test", "en")
    first = dialogues_of(episode.support)[0]
    generation = Greedy(max_tokens=3)
    for room, expected in ((len(first), (1, 2)), (len(first) - 1, (0, 3))):
        algorithm = make_algorithm("in_context", prompt_tokens=room)
        records, _ = Evaluator(algorithm, protocol, generation, tokenizer, labels).evaluate(model, [episode])
        frame = to_frame(records)
        assert frame["in_prompt"].isna().tolist() == [True, False]
        assert (frame["in_prompt"].iloc[1], frame["left_out"].iloc[1]) == expected
        assert frame["prompt_tokens"].iloc[1] == (len(first) if expected[0] else 0)
    zero_shot = make_algorithm("zero_shot")
    records, _ = Evaluator(zero_shot, protocol, generation, tokenizer, labels).evaluate(model, [episode])
    assert "in_prompt" not in to_frame(records).columns


def test_meta_in_context(make_algorithm: Make, double: nn.Module, sampler: EpisodeSampler) -> None:
    episodes = sampler.batch(2)
    algorithm = make_algorithm("meta_in_context", prompt_tokens=1000)
    model = algorithm.prepare(double)
    tokens = sum(int(episode.query.mask.sum()) for episode in episodes)
    total = torch.zeros((), dtype=torch.float64)
    for episode in episodes:
        assert episode.support is not None
        read = torch.tensor([token for dialogue in dialogues_of(episode.support) for token in dialogue])
        query = episode.query
        logits, _ = model(torch.cat([read.expand(len(query.inputs), -1), query.inputs], dim=1))
        chosen = logits[:, len(read) :].log_softmax(-1).gather(-1, query.targets[..., None])[..., 0]
        total = total - (chosen * query.mask).sum() / tokens
    expected = torch.autograd.grad(total, list(model.parameters()))
    result = algorithm.outer_step(model, episodes, 0)
    assert result.loss == pytest.approx(total.item())
    assert result.size == tokens
    compare(model, dict(zip((name for name, _ in model.named_parameters()), expected, strict=True)))


def test_low_rank_in_context(make_algorithm: Make, double: nn.Module, sampler: EpisodeSampler) -> None:
    episode = sampler.sample()
    assert episode.support is not None
    algorithm = low_rank(make_algorithm, "low_rank_in_context", prompt_tokens=60)
    model = stirred(algorithm.prepare(double).double())
    start = leaves(model)
    steps = [
        (type(one), {name: value.detach().clone() for name, value in one.named_parameters()},
         mean_token_loss(one, episode.query).item())
        for one in algorithm.adapt(model, episode.support, 2)
    ]  # fmt: skip
    assert [kind for kind, _, _ in steps] == [type(model), InContext, InContext]
    for number, (_, values, loss) in enumerate(steps[1:], 1):
        expected = descended(model, start, sorted(factors(model)), episode.support, number)
        for name, value in expected.items():
            torch.testing.assert_close(values[f"base.{name}"], value)
        prompted = InContext(model, show(dialogues_of(episode.support), 60))
        with torch.no_grad():
            for name, value in expected.items():
                model.get_parameter(name).copy_(value)
            assert loss == pytest.approx(mean_token_loss(prompted, episode.query).item())
            for name, value in start.items():
                model.get_parameter(name).copy_(value)


def with_prefix(model: Any, prefix: Tensor, batch: Batch | None) -> Tensor:  # noqa: ANN401
    """Return the mean token loss of a recurrent model that first reads a prefix of vectors, computed directly."""
    assert batch is not None
    vectors = torch.cat([prefix.expand(len(batch.inputs), -1, -1), model.embed(batch.inputs)], dim=1)
    hidden, _ = model.rnn(vectors)
    log_p = model.linear(hidden[:, len(prefix) :]).log_softmax(-1)
    loss: Tensor = -(log_p.gather(-1, batch.targets[..., None])[..., 0] * batch.mask).sum() / batch.mask.sum()
    return loss


def tuned(model: nn.Module, start: Tensor, support: Batch | None, steps: int) -> Tensor:
    prefix = start
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(with_prefix(model, prefix, support), prefix, create_graph=True)
        prefix = prefix - RATE * gradient
    return prefix


def test_prompt_tuning(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    episode = sampler.sample()
    assert episode.support is not None
    algorithm = make_algorithm("prompt_tuning", inner_lr=RATE, inner_steps=2, length=7)
    prepared = algorithm.prepare(model.double())
    tokens = torch.tensor([token for dialogue in dialogues_of(episode.support) for token in dialogue])
    start = model.embed.weight.detach()[tokens[:7]].requires_grad_()
    torch.testing.assert_close(embedded(prepared, episode.support, 7), start.detach())
    found = [mean_token_loss(one, episode.query).item() for one in algorithm.adapt(prepared, episode.support, 3)]
    expected = [with_prefix(model, tuned(model, start, episode.support, n), episode.query).item() for n in (1, 2, 3)]
    assert found == [pytest.approx(mean_token_loss(model, episode.query).item()), *map(pytest.approx, expected)]
    support = [with_prefix(model, tuned(model, start, episode.support, n), episode.support).item() for n in range(4)]
    assert all(after < before for before, after in pairwise(support))


def test_a_prefix_is_filled_where_the_support_set_is_short(model: DialogModel, sampler: EpisodeSampler) -> None:
    support = sampler.sample().support
    assert support is not None
    assert embedded(model, support, 500).shape == (500, 16)
    assert embedded(model, support, 500).isfinite().all()


def test_meta_prompt_tuning(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    episodes = sampler.batch(2)
    algorithm = make_algorithm("meta_prompt_tuning", inner_lr=RATE, inner_steps=2, length=5)
    torch.manual_seed(0)
    bare = DialogModel(
        model.embed.num_embeddings, cell="gru", embedding_size=16, hidden_size=32, layers=1, dropout=0.0,
        tied_embedding=False,
    ).double()  # fmt: skip
    bare.load_state_dict(model.double().state_dict())
    prepared = algorithm.prepare(model)
    name = next(iter(algorithm.adapted_parameters(prepared)))  # type: ignore[attr-defined]
    prefix = prepared.get_parameter(name).detach().clone().requires_grad_()
    rows = {tuple(row) for row in bare.embed.weight.detach().tolist()}
    assert all(tuple(row) in rows for row in prefix.tolist())  # embeddings of tokens
    outer = torch.stack(
        [with_prefix(bare, tuned(bare, prefix, episode.support, 2), episode.query) for episode in episodes]
    ).mean()
    assert algorithm.outer_step(prepared, episodes, 0).loss == pytest.approx(outer.item())
    of_prefix, of_linear = torch.autograd.grad(outer, [prefix, bare.linear.weight])
    torch.testing.assert_close(prepared.get_parameter(name).grad, of_prefix, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(prepared.get_parameter("base.linear.weight").grad, of_linear, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("choice", ["low_rank_maml", "prompt_tuning", "meta_prompt_tuning"])
def test_what_is_adapted_is_not_chosen_twice(make_algorithm: Make, choice: str) -> None:
    from metadialog.algorithms.base import Tools
    from metadialog.inner.sgd import GradientDescent

    kind = type(make_algorithm(choice))
    with pytest.raises(ConfigError, match=rf"inner.adapted and inner.frozen: algorithm={choice}"):
        kind(Tools(rule=GradientDescent(adapted=["head"])), name=choice)


def test_a_whole_episode_is_adapted_to(
    make_algorithm: Make, tiny_pretrained: object, choice: str, topics: Mapping[str, Sequence[Dialogue]]
) -> None:
    """Every algorithm in `conf/algorithm` adapts a (tiny) pretrained model."""
    from metadialog.models.pretrained import PretrainedModel
    from metadialog.tokenizers.pretrained import PretrainedTokenizer

    tokenizer = PretrainedTokenizer(path=str(tiny_pretrained)).train([])
    model = PretrainedModel(tokenizer.vocab_size, path=str(tiny_pretrained), system="Talk.", attention="eager").eval()
    algorithm = make_algorithm(choice, **({"inner_lr": 0.05} if hasattr(make_algorithm(choice), "inner_lr") else {}))
    encoder = ExchangeEncoder(tokenizer, 1, 24, "response")
    support, query = encoder.batch(topics["food"][:2]), encoder.batch(topics["food"][2:4])
    episode = Episode("food", 0, support, query, (), ("a", "b"), ("c", "d"), others=lambda: support)
    prepared = algorithm.prepare(model)
    if algorithm.trains and any(parameter.requires_grad for parameter in prepared.parameters()):
        algorithm.outer_step(prepared, [episode], 0)
        grads = [p.grad for p in prepared.parameters() if p.requires_grad and p.grad is not None]
        assert grads
        assert all(gradient.isfinite().all() for gradient in grads)
    losses = [mean_token_loss(one, query).item() for one in algorithm.adapt(prepared, algorithm.adapts_to(episode), 2)]
    assert all(loss == loss and loss < 100 for loss in losses)
    if len(losses) > 1:
        assert losses[-1] != losses[0]
