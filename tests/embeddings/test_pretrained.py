"""Word vectors from files in the formats of GloVe, fastText and word2vec."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from metadialog.embeddings.pretrained import Pretrained, Random
from metadialog.errors import ConfigError, DataError
from metadialog.models.rnn import DialogModel
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.tokenizer import MIN_VOCAB_SIZE, SPECIAL_TOKENS, Tokenizer
from metadialog.tokenizers.word import WordTokenizer

TEXTS = ["The train leaves at nine", "the Train leaves", "at nine the train", "a train at nine"]
GLOVE = "the 0.1 0.2 0.3\n. . . 9 9 9\ntrain -1 0.5 2e-1\nat 1 1 1\nthe 8 8 8\nTrain 4 5 6\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return WordTokenizer(vocab_size=MIN_VOCAB_SIZE + 40).train(TEXTS * 2)


def make(tokenizer: Tokenizer, *, tied: bool = False, width: int = 3) -> DialogModel:
    torch.manual_seed(0)
    return DialogModel(
        tokenizer.vocab_size,
        cell="gru",
        embedding_size=width,
        hidden_size=4,
        layers=1,
        dropout=0.0,
        tied_embedding=tied,
    ).double()


def vector(model: DialogModel, tokenizer: Tokenizer, text: str) -> list[float]:
    [token] = tokenizer.encode(text)
    return model.embed.weight[token].tolist()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("form", ["glove", "word2vec", "gzip"])
def test_words_get_their_vectors_and_all_else_stays(
    tmp_path: Path, tokenizer: Tokenizer, form: str, tied: bool
) -> None:
    text = f"6 3\n{GLOVE.replace(chr(10), ' ' + chr(10))}" if form == "word2vec" else GLOVE
    path = tmp_path / f"vectors.txt{'.gz' if form == 'gzip' else ''}"
    path.write_bytes(gzip.compress(text.encode()) if form == "gzip" else text.encode())
    model, before = make(tokenizer, tied=tied), make(tokenizer, tied=tied)
    said = Pretrained(path=str(path)).fill(model, tokenizer)
    assert vector(model, tokenizer, " the") == [0.1, 0.2, 0.3]  # the first of two
    assert vector(model, tokenizer, " train") == [-1.0, 0.5, 0.2]
    assert vector(model, tokenizer, " Train") == [4.0, 5.0, 6.0]
    assert vector(model, tokenizer, "The") == [0.1, 0.2, 0.3]  # in lower case, as there is no other
    assert vector(model, tokenizer, " nine") == vector(before, tokenizer, " nine")
    same = (model.embed.weight == before.embed.weight).all(dim=1)
    changed = int((~same).sum())
    assert same[: len(SPECIAL_TOKENS)].all()
    assert said == (
        f"pretrained embeddings: {changed} of {tokenizer.vocab_size - len(SPECIAL_TOKENS)} tokens, from {path}"
    )
    for name, parameter in model.named_parameters():
        if name not in ("embed.weight", "linear.weight"):
            assert torch.equal(parameter, before.get_parameter(name))


def test_of_byte_pairs_whole_words_only(tmp_path: Path) -> None:
    tokenizer = BytePairTokenizer(vocab_size=MIN_VOCAB_SIZE + 12).train(["a train, a train, a train"] * 3)
    path = tmp_path / "vectors.txt"
    path.write_text("train 1 2 3\nrain 7 7 7\n")
    model = make(tokenizer)
    Pretrained(path=str(path)).fill(model, tokenizer)
    assert vector(model, tokenizer, " train") == [1.0, 2.0, 3.0]


def test_random_changes_nothing(tokenizer: Tokenizer) -> None:
    model = make(tokenizer)
    Random().check(model)
    assert Random().fill(model, tokenizer) is None
    assert torch.equal(model.embed.weight, make(tokenizer).embed.weight)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 0.1 0.2\n", "line 1: has vectors of 2 numbers; it should have 3, as model.embedding_size says"),
        ("the 0.1 0.2 0.3 0.4\n", "line 1: has vectors of 4 numbers; it should have 3"),
        ("9 300\nthe 0.1 0.2 0.3\n", "line 1: has vectors of 300 numbers; it should have 3"),
        ("at 1 2 3\nthe 1 2 3\nnine 0.1\n", "line 3: has vectors of 1 numbers; it should have 3"),
        ("at 1 2 3\nthe 0.1 x 0.3\n", "line 2: could not convert string to float: 'x'; a word should be followed by"),
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, tokenizer: Tokenizer, text: str, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(text)
    with pytest.raises((ConfigError, DataError), match=f"vectors.txt: {message}"):
        Pretrained(path=str(path)).fill(make(tokenizer), tokenizer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has none of the"),
        ("Zug 1 2 3\n", "has none of the"),
        ("the 1 nan 3\n", "line 1: holds a number that is not finite"),
    ],
)
def test_a_file_that_would_fill_nothing_or_nonsense_is_refused(
    tmp_path: Path, tokenizer: Tokenizer, text: str, message: str
) -> None:
    (tmp_path / "vectors.txt").write_text(text)
    with pytest.raises(DataError, match=f"vectors.txt: {message}"):
        Pretrained(path=str(tmp_path / "vectors.txt")).fill(make(tokenizer), tokenizer)


def test_a_file_that_is_no_gzip_is_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "vectors.txt.gz"
    path.write_text(GLOVE)
    with pytest.raises(DataError, match=r"vectors.txt.gz: reading stopped: "):
        Pretrained(path=str(path)).check(make(tokenizer))


def test_a_model_without_an_embedding_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Linear has no token embedding"):
        Pretrained(path=str(tmp_path)).check(nn.Linear(1, 1))


def test_training_starts_from_them_and_resumes_without_them(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(['0.5'] * 8)}\n" for word in ("you", "the", "is")))
    options = ("debug=smoke", "logger=local", "tokenizer=word", "model.embedding_size=8", "hydra.run.dir=mine")
    outcome = run("train", *options, "embedding=pretrained", f"embedding.path={path}", "training.steps=0")
    assert outcome.code == 0, outcome.err
    assert "pretrained embeddings: " in outcome.out
    path.unlink()
    again = run("evaluate", f"run={outcome.run_directory}")
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("embedding=pretrained", "embedding.path=nowhere.txt"), "nowhere.txt: cannot be read: No such file"),
        (("embedding=pretrained", "embedding.path=v.txt"), "v.txt: line 1: has vectors of 2 numbers; it should have"),
        (("embedding=pretrained",), "embedding.path"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    run: Callable[..., Any], options: tuple[str, ...], line: str
) -> None:
    Path("v.txt").write_text("the 1 2\n")
    outcome = run("train", "debug=smoke", "logger=local", *options)
    assert outcome.code == 2
    assert line in outcome.err
    assert len(outcome.err.splitlines()) == 1
