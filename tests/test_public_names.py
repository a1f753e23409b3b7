"""The public names of `metadialog`, as the article uses them."""

import torch
from torch import nn

import metadialog
from metadialog import MAML, DialogModel
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.datasets.corpus import build_corpus
from metadialog.options import packaged_defaults
from metadialog.samplers.episodes import EpisodeSampler
from metadialog.tokenizers.byte_pair import BytePairTokenizer


def test_every_public_name_is_there() -> None:
    for name in metadialog.__all__:
        assert getattr(metadialog, name) is not None


def test_the_articles_model_and_algorithm_work_with_the_defaults_of_the_yaml() -> None:
    torch.manual_seed(0)
    model = DialogModel(5000, 128)
    assert model.rnn.hidden_size == 128
    assert model.embed.embedding_dim == packaged_defaults(DialogModel)["embedding_size"]
    output, hidden = model(torch.randint(5000, (2, 7)), None)
    assert output.shape == (2, 7, 5000)
    again, _ = model(torch.randint(5000, (2, 1)), hidden)
    assert again.shape == (2, 1, 5000)


def test_an_outer_step_in_python_alone() -> None:
    topics = build_corpus(ChatterbotDataset(language="english").dialogues(), "chatterbot").topics
    tokenizer = BytePairTokenizer(vocab_size=300).train(
        turn.text for topic in ("ai", "food") for dialogue in topics[topic] for turn in dialogue.turns
    )
    options = {"context_turns": 1, "max_tokens": 32, "loss_on": "response", "topic_weighting": "uniform"}
    drawn = {"shots": 2, "queries": 2, "temperature": 1.0, **options}
    sampler = EpisodeSampler({name: topics[name] for name in ("ai", "food")}, tokenizer, 0, **drawn)  # type: ignore[arg-type]
    model: nn.Module = DialogModel(tokenizer.vocab_size, 16)
    algorithm = MAML(inner_lr=0.1, inner_steps=1)
    result = algorithm.outer_step(model, sampler.batch(2), 0)
    assert 0 < result.loss < 20
    assert all(parameter.grad is not None for parameter in model.parameters())
