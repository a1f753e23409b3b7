from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from metadialog.config import check
from metadialog.errors import ConfigError
from metadialog.generation.base import Generation
from metadialog.models.rnn import DialogModel

CONF = Path(__file__).parents[2] / "conf" / "generation"
KINDS = ("greedy", "sampling", "beam")
PAD, BEGIN, END, SELF, OTHER = range(5)
FORBIDDEN = (PAD, BEGIN, SELF, OTHER)
Prompts = list[tuple[int, ...]]


def from_yaml(kind: str, **options: object) -> Generation:
    generation: Generation = instantiate(OmegaConf.load(CONF / f"{kind}.yaml"), **options)
    return generation


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(dropout: float = 0.0) -> DialogModel:
    torch.manual_seed(0)
    return DialogModel(9, cell="gru", embedding_size=4, hidden_size=4, layers=2, dropout=dropout, tied_embedding=False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_is_the_same_alone_as_beside_others(kind: str, trained: DialogModel, prompts: Prompts) -> None:
    generation = from_yaml(kind)
    together = generation.generate(trained, prompts, END, FORBIDDEN, seeded())
    alone = [generation.generate(trained, [prompt], END, FORBIDDEN, seeded())[0] for prompt in prompts]
    assert together == alone
    backwards = generation.generate(trained, prompts[::-1], END, FORBIDDEN, seeded())
    assert backwards == together[::-1]
    # The comparison is meaningful only with prompts and replies of many lengths, some of which end by themselves.
    assert len({len(prompt) for prompt in prompts}) >= 5
    assert len({tuple(reply) for reply in together}) >= 3
    assert min(len(reply) for reply in together) < 24


@pytest.mark.parametrize("kind", KINDS)
def test_replies_hold_no_forbidden_token_and_no_end(kind: str, trained: DialogModel, prompts: Prompts) -> None:
    generation = from_yaml(kind)
    usual = generation.generate(trained, prompts, END, FORBIDDEN, seeded())
    said = {token for reply in usual for token in reply}
    assert said
    assert not said & {END, *FORBIDDEN}
    # The most frequent token does not occur once it is forbidden.
    frequent = max(said, key=[token for reply in usual for token in reply].count)
    changed = generation.generate(trained, prompts, END, [*FORBIDDEN, frequent], seeded())
    assert all(frequent not in reply for reply in changed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_tokens", [1, 3])
def test_replies_are_no_longer_than_allowed(kind: str, max_tokens: int) -> None:
    model = tiny()
    never = [0, 1, 2]  # including the end token
    replies = from_yaml(kind, max_tokens=max_tokens).generate(model, [[3], [4, 5]], 2, never, seeded())
    assert [len(reply) for reply in replies] == [max_tokens, max_tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_no_prompts_no_replies(kind: str) -> None:
    assert from_yaml(kind).generate(tiny(), [], 2, [0], seeded()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_prompt_is_an_error(kind: str) -> None:
    with pytest.raises(ValueError, match="a prompt is empty"):
        from_yaml(kind).generate(tiny(), [[3], []], 2, [0], seeded())


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_off_and_the_model_left_as_it_was(kind: str) -> None:
    model = tiny(dropout=0.9)
    model.rnn.eval()  # one part is in another mode than the whole
    before = [module.training for module in model.modules()]
    generation = from_yaml(kind)
    first = generation.generate(model, [[3, 4, 5]], 2, [0], seeded())
    assert first == generation.generate(model, [[3, 4, 5]], 2, [0], seeded())
    assert [module.training for module in model.modules()] == before
    assert first == generation.generate(model.eval(), [[3, 4, 5]], 2, [0], seeded())
    with pytest.raises(ValueError, match="empty"):
        generation.generate(model.train(), [[]], 2, [0], seeded())
    assert model.training


@pytest.mark.parametrize("kind", KINDS)
def test_no_graph_is_kept(kind: str) -> None:
    model, with_gradient = tiny(), []
    model.register_forward_hook(lambda module, inputs, output: with_gradient.append(output[0].requires_grad))  # noqa: ARG005
    from_yaml(kind).generate(model, [[3, 4]], 2, [0], seeded())
    assert with_gradient
    assert not any(with_gradient)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_diverged_model_still_replies(kind: str, value: float) -> None:
    model = tiny()
    for parameter in model.parameters():
        nn.init.constant_(parameter, value)
    (reply,) = from_yaml(kind, max_tokens=4).generate(model, [[3, 4]], 2, [0, 1], seeded())
    assert not set(reply) & {0, 1, 2}


def test_greedy_is_the_argmax_step_by_step(trained: DialogModel, prompts: Prompts) -> None:
    model = trained.eval()
    replies = from_yaml("greedy", max_tokens=24).generate(model, prompts, END, FORBIDDEN, None)
    for prompt, reply in zip(prompts, replies, strict=True):
        expected: list[int] = []
        while len(expected) < 24:
            logits, _ = model(torch.tensor([[*prompt, *expected]]))  # without a hidden state
            order = logits[0, -1].argsort(descending=True).tolist()
            token = next(token for token in order if token not in FORBIDDEN)
            if token == END:
                break
            expected.append(token)
        assert reply == expected


def defaults(kind: str) -> dict[str, object]:
    return {str(key): value for key, value in OmegaConf.load(CONF / f"{kind}.yaml").items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_fit_the_signature(kind: str) -> None:
    check(defaults(kind))


@pytest.mark.parametrize(
    ("kind", "option", "value", "problem"),
    [
        ("greedy", "max_tokens", 0, "should be greater than 0"),
        ("sampling", "temperature", 0.0, "should be greater than 0"),
        ("sampling", "top_k", -1, "should be greater than or equal to 0"),
        ("sampling", "top_p", 0.0, "should be greater than 0"),
        ("sampling", "top_p", 1.1, "should be less than or equal to 1"),
        ("beam", "beams", 0, "should be greater than 0"),
        ("beam", "length_penalty", -0.5, "should be greater than or equal to 0"),
    ],
)
def test_wrong_options_are_named(kind: str, option: str, value: float, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option}={value}: {problem}$"):
        check(defaults(kind) | {option: value})
