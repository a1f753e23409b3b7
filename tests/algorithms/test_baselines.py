from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from metadialog.algorithms.base import Algorithm
from metadialog.datasets.dialogue import Dialogue
from metadialog.engines.functional import joint
from metadialog.episodes import merge
from metadialog.models.hred import HRED
from metadialog.models.loss import mean_token_loss, token_losses
from metadialog.models.recurrence import Cell
from metadialog.models.rnn import DialogModel
from metadialog.models.seq2seq import Seq2Seq
from metadialog.operations import OperationCounter
from metadialog.randomness import TaskSeeds
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.samplers.exchanges import Encoders, ExchangeEncoder
from metadialog.samplers.held_out import held_out_episodes
from metadialog.tokenizers.tokenizer import Tokenizer

Make = Callable[..., Algorithm]
SIZES: Mapping[str, Any] = {
    "cell": "gru", "embedding_size": 4, "hidden_size": 5, "dropout": 0.3, "tied_embedding": False,
}  # fmt: skip


@pytest.mark.parametrize("choice", ["finetune", "zero_shot"])
def test_joint_training_is_on_all_dialogues_of_the_meta_batch(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler, choice: str
) -> None:
    episodes = sampler.batch(3)
    total, tokens = torch.zeros(()), 0
    for episode in episodes:
        for batch in (episode.support, episode.query):
            assert batch is not None
            total, tokens = total + token_losses(model, batch).sum(), tokens + int(batch.mask.sum())
    expected = torch.autograd.grad(total / tokens, list(model.parameters()))
    outer = make_algorithm(choice).outer_step(model, episodes, 0)
    assert outer.loss == pytest.approx((total / tokens).item())
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_joint_training_may_count_every_task_alike(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    episodes = sampler.batch(3)
    losses = []
    for episode in episodes:
        assert episode.support is not None
        losses.append(mean_token_loss(model, merge([episode.support, episode.query])))
    mean = torch.stack(losses).mean()
    expected = torch.autograd.grad(mean, list(model.parameters()))
    outer = make_algorithm("finetune", average="tasks").outer_step(model, episodes, 0)
    assert outer.loss == pytest.approx(mean.item())
    assert outer.size is None  # so that several processes weight their parts by the number of tasks
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize(("cell", "layers", "tied"), [("gru", 1, False), ("lstm", 2, True), ("rnn", 1, True)])
@pytest.mark.parametrize("average", ["tokens", "tasks"])
def test_joint_training_is_one_pass_with_the_dropout_of_each_task(
    make_algorithm: Make,
    model: DialogModel,
    sampler: EpisodeSampler,
    cell: Cell,
    layers: int,
    average: str,
    *,
    tied: bool,
) -> None:
    size = model.embed.num_embeddings
    model = DialogModel(
        size, cell=cell, embedding_size=4, hidden_size=5, layers=layers, dropout=0.3, tied_embedding=tied
    ).double()
    episodes = sampler.batch(3)
    batches = [merge([batch for batch in (e.support, e.query) if batch is not None]) for e in episodes]
    tokens = sum(int(batch.mask.sum()) for batch in batches)
    torch.manual_seed(5)
    seeds, losses = TaskSeeds(), []
    for episode, batch in zip(episodes, batches, strict=True):
        with seeds.of(episode.index):
            share = 1 / 3 if average == "tasks" else int(batch.mask.sum()) / tokens
            losses.append(mean_token_loss(model, batch) * share)
    expected = torch.autograd.grad(torch.stack(losses).sum(), list(model.parameters()))
    torch.manual_seed(5)
    with OperationCounter() as counter:
        outer = make_algorithm("finetune", average=average).outer_step(model, episodes, 0)
    assert outer.loss == pytest.approx(sum(loss.item() for loss in losses), rel=1e-12)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-13)
    padded = len(batches) * max(len(b.inputs) for b in batches) * max(b.inputs.shape[1] for b in batches)
    counted = len(batches) * max(int(batch.mask.sum()) for batch in batches)
    recurrent = sum(w.numel() for name, w in model.rnn.named_parameters() if name.startswith("weight"))
    output = sum(w.weight.numel() for w in (model.project, model.linear) if isinstance(w, torch.nn.Linear))
    assert counter.total <= 3 * 2 * (padded * recurrent + counted * output)


