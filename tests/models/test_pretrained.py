"""Pretrained language models: a tiny random one of SmolLM2's class, and in one test the real one."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from metadialog.engines.auto import AutoEngine
from metadialog.engines.base import Engine, InnerLoop
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.episodes import Batch
from metadialog.errors import ConfigError
from metadialog.generation.beam import Beam
from metadialog.generation.greedy import Greedy
from metadialog.models.parts import freeze, select
from metadialog.models.pretrained import PretrainedModel
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.pretrained import PretrainedTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer

BEGIN, END, SELF, OTHER = 1, 2, 3, 4
NEVER = (0, BEGIN, SELF, OTHER)
SYSTEM = "Talk."


@pytest.fixture(scope="session")
def tokenizer(tiny_pretrained: Path) -> Tokenizer:
    return PretrainedTokenizer(path=str(tiny_pretrained)).train([])


@pytest.fixture
def model(tiny_pretrained: Path, tokenizer: Tokenizer) -> PretrainedModel:
    return PretrainedModel(tokenizer.vocab_size, path=str(tiny_pretrained), system=SYSTEM, attention="eager").eval()


@pytest.fixture
def prompts(tokenizer: Tokenizer) -> list[list[int]]:
    hi, there, what = (tokenizer.encode(text) for text in ("Hi.", "How are you?", "Well, and you?"))
    return [
        [BEGIN, OTHER, *hi, SELF],
        [BEGIN, OTHER, *hi, SELF, *there, OTHER, *what, SELF],
        [BEGIN, SELF, *there, OTHER, *what, SELF],
    ]


def batch_of(prompts: list[list[int]], replies: list[list[int]]) -> Batch:
    rows = [[*prompt, *reply, END] for prompt, reply in zip(prompts, replies, strict=True)]
    time = max(map(len, rows))
    ids = torch.tensor([row + [0] * (time - len(row)) for row in rows])
    places = torch.arange(1, time)
    begins = torch.tensor([len(prompt) for prompt in prompts])[:, None]
    ends = torch.tensor([len(row) for row in rows])[:, None]
    return Batch(ids[:, :-1], ids[:, 1:], (places >= begins) & (places < ends), torch.ones(len(rows)).long())


@pytest.mark.parametrize("text", ["Hello, world!", "It's <|close|> and <end>.", "  two  spaces\n", "日本語 é 😀"])
def test_texts_come_back_as_they_were(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert min(tokenizer.encode(text)) > OTHER


def test_our_tokens_are_the_chat_template(tiny_pretrained: Path, model: PretrainedModel, tokenizer: Tokenizer) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tiny_pretrained)
    turns = [("user", "Hi."), ("assistant", "How are you?"), ("user", "Well, and you?")]
    text = theirs.apply_chat_template(
        [{"role": "system", "content": SYSTEM}, *({"role": role, "content": text} for role, text in turns)],
        tokenize=False,
        add_generation_prompt=True,
    )
    ours = [BEGIN]
    for role, said in turns:
        ours += [OTHER if role == "user" else SELF, *tokenizer.encode(said)]
    expanded = model._expand(torch.tensor([[*ours, SELF]]), None)
    assert theirs.decode(expanded.ids[0].tolist()) == text
    with torch.no_grad():
        logits = model(torch.tensor([[*ours, SELF]]))[0][0, -1]
        expected = model.network(input_ids=expanded.ids).logits[0, -1]
    torch.testing.assert_close(logits[5:][: len(expected) - 2][5:], expected[5 : len(logits) - 5])
    torch.testing.assert_close(logits[END], expected[model.chat.end])


@torch.no_grad()
def test_losses_are_those_of_the_whole_logits(model: PretrainedModel, prompts: list[list[int]]) -> None:
    batch = batch_of(prompts, [[20, 30], [40], [50, 60, 70]])
    losses, hits = model.token_scores(batch.inputs, batch.targets, batch.mask)
    log_p = model(batch.inputs)[0].log_softmax(-1)
    expected = -log_p.gather(-1, batch.targets[..., None])[..., 0]
    torch.testing.assert_close(losses[batch.mask], expected[batch.mask])
    assert (losses[~batch.mask] == 0).all()
    assert torch.equal(hits, (log_p.argmax(-1) == batch.targets) & batch.mask)
    # Each row alone, without padding.
    for row, prompt in enumerate(prompts):
        alone = batch_of([prompt], [[[20, 30], [40], [50, 60, 70]][row]])
        found = model.token_losses(alone.inputs, alone.targets, alone.mask)
        torch.testing.assert_close(found.sum(), losses[row].sum())


@torch.no_grad()
def test_markers_are_charged_as_the_end_of_a_turn(model: PretrainedModel, prompts: list[list[int]]) -> None:
    tokens = torch.tensor([prompts[1]])
    everything = torch.ones_like(tokens[:, 1:], dtype=torch.bool)
    losses = model.token_losses(tokens[:, :-1], tokens[:, 1:], everything)
    ends = -model(tokens[:, :-1])[0].log_softmax(-1)[..., END]
    marked = (tokens[:, 1:] == SELF) | (tokens[:, 1:] == OTHER)
    assert losses.isfinite().all()
    torch.testing.assert_close(losses[marked], ends[marked])


@torch.no_grad()
def test_the_cache_is_the_forward_pass(model: PretrainedModel, prompts: list[list[int]]) -> None:
    time = max(map(len, prompts))
    tokens = torch.tensor([prompt + [0] * (time - len(prompt)) for prompt in prompts])
    logits, state = model.read(tokens, torch.tensor([len(prompt) for prompt in prompts]))
    said = torch.tensor([20, 30, 40])
    after, _ = model.step(said, state)
    swapped, _ = model.step(said[[2, 2, 0]], model.select_rows(state, torch.tensor([2, 2, 0])))
    for row, prompt in enumerate(prompts):
        whole, _ = model(torch.tensor([[*prompt, int(said[row])]]))
        torch.testing.assert_close(logits[row], whole[0, -2], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(after[row], whole[0, -1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(swapped, after[[2, 2, 0]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "generation", [Greedy(max_tokens=8, min_tokens=4), Beam(max_tokens=8, beams=3, length_penalty=1.0)]
)
def test_replies_are_the_same_alone_as_beside_others(
    model: PretrainedModel, prompts: list[list[int]], generation: Greedy | Beam
) -> None:
    together = generation.generate(model.double(), prompts, END, NEVER, None)
    assert together == [generation.generate(model, [prompt], END, NEVER, None)[0] for prompt in prompts]
    assert any(together)


def test_greedy_replies_are_those_of_transformers(model: PretrainedModel, prompts: list[list[int]]) -> None:
    for prompt in prompts:
        ids = model._expand(torch.tensor([prompt]), None).ids
        never = [token for token in model.chat.never if token < model.vocab_size - 5] + [model.chat.end]
        outside = list(range(model.vocab_size - 5, model.network.config.vocab_size))
        made = model.network.generate(
            ids, max_new_tokens=6, do_sample=False, suppress_tokens=sorted({*never, *outside}), pad_token_id=0
        )
        (reply,) = Greedy(max_tokens=6).generate(model, [prompt], END, [*NEVER, END], None)
        assert [token - 5 for token in reply] == made[0, ids.shape[1] :].tolist()


def test_parts_name_every_parameter(model: PretrainedModel) -> None:
    names = {name for name, _ in model.named_parameters()}
    assert select(model, ["embeddings", "body", "head"], "here") == names
    assert select(model, ["head"], "here") == select(model, ["embeddings"], "here")  # they are tied
    assert any("layers.1.mlp" in name for name in select(model, ["body"], "here"))


def test_second_derivatives(model: PretrainedModel, prompts: list[list[int]]) -> None:
    model.double()
    batch = batch_of(prompts[:1], [[20, 30]])
    name = "network.model.layers.0.self_attn.q_proj.weight"
    weight = model.get_parameter(name)

    def gradient(value: Tensor, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
        value = value if value.requires_grad else value.requires_grad_()
        arguments = (batch.inputs, batch.targets, batch.mask)
        loss = torch.func.functional_call(_Losses(model), {f"model.{name}": value}, arguments).sum()
        return loss.detach(), torch.autograd.grad(loss, value, create_graph=create_graph)[0]

    start = weight.detach().clone().requires_grad_()
    along = torch.randn(start.shape, dtype=start.dtype, generator=torch.Generator().manual_seed(0))
    _, first = gradient(start, create_graph=True)
    (second,) = torch.autograd.grad((first * along).sum(), start)
    # The network computes some operations in single precision, so the differences are large.
    ahead, behind = (gradient((start + step * along).detach()) for step in (0.003, -0.003))
    slope = float((first * along).sum().detach())
    assert (float(ahead[0] - behind[0]) / 0.006) == pytest.approx(slope, rel=0.02)
    error = (ahead[1] - behind[1]) / 0.006 - second
    assert error.norm() < 0.02 * second.norm()


class _Losses(nn.Module):
    def __init__(self, model: PretrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Tensor) -> Tensor:
        return self.model.token_losses(*arguments)


@pytest.mark.parametrize("engine", [Learn2LearnEngine(), AutoEngine(memory=1024)], ids=["learn2learn", "auto"])
def test_engines_know_it(model: PretrainedModel, prompts: list[list[int]], engine: Engine) -> None:
    from metadialog.episodes import Episode
    from metadialog.models.loss import mean_token_loss

    freeze(model, ["embeddings"], "training.frozen")
    support, query = batch_of(prompts, [[20], [30], [40]]), batch_of(prompts, [[21], [31], [41]])
    episode = Episode("topic", 0, support, query, (), ("a",), ("b",))
    inner = InnerLoop(0.05, 2)
    episodes = [episode, replace(episode, index=1, support=query, query=support)]
    found = engine.meta_gradient(model, mean_token_loss, episodes, inner, "mean")
    for place, one in enumerate(episodes):
        assert one.support is not None
        *_, adapted = engine.adapt(model, mean_token_loss, one.support, inner)
        expected = mean_token_loss(adapted, one.query).detach()
        torch.testing.assert_close(found.query_losses[place], expected, rtol=1e-4, atol=1e-4)
    reference = Learn2LearnEngine().meta_gradient(model, mean_token_loss, episodes, inner, "mean")
    for ours, theirs in zip(found.gradients, reference.gradients, strict=True):
        assert (ours - theirs).norm() <= 1e-3 * theirs.norm() + 1e-6


def test_frozen_weights_are_not_saved(
    model: PretrainedModel, tiny_pretrained: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    whole = model.state_dict()
    freeze(model, ["embeddings", "network.model.layers.*"], "training.frozen")
    small = model.state_dict()
    assert set(small) == {"fingerprint", "network.model.norm.weight"} & set(whole) | {"fingerprint"}
    small["network.model.norm.weight"] = small["network.model.norm.weight"] + 1
    other = PretrainedModel(tokenizer.vocab_size, path=str(tiny_pretrained), system=SYSTEM, attention="eager")
    freeze(other, ["embeddings", "network.model.layers.*"], "training.frozen")
    other.load_state_dict(small)
    assert torch.equal(other.network.model.norm.weight, whole["network.model.norm.weight"] + 1)
    assert torch.equal(
        other.network.model.layers[0].mlp.up_proj.weight, model.network.model.layers[0].mlp.up_proj.weight
    )
    with torch.no_grad():
        model.network.model.layers[0].mlp.up_proj.weight.add_(1)
    model.network.save_pretrained(tmp_path)
    for file in tiny_pretrained.glob("*token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    changed = PretrainedModel(tokenizer.vocab_size, path=str(tmp_path), system=SYSTEM, attention="eager")
    with pytest.raises(RuntimeError, match="saved with another pretrained model"):
        changed.load_state_dict(small)


def test_another_tokenizer_is_refused(tiny_pretrained: Path) -> None:
    own = BytePairTokenizer(vocab_size=300).train(["some text"])
    with pytest.raises(ConfigError, match=rf"the tokenizer has {own.vocab_size} tokens.*tokenizer=pretrained"):
        PretrainedModel(own.vocab_size, path=str(tiny_pretrained), system=None, attention="eager")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/no/such/folder", "there is no such folder"),
        ("/no/such/file.gguf", "there is no such file"),
        (str(Path(__file__).parent), "holds no config.json"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(path: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=rf"^model.path={re.escape(path)}: {problem}") as caught:
        PretrainedModel(261, path=path, system=None, attention="eager")
    assert "\n" not in str(caught.value)


def test_a_name_on_the_hub_is_not_fetched_where_that_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"^model.path=nobody/nothing: .*HF_HUB_OFFLINE is set"):
        PretrainedModel(261, path="nobody/nothing", system=None, attention="eager")


@pytest.mark.parametrize("library", ["transformers", "accelerate"])
def test_a_missing_library_is_named(without: Callable[[str], None], tiny_pretrained: Path, library: str) -> None:
    without(library)
    with pytest.raises(ConfigError, match=rf"{library} is not installed; pip install 'metadialog\[pretrained\]'"):
        PretrainedTokenizer(path=str(tiny_pretrained)).train([])


def test_weights_that_are_not_there_are_not_drawn_at_random(tiny_pretrained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_pretrained, tmp_path / "deeper"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ConfigError, match=r"deeper: its weights lack model\.layers\.2\."):
        PretrainedModel(PretrainedTokenizer(path=str(folder)).train([]).vocab_size, path=str(folder))


def test_a_model_can_be_sketched_without_numbers(tiny_pretrained: Path) -> None:
    with torch.device("meta"):
        model = PretrainedModel(261, path=str(tiny_pretrained), system=None, attention="eager")
    assert all(parameter.is_meta for parameter in model.parameters())


@pytest.mark.slow
def test_smollm2_answers(cache: Path) -> None:
    pytest.importorskip("gguf")
    tokenizer = PretrainedTokenizer(path=None).train([])
    model = PretrainedModel(tokenizer.vocab_size, path=None, system=None, attention="eager").eval()
    assert 134e6 < sum(parameter.numel() for parameter in model.parameters()) < 135e6
    assert list((cache / "pretrained").glob("SmolLM2*/model.safetensors"))
    prompt = [BEGIN, OTHER, *tokenizer.encode("What is the capital of France?"), SELF]
    (reply,) = Greedy(max_tokens=12).generate(model, [prompt], END, NEVER, None)
    assert "Paris" in tokenizer.decode(reply)
