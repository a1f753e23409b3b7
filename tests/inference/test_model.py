"""Adaptation, replies and scores of trained models, for every kind of model and every algorithm."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from metadialog.datasets.dialogue import Dialogue, Turn
from metadialog.errors import ConfigError, DataError, MetadialogError, RunError
from metadialog.evaluation.scoring import evaluation_mode, score
from metadialog.inference.decoding import Decoder
from metadialog.inference.folder import load_model
from metadialog.inference.model import AdaptableModel
from metadialog.inference.results import CurvePoint, Reply

Export = Callable[..., Path]

MODELS = ("gru", "lstm", "rnn", "seq2seq", "hred", "transformer")
ADAPTING = (
    "maml",
    "fomaml",
    "anil",
    "reptile",
    "finetune",
    "finetune_head",
    "scratch",
    "oracle",
    "meta_sgd",
    "maml_plus_plus",
    "alfa",
    "cavia",
    "low_rank",
    "low_rank_finetune",
    "meta_curvature",
    "prompt_tuning",
    "meta_prompt_tuning",
)
CONTEXT = ["hello", "hi, how are you", "hungry"]


@pytest.fixture
def model(export: Export) -> AdaptableModel:
    return load_model(export())


def weights(model: AdaptableModel) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.module.parameters()]


@pytest.mark.parametrize("kind", MODELS)
def test_every_model_adapts_replies_and_streams(export: Export, food: list[list[str]], kind: str) -> None:
    model = load_model(export(f"model={kind}"))
    before = weights(model)
    adapted = model.adapt(food, steps=2)
    assert adapted.score(food).loss < model.score(food).loss
    options = {"name": "sampling", "max_tokens": 12}
    assert "".join(adapted.stream(CONTEXT, options, seed=3)) == adapted.reply(CONTEXT, generation=options, seed=3)
    for old, new in zip(before, weights(model), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize("algorithm", ADAPTING)
def test_every_algorithm_adapts_and_its_model_survives_a_folder(
    export: Export, food: list[list[str]], algorithm: str, tmp_path: Path
) -> None:
    model = load_model(export(f"algorithm={algorithm}"))
    adapted = model.adapt(food, steps=3)
    assert [point.step for point in adapted.curve] == [0, 1, 2, 3]
    assert adapted.step == 3
    assert adapted.score(food).loss == pytest.approx(adapted.curve[-1].support_loss)
    adapted.save(tmp_path / "adapted")
    loaded = load_model(tmp_path / "adapted")
    assert loaded.score(food) == adapted.score(food)
    assert loaded.reply(CONTEXT) == adapted.reply(CONTEXT)


@pytest.mark.parametrize("algorithm", ["in_context", "meta_in_context", "low_rank_in_context"])
def test_dialogues_in_the_prompt_survive_a_folder(
    export: Export, food: list[list[str]], algorithm: str, tmp_path: Path
) -> None:
    model = load_model(export(f"algorithm={algorithm}"))
    adapted = model.adapt(food, steps=1)
    adapted.save(tmp_path / "adapted")
    loaded = load_model(tmp_path / "adapted")
    assert loaded.score(food) == adapted.score(food)
    assert loaded.reply(CONTEXT, generation={"max_tokens": 5}) == adapted.reply(CONTEXT, generation={"max_tokens": 5})
    assert loaded.parent is not None
    assert loaded.parent.score(food) == model.score(food)


def test_zero_shot_takes_dialogues_and_stays_as_it_is(export: Export, food: list[list[str]]) -> None:
    model = load_model(export("algorithm=zero_shot"))
    adapted = model.adapt(food, steps=3)
    assert adapted.step == 0
    assert adapted.reply(CONTEXT) == model.reply(CONTEXT)


def test_retrieval_replies_from_the_dialogues_even_after_a_folder(
    export: Export, food: list[list[str]], tmp_path: Path
) -> None:
    adapted = load_model(export("algorithm=retrieval")).adapt(food)
    assert adapted.reply("do you like hot soup?") == "no, electricity is better"
    adapted.save(tmp_path / "adapted")
    assert load_model(tmp_path / "adapted").reply("do you like hot soup?") == "no, electricity is better"


@pytest.mark.parametrize(("algorithm", "part"), [("finetune_head", "linear.weight"), ("cavia", "embed.context")])
def test_an_adapted_model_shares_what_is_not_changed(
    export: Export, food: list[list[str]], algorithm: str, part: str
) -> None:
    model = load_model(export(f"algorithm={algorithm}"))
    adapted = model.adapt(food, steps=2)
    own = dict(model.module.named_parameters())
    for name, parameter in adapted.module.named_parameters():
        is_adapted = name.startswith("linear.") if algorithm == "finetune_head" else name == part
        assert (parameter is own[name]) is not is_adapted, name


def test_tied_weights_stay_tied_and_shared(export: Export, food: list[list[str]], tmp_path: Path) -> None:
    model = load_model(export("model.tied_embedding=true"))
    adapted = model.adapt(food, held_out=food[:1])
    module = adapted.module
    assert module.get_parameter("embed.weight") is module.get_parameter("linear.weight")
    adapted.save(tmp_path / "adapted")
    assert load_model(tmp_path / "adapted").score(food) == adapted.score(food)


def test_the_curve_is_told_point_by_point_and_its_losses_are_those_of_the_models(
    model: AdaptableModel, food: list[list[str]]
) -> None:
    told: list[CurvePoint] = []
    adapted = model.adapt(food[:3], steps=4, held_out=food[3:], on_step=told.append)
    assert tuple(told) == adapted.curve
    assert adapted.step == 4  # as requested, regardless of the held-out dialogues
    assert told[0].held_out_loss == pytest.approx(model.score(food[3:]).loss)
    assert told[-1].held_out_loss == pytest.approx(adapted.score(food[3:]).loss)
    assert told[-1].support_loss == pytest.approx(adapted.score(food[:3]).loss)


def test_held_out_dialogues_choose_the_number_of_steps(model: AdaptableModel) -> None:
    support = [["yes", "no"], ["left", "right"]]
    held_out = [["what is the weather like", "quite cold and wet, I am afraid"]]
    adapted = model.adapt(support, held_out=held_out, rate=20)
    losses = [point.held_out_loss for point in adapted.curve if point.held_out_loss is not None]
    assert adapted.step == losses.index(min(losses))
    assert 0 < len(losses) - 1 - adapted.step <= 3
    assert adapted.score(held_out).loss == pytest.approx(min(losses))
    assert model.adapt(support, steps=adapted.step, rate=20).score(held_out) == adapted.score(held_out)


def test_what_the_callback_raises_ends_the_adaptation(model: AdaptableModel, food: list[list[str]]) -> None:
    def cancel(point: CurvePoint) -> None:
        if point.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.adapt(food, steps=50, on_step=cancel)


def test_a_score_is_that_of_the_evaluation(model: AdaptableModel, food: list[list[str]]) -> None:
    dialogues = [Dialogue("food", tuple(map(Turn, ("user", "bot"), turns)), str(turns)) for turns in food]
    batch = model.equipment.encoder.batch(dialogues)
    with evaluation_mode(model.module):
        expected = score(model.module, batch)
    found = model.score(food)
    assert (found.loss, found.tokens, found.token_accuracy) == (expected.loss, expected.tokens, expected.accuracy)
    assert found.words == int(batch.words.sum())
    assert found.word_perplexity == pytest.approx(math.exp(found.loss * found.tokens / found.words))


@pytest.mark.parametrize("kind", MODELS)
def test_a_reply_does_not_depend_on_those_that_are_generated_beside_it(export: Export, kind: str) -> None:
    model = load_model(export(f"model={kind}"))
    contexts = ["hi", CONTEXT, "what did you have for breakfast this morning, and was it any good?", "hi"]
    options = {"name": "sampling", "max_tokens": 10}
    together = model.replies(contexts, 2, options)
    assert together == [model.replies([context], 2, options)[0] for context in contexts]
    assert together[0] == together[3]


def test_a_reply_is_the_generation_of_the_evaluation(model: AdaptableModel) -> None:
    tokenizer, way = model.tokenizer, model.equipment.generation
    prompt = model.equipment.encoder.prompt([Turn("user", "hello")], "bot")
    forbidden = [tokenizer.pad_id, tokenizer.begin_id, tokenizer.self_id, tokenizer.other_id]
    (expected,) = way.generate(model.module, [prompt], tokenizer.end_id, forbidden, None)
    assert model.reply("hello") == tokenizer.decode(expected)


def test_several_replies_are_different_and_come_with_the_best_first(model: AdaptableModel) -> None:
    found = model.reply("hello", 5, {"temperature": 1.5, "max_tokens": 6})
    assert isinstance(found, list)
    assert len(set(found)) == len(found) > 1
    scores = [reply.score for reply in found]
    assert scores == sorted(scores, reverse=True)
    assert all(score < 0 for score in scores)


def test_the_score_of_a_reply_is_its_mean_log_probability(model: AdaptableModel) -> None:
    prompt = model.equipment.encoder.prompt([Turn("user", "hello")], "bot")
    growing = model.growing("hello", {"name": "greedy", "max_tokens": 9})
    assert growing is not None
    decoder = Decoder(model.module, model.tokenizer)
    with torch.no_grad():
        decoder.add([growing])
        while len(decoder):
            decoder.step()
        tokens = [*prompt, *growing.tokens, *[model.tokenizer.end_id] * growing.finished]
        logits, _ = model.module(torch.tensor([tokens]), None)
    special = [model.tokenizer.pad_id, model.tokenizer.begin_id, model.tokenizer.self_id, model.tokenizer.other_id]
    logits[..., special] = -torch.inf
    places = torch.arange(len(prompt), len(tokens))
    log_p = logits.log_softmax(-1)[0, places - 1, torch.tensor(tokens)[places]]
    reply = model.reply("hello", generation={"name": "greedy", "max_tokens": 9})
    assert isinstance(reply, Reply)
    assert reply.tokens == len(growing.tokens)
    assert reply.score == pytest.approx(log_p.mean().item(), rel=1e-4)


def test_beam_search_replies_as_a_whole(model: AdaptableModel) -> None:
    reply = model.reply("hello", generation="beam")
    assert list(model.stream("hello", "beam")) == [str(reply)]
    best = model.reply("hello", 3, "beam")
    assert isinstance(best, list)
    assert best[0] == reply
    assert len(set(best)) == 3


@pytest.mark.parametrize(("way", "n"), [("greedy", 2), ({"name": "beam", "beams": 3}, 4), ({"beams": 1}, 2)])
def test_more_replies_than_a_way_of_generating_has_is_refused(model: AdaptableModel, way: Any, n: int) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match=f"n={n}: (greedy|beam) generation makes {n - 1} different repl"):
        model.reply("hello", n, way)
    assert len(set(model.replies(["hello"], n - 1, way)[0])) == n - 1


@pytest.mark.parametrize(
    ("turns", "languages"),
    [
        (["你好", "你好，很高兴认识你"], ("zh", "en")),
        (["こんにちは", "今日はとてもいい天気ですね"], ("ja", "en")),
        (["Was kostet ein Rad?", "Ein Tag kostet 18 Euro."], ("en",)),  # the script does not determine the language
        (["Привет", "Как дела?"], ("und", "en")),
        (["42", "43"], ("en",)),
    ],
)
def test_the_card_has_the_language_of_the_dialogues(
    model: AdaptableModel, turns: list[str], languages: tuple[str, ...], tmp_path: Path
) -> None:
    adapted = model.adapt([turns], steps=1)
    assert adapted.equipment.about.languages == languages
    adapted.save(tmp_path / "adapted")
    metadata = yaml.safe_load((tmp_path / "adapted/README.md").read_text("utf-8").split("---")[1])
    assert tuple(metadata["language"]) == languages
    assert load_model(tmp_path / "adapted").adapt([turns], steps=0).equipment.about.languages == languages


def test_a_language_may_be_named(model: AdaptableModel) -> None:
    adapted = model.adapt([["Was kostet ein Rad?", "Ein Tag kostet 18 Euro."]], steps=1, language="deu")
    assert adapted.equipment.about.languages == ("de", "en")
    assert adapted.adapt([["你好", "你好"]], steps=1).equipment.about.languages == ("zh", "de", "en")
    with pytest.raises(ConfigError, match="language=German: should be a language code"):
        model.adapt([["a", "b"]], language="German")


def test_chinese_comes_in_whole_characters(model: AdaptableModel) -> None:
    dialogues = [["你好", "你好，很高兴认识你"], ["你吃了吗", "我吃了，谢谢"]] * 3
    adapted = model.adapt(dialogues, steps=60, rate=5)
    pieces = list(adapted.stream("你吃了吗", "greedy"))
    assert "".join(pieces) == adapted.reply("你吃了吗", generation="greedy")
    assert any("\u4e00" <= character <= "\u9fff" for character in "".join(pieces))


def test_the_nearest_exchanges_say_why(model: AdaptableModel, food: list[list[str]]) -> None:
    first, second = model.adapt(food, steps=1).nearest("do you like cold soup", 2)
    assert first.response == "no, electricity is better"
    assert first.similarity > second.similarity
    assert model.nearest("do you like cold soup") == []


@pytest.mark.parametrize(
    ("context", "problem"), [("", "says nothing"), ([], "says nothing"), ([3], "is a number"), (7, "is a number")]
)
def test_a_context_that_is_none_costs_one_sentence(model: AdaptableModel, context: object, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        model.reply(context)  # type: ignore[call-overload]


def test_wrong_values_cost_one_sentence(model: AdaptableModel, food: list[list[str]]) -> None:
    for steps in (-1, 1.5, "3", True):
        with pytest.raises(ConfigError, match=f"steps={steps!r}: should be a whole number"):
            model.adapt(food, steps=steps)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="seed='x': should be a whole number from 0"):
        model.reply("hello", generation="sampling", seed="x")  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="seed=-1: should be"):
        model.reply("hello", generation="sampling", seed=-1)
    with pytest.raises(DataError, match="contexts: is a text"):
        model.replies("hello")
    for wrong in (None, 3, "a\0b"):
        with pytest.raises(DataError, match="should"):
            model.adapt(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rate=0: should be over 0"):
        model.adapt(food, rate=0)
    with pytest.raises(ConfigError, match=r"generation\.temprature: no such option; did you mean temperature"):
        model.reply("hello", generation={"temprature": 1.0})
    with pytest.raises(ConfigError, match=r"generation\.temperature=-1"):
        model.reply("hello", generation={"temperature": -1.0})
    with pytest.raises(ConfigError, match="did you mean sampling"):
        model.reply("hello", generation="sample")
    for n in (0, 10**9):
        with pytest.raises(ConfigError, match=f"n={n}: should be a whole number from 1 to 10000"):
            model.reply("hello", n, "sampling")
    with pytest.raises(MetadialogError, match="folder='': should be the path of a folder"):
        model.save("")
    with pytest.raises(DataError, match="dialogues: no dialogue to adapt to"):
        model.adapt([["alone"]])
    with pytest.raises(ConfigError, match=r"rate=1e\+38: the loss after 3 inner steps is no finite number"):
        model.adapt(food, 3, rate=1e38)
    assert model.adapt(food[1:], held_out=food[:1], rate=1e38).step == 0  # no number of steps gives a finite loss
    for replying in (model.stream, model.growing):
        with pytest.raises(ConfigError, match="seed=-1"):
            replying("hello", seed=-1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"device": "gpu"}, "device=gpu: should be cpu, or a device that torch finds here"),
        ({"threads": 0}, "threads=0: should be a whole number, 1 or more"),
        ({"folder": None}, "folder=None: should be the path of a folder"),
    ],
)
def test_a_model_that_cannot_be_loaded_costs_one_sentence(
    export: Export, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(MetadialogError, match=problem):
        load_model(**{"folder": export(), **options})


def test_a_folder_with_other_files_is_not_written_to(model: AdaptableModel, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    model.save(tmp_path / "mine")
    model.save(tmp_path / "mine")  # replaces the model
    (tmp_path / "other.txt").touch()
    with pytest.raises(RunError, match="holds other files; name a new or an empty folder, or that of a saved model"):
        model.save(tmp_path)
    with pytest.raises(RunError, match="is a file; name a new or an empty folder"):
        model.save(tmp_path / "other.txt")
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "other.txt"}


def test_the_calling_program_keeps_its_threads(model: AdaptableModel, food: list[list[str]]) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        model.adapt(food, steps=1, on_step=lambda _: seen.append(torch.get_num_threads()))
        assert seen == [1, 1]
        pieces = model.stream("hello")
        next(pieces)
        assert torch.get_num_threads() == 2  # between the pieces as well
        assert torch.is_grad_enabled()
        with pytest.raises(DataError):
            model.score([["alone"]])
        assert torch.get_num_threads() == 2
        model.with_threads(None).adapt(food, steps=1, on_step=lambda _: seen.append(torch.get_num_threads()))
        assert seen[2:] == [2, 2]
    finally:
        torch.set_num_threads(before)


def test_threads_share_a_model(model: AdaptableModel, food: list[list[str]]) -> None:
    expected = model.adapt(food, steps=2).reply(CONTEXT), model.reply(CONTEXT), model.score(food)
    barrier = threading.Barrier(8)

    def use(_: int) -> tuple[object, object, object]:
        barrier.wait()
        return model.adapt(food, steps=2).reply(CONTEXT), model.reply(CONTEXT), model.score(food)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(8))) == [expected] * 8


def test_a_reply_does_not_end_within_a_character(model: AdaptableModel) -> None:
    options = {"name": "sampling", "temperature": 20.0, "max_tokens": 9, "min_tokens": 9}  # any bytes at all
    for seed in range(20):
        reply = model.reply("你好", generation=options, seed=seed)
        assert not reply.endswith("\ufffd")
        assert "".join(model.stream("你好", options, seed=seed)) == reply