@pytest.mark.parametrize(
    ("make_model", "in_one_pass"),
    [
        (lambda size: Seq2Seq(size, attention="luong", layers=1, **SIZES), True),
        (lambda size: HRED(size, layers=1, **SIZES), True),
        (lambda size: Seq2Seq(size, attention="luong", layers=2, **SIZES), False),  # has dropout between its layers
    ],
    ids=["seq2seq", "hred", "two layers"],
)
def test_joint_training_of_other_recurrent_models_is_one_pass_too(
    make_algorithm: Make,
    model: DialogModel,
    sampler: EpisodeSampler,
    make_model: Callable[[int], torch.nn.Module],
    *,
    in_one_pass: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joint, "one_by_one", set())
    model_of = make_model(model.embed.num_embeddings).double()
    episodes, algorithm = sampler.batch(3), make_algorithm("finetune")
    results = []
    for apart in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if apart:
                patch.setattr(joint, "one_by_one", {type(model_of)})
            torch.manual_seed(5)
            outer = algorithm.outer_step(model_of, episodes, 0)
            drawn = torch.rand(())
        results.append([torch.tensor(outer.loss), drawn, *(parameter.grad for parameter in model_of.parameters())])
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-13)
    assert (type(model_of) not in joint.one_by_one) == in_one_pass


def test_two_outer_steps_do_not_add_up(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    episodes, algorithm = sampler.batch(2), make_algorithm("finetune")
    algorithm.outer_step(model, episodes, 0)
    once = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    algorithm.outer_step(model, episodes, 0)
    for parameter, gradient in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_fine_tuning_goes_down_on_the_support_set(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    support = merge([sampler.sample().query])
    for choice in ("finetune", "scratch"):
        losses = [
            mean_token_loss(adapted, support).item() for adapted in make_algorithm(choice).adapt(model, support, 4)
        ]
        assert losses == sorted(losses, reverse=True)
        assert len(set(losses)) == 5


def test_zero_shot_does_not_adapt(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    [only] = make_algorithm("zero_shot").adapt(model, sampler.sample().support, 10)
    assert only is model


def test_scratch_learns_nothing_before_it_meets_the_topic(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    scratch = make_algorithm("scratch")
    assert not scratch.trains
    with pytest.raises(NotImplementedError, match="no outer loop"):
        scratch.outer_step(model, sampler.batch(1), 0)


def test_the_head_alone_is_fine_tuned(make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler) -> None:
    before = {name: value.clone() for name, value in model.named_parameters()}
    *_, adapted = make_algorithm("finetune_head").adapt(model, sampler.sample().support, 2)
    moved = {name for name, value in adapted.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"linear.weight", "linear.bias"}
    episodes = sampler.batch(2)
    make_algorithm("finetune_head").outer_step(model, episodes, 0)
    of_head = [parameter.grad for parameter in model.parameters()]
    make_algorithm("finetune").outer_step(model, episodes, 0)
    for gradient, parameter in zip(of_head, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_the_oracle_sees_the_whole_topic_but_the_query(
    make_algorithm: Make, topics: Mapping[str, Sequence[Dialogue]], tokenizer: Tokenizer
) -> None:
    few = {"food": topics["food"][:12]}
    encoder = ExchangeEncoder(tokenizer, 1, 32, "response")
    episodes = held_out_episodes(few, Encoders(encoder, encoder), shots=[0, 2], queries=3, episodes_per_topic=2, seed=0)
    oracle = make_algorithm("oracle")
    exchanges = sum(len(dialogue.turns) - 1 for dialogue in few["food"])
    for episode in episodes:
        others = oracle.adapts_to(episode)
        assert others is not None
        assert len(others.inputs) == exchanges - len(episode.query.inputs)
    with pytest.raises(ValueError, match="without the topic's other dialogues"):
        oracle.adapts_to(replace(episodes[0], others=None))
    assert make_algorithm("finetune").adapts_to(episodes[0]) is None


def test_retrieval_is_joint_training_without_adaptation(
    make_algorithm: Make, model: DialogModel, sampler: EpisodeSampler
) -> None:
    retrieval = make_algorithm("retrieval")
    assert retrieval.retriever() is not None
    [only] = retrieval.adapt(model, sampler.sample().support, 10)
    assert only is model
