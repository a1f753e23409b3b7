from itertools import islice
from pathlib import Path

import pytest
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from metadialog.config import check
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.errors import ConfigError, RunError
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.character import CharacterTokenizer
from metadialog.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer, TokenizerTrainer
from metadialog.tokenizers.word import WordTokenizer

CONF = Path(__file__).parents[2] / "conf" / "tokenizer"
KINDS = ("bpe", "word", "character", "jieba")
# Text that looks like special tokens and bytes, frequent enough to be merged or to become a word.
MARKUP = ["<end> <pad><self> <0x41> <0x0A>", "say <end>", "<end>", "<begin>x<other>"] * 50


def texts(language: str = "english") -> list[str]:
    return [turn.text for dialogue in ChatterbotDataset(language=language).dialogues() for turn in dialogue.turns]


def from_yaml(kind: str) -> TokenizerTrainer:
    trainer: TokenizerTrainer = instantiate(OmegaConf.load(CONF / f"{kind}.yaml"))
    return trainer


TRAINED = {kind: from_yaml(kind).train(texts() + MARKUP) for kind in KINDS}


@pytest.fixture(params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TRAINED[request.param]


LOOKALIKES = [*SPECIAL_TOKENS, "<unk>", "<0x41>", "<0xFF>", "<0x0A>"]


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back_exactly(kind: str, text: str) -> None:
    tokenizer = TRAINED[kind]
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(len(SPECIAL_TOKENS) <= i < tokenizer.vocab_size for i in ids)


@pytest.mark.parametrize("special", LOOKALIKES)
def test_text_that_looks_like_a_special_token_is_text(tokenizer: Tokenizer, special: str) -> None:
    for text in (special, f" {special}", f"a{special}b", special * 2):
        ids = tokenizer.encode(text)
        assert min(ids) >= len(SPECIAL_TOKENS)
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_real_dialogues_come_back_exactly(tokenizer: Tokenizer, language: str) -> None:
    for text in islice(texts(language), 0, None, 7):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_tokens_have_their_ids_and_no_text(tokenizer: Tokenizer) -> None:
    ids = [tokenizer.pad_id, tokenizer.begin_id, tokenizer.end_id, tokenizer.self_id, tokenizer.other_id]
    assert ids == [0, 1, 2, 3, 4]
    assert tokenizer.decode([1, 3, *tokenizer.encode("Hello"), 4, *tokenizer.encode(" you"), 2, 0]) == "Hello you"


def test_a_cut_character_is_shown_as_such(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a\U0001f99c")
    assert "\ufffd" in tokenizer.decode(ids[:-1])


@pytest.mark.parametrize("kind", KINDS)
def test_training_is_deterministic_whatever_the_order(kind: str, tmp_path: Path) -> None:
    corpus = texts()
    for name, ordered in (("a", corpus), ("b", corpus[::-1])):
        from_yaml(kind).train(iter(ordered)).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_words_are_whole_with_their_space_and_punctuation_apart() -> None:
    tokenizer = WordTokenizer(vocab_size=400).train(["Hello world, it's me... 42!"] * 2)
    pieces = [tokenizer.decode([i]) for i in tokenizer.encode("Hello world, it's me... 42!")]
    assert pieces == ["Hello", " world", ",", " it's", " me", "...", " 42", "!"]
    assert [tokenizer.decode([i]) for i in tokenizer.encode(" owl")] == [" ", "o", "w", "l"]


def test_words_met_once_are_spelled() -> None:
    tokenizer = WordTokenizer(vocab_size=400).train(["a two two once"])
    assert len(tokenizer.encode(" two")) == 1
    assert len(tokenizer.encode(" once")) == len(" once")


def test_chinese_words_are_characters() -> None:
    tokenizer = WordTokenizer(vocab_size=2000).train(texts("chinese"))
    assert [tokenizer.decode([i]) for i in tokenizer.encode("你好吗\uff1f")] == ["你", "好", "吗", "\uff1f"]


def test_characters_are_kept_by_frequency_then_by_text() -> None:
    tokenizer = CharacterTokenizer(vocab_size=261 + 2).train(["ccc", "bb", "aa", "d"])
    assert tokenizer.vocab_size == 263
    assert [tokenizer.encode(c)[0] for c in "ca"] == [261, 262]
    assert [tokenizer.encode(c)[0] for c in "bd"] == [5 + ord("b"), 5 + ord("d")]


@pytest.mark.parametrize("trainer", [BytePairTokenizer, WordTokenizer, CharacterTokenizer])
@pytest.mark.parametrize("vocab_size", [261, 300, 500])
def test_the_vocabulary_is_as_large_as_asked(trainer: type[TokenizerTrainer], vocab_size: int) -> None:
    tokenizer = trainer(vocab_size=vocab_size).train(texts("english") + texts("chinese"))  # type: ignore[call-arg]
    assert tokenizer.vocab_size == vocab_size
    assert tokenizer.decode(tokenizer.encode("Hello, 世界")) == "Hello, 世界"


def test_a_corpus_without_text_gives_a_tokenizer_of_bytes() -> None:
    for kind in KINDS:
        tokenizer = from_yaml(kind).train([])
        assert (tokenizer.vocab_size, tokenizer.decode(tokenizer.encode("é!"))) == (261, "é!")


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_too_small_for_the_bytes_is_refused(kind: str) -> None:
    check(_options(kind) | {"vocab_size": 261})
    with pytest.raises(ConfigError, match=r"^vocab_size=260: should be greater than or equal to 261$"):
        check(_options(kind) | {"vocab_size": 260})


def test_a_saved_tokenizer_loads_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert loaded.vocab_size == tokenizer.vocab_size
    for text in ("Hello there, how are you?", "<end>", "漢字 \U0001f99c", " spaces  and\nlines "):
        assert loaded.encode(text) == tokenizer.encode(text)
        assert loaded.decode(loaded.encode(text)) == text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"version": "1.0"}',
        b'{"model": {"type": "BPE", "vocab": {"<pad>": 0}, "merges": []}}',
    ],
)
def test_a_malformed_file_is_reported_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        Tokenizer.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none\.json: cannot be read: No such file or directory"):
        Tokenizer.load(tmp_path / "none.json")


def test_a_tokenizer_that_finds_special_tokens_in_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    TRAINED["bpe"]._backend.save(str(path))
    import tokenizers

    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.add_special_tokens(["<end>"])
    backend.save(str(path))
    with pytest.raises(RunError, match="added tokens"):
        Tokenizer.load(path)


def _options(kind: str) -> dict[str, object]:
    options = OmegaConf.to_container(OmegaConf.load(CONF / f"{kind}.yaml"))
    assert isinstance(options, dict)
    return {str(key): value for key, value in options.items()}
