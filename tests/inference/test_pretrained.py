"""Adaptation, replies and scores of a pretrained model, and the size of its saved folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from metadialog.algorithms.base import GradientAlgorithm
from metadialog.errors import RunError
from metadialog.inference.adapting import compare
from metadialog.inference.dialogues import as_dialogues
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.models.protocol import PRETRAINED_ROWS

pytest.importorskip("transformers")

Export = Callable[..., Path]
Run = Callable[..., Any]

GREEDY = {"name": "greedy", "max_tokens": 6}
SAMPLING = {"name": "sampling", "max_tokens": 6}
CONTEXT = ["hello", "hi, how are you", "hungry"]
HIRE = Path(__file__).parents[2] / "examples" / "dialogues" / "bicycle_hire_en.jsonl"


@pytest.fixture
def model(export_pretrained: Export) -> AdaptableModel:
    return load_model(export_pretrained("algorithm=low_rank_finetune"))


def test_it_replies_streams_and_scores(model: AdaptableModel, food: list[list[str]]) -> None:
    for options in (GREEDY, SAMPLING):
        reply = model.reply(CONTEXT, generation=options, seed=3)
        assert "".join(model.stream(CONTEXT, options, seed=3)) == reply
        assert reply.score < 0
        n = 1 if options is GREEDY else 2
        together = model.replies([CONTEXT, "hi", ["a", "b"]], n, options, seed=3)
        assert together[0][0] in model.replies([CONTEXT], n, options, seed=3)[0]
    (best, *_) = model.replies([CONTEXT], 3, {"name": "beam", "max_tokens": 4})[0]
    assert best == model.reply(CONTEXT, generation={"name": "beam", "max_tokens": 4})
    scored = model.score(food)
    assert scored.tokens > 0
    assert scored.loss > 0


@pytest.mark.parametrize(
    "algorithm", ["low_rank_finetune", "low_rank_fomaml", "in_context", "low_rank_in_context", "prompt_tuning"]
)
def test_an_adapted_one_survives_a_folder(
    export_pretrained: Export, food: list[list[str]], algorithm: str, tmp_path: Path
) -> None:
    model = load_model(export_pretrained(f"algorithm={algorithm}"))
    before = {name: value.clone() for name, value in model.module.named_parameters()}
    adapted = model.adapt(food, steps=2, rate=5)
    assert adapted.curve[-1].support_loss != adapted.curve[0].support_loss
    adapted.save(tmp_path / "adapted")
    with safe_open(tmp_path / "adapted" / "model.safetensors", framework="pt") as tensors:
        assert not [name for name in tensors.keys() if name.endswith("q_proj.weight")]  # noqa: SIM118 - not a mapping
    loaded = load_model(tmp_path / "adapted")
    assert loaded.score(food) == adapted.score(food)
    assert loaded.reply(CONTEXT, generation=GREEDY) == adapted.reply(CONTEXT, generation=GREEDY)
    for name, value in model.module.named_parameters():
        assert torch.equal(value, before[name]), name


def test_adapting_shares_the_pretrained_weights(model: AdaptableModel, food: list[list[str]]) -> None:
    adapted = model.adapt(food[1:], held_out=food[:1])
    own = dict(model.module.named_parameters())
    for name, value in adapted.module.named_parameters():
        if not name.endswith((".up", ".down")):
            assert value is own[name], name
    assert len(compare(adapted, as_dialogues(food), 3)) == 3


def test_adaptation_goes_over_the_dialogues_in_parts(
    model: AdaptableModel, food: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = model.equipment.algorithm
    assert isinstance(algorithm, GradientAlgorithm)
    assert algorithm.tools.rule.chunk is None
    assert algorithm.inner_loop(model.module, 1).rule.chunk == PRETRAINED_ROWS
    in_parts = model.adapt(food, steps=2)
    algorithm.tools.rule.chunk = 10**6
    assert algorithm.inner_loop(model.module, 1).rule.chunk == 10**6
    monkeypatch.setattr("metadialog.models.protocol.PRETRAINED_ROWS", 10**6)
    at_once = model.adapt(food, steps=2)
    for one, other in zip(in_parts.curve, at_once.curve, strict=True):
        assert one.support_loss == pytest.approx(other.support_loss, rel=1e-5)
    assert in_parts.score(food).token_accuracy == at_once.score(food).token_accuracy


def test_an_adapted_one_can_be_adapted_again(model: AdaptableModel, food: list[list[str]], tmp_path: Path) -> None:
    adapted = model.adapt(food, steps=1)
    adapted.save(tmp_path / "first")
    again = load_model(tmp_path / "first").adapt(food, steps=1)
    assert again.curve[0].support_loss == pytest.approx(adapted.curve[1].support_loss)


def test_pretrained_files_that_are_gone_cost_one_sentence(model: AdaptableModel, tmp_path: Path) -> None:
    model.save(tmp_path / "saved")
    config = tmp_path / "saved" / "config.json"
    path = str(model.equipment.config["model"]["path"])
    config.write_text(config.read_text("utf-8").replace(path, "/no/such/folder"), "utf-8")
    (tmp_path / "saved" / "checksums.json").unlink()
    with pytest.raises(RunError, match="/no/such/folder") as caught:
        load_model(tmp_path / "saved")
    assert "\n" not in str(caught.value)


def test_a_run_without_training_is_adapted_and_talked_to(run: Run, tiny_pretrained: Path) -> None:
    sizes = ["evaluation.episodes_per_topic=1", "evaluation.queries=1", "generation.max_tokens=4", "logger=local"]
    steps = ["training.steps=0", "evaluation.steps=1", "evaluation.report_steps=[0,1]", "sampler.shots=2"]
    paths = [f"model.path={tiny_pretrained}", f"tokenizer.path={tiny_pretrained}"]
    kinds = ["model=pretrained", "tokenizer=pretrained", "algorithm=low_rank_finetune"]
    outcome = run("train", *kinds, *paths, *steps, *sizes)
    assert outcome.code == 0, outcome.err
    adapting = run("adapt", f"run={outcome.run_directory}", f"dialogues={HIRE}", "output=mine", "steps=1")
    assert adapting.code == 0, adapting.err
    assert load_model("mine").step == 0  # loaded as a model of its own
    assert Path("mine/report.md").exists()
    Path("in.jsonl").write_text('{"context": "hi"}\n', encoding="utf-8")
    generating = run("generate", "run=mine", "input=in.jsonl")
    assert generating.code == 0, generating.err
    assert generating.out.startswith('{"reply": ')
