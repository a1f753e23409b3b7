import logging
import math
from collections.abc import Sequence

import pytest
import sacrebleu

from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.metrics.quality import ReplyQuality, distinct, reply_quality, rouge_l, signatures


def responses(language: str, count: int = 40) -> list[str]:
    return [dialogue.turns[-1].text for dialogue in ChatterbotDataset(language=language).dialogues()][:count]


def shifted(texts: Sequence[str]) -> list[str]:
    """Return each text with the second half of the next one: replies that are partly right."""
    following = [*texts[1:], texts[0]]
    return [a[: len(a) // 2] + b[len(b) // 2 :] for a, b in zip(texts, following, strict=True)]


def test_exact_replies_have_full_marks() -> None:
    texts = responses("english")
    quality = reply_quality(texts, texts, "en")
    assert quality.bleu == pytest.approx(100)
    assert quality.chrf == pytest.approx(100)
    assert quality.rouge_l == pytest.approx(1)


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("english", "13a"), ("french", "13a"), ("chinese", "zh"), ("traditionalchinese", "zh"), ("japanese", "char")],
)
def test_bleu_and_chrf_are_those_of_sacrebleu(language: str, tokenizer: str) -> None:
    references = responses(language)
    replies = shifted(references)
    code = ChatterbotDataset(language=language).language
    quality = reply_quality(replies, references, code)
    assert quality.bleu == sacrebleu.corpus_bleu(replies, [references], tokenize=tokenizer).score
    assert quality.chrf == sacrebleu.corpus_chrf(replies, [references]).score
    assert 0 < quality.bleu < 100
    assert 0 < quality.chrf < 100
    bleu, chrf = signatures(code).values()
    assert f"tok:{tokenizer}" in bleu.split("|")
    assert f"version:{sacrebleu.__version__}" in bleu.split("|")
    assert "nc:6" in chrf.split("|")


def test_bleu_by_hand() -> None:
    # 5 of 6 unigrams, 4 of 5 bigrams, 3 of 4 trigrams, 2 of 3 4-grams; as long as the reference.
    quality = reply_quality(["the cat sat on the mat"], ["a cat sat on the mat"], "en")
    assert quality.bleu == pytest.approx(100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** (1 / 4))


def test_rouge_l_by_hand() -> None:
    # Longest common subsequences: "the cat mat", 3 of 4 and 3 of 6 words, F1 0.6; and 0.
    replies = ["The cat likes mat", "yes"]
    assert reply_quality(replies, ["the cat sat on a mat", "no"], "en").rouge_l == pytest.approx((0.6 + 0) / 2)


def test_rouge_l_of_several_replies_is_the_mean_of_theirs() -> None:
    keep = str.maketrans("", "", "".join(map(chr, range(33, 48))) + ":;?@[]_\u2019")
    references = [text.translate(keep) for text in responses("english", 20)]
    replies = shifted(references)
    expected = [rouge_l(a, b) for a, b in zip(references, replies, strict=True)]
    assert reply_quality(replies, references, "en").rouge_l == pytest.approx(sum(expected) / len(expected))


def test_rouge_l_counts_chinese_characters() -> None:
    # 5 of 6 characters in common, in both directions.
    assert reply_quality(["今天天气很好"], ["今天天气不好"], "zh").rouge_l == pytest.approx(5 / 6)


def test_rouge_l_keeps_letters_that_are_not_ascii() -> None:
    assert reply_quality(["Ça va été"], ["ça va hiver"], "fr").rouge_l == pytest.approx(2 / 3)


def test_distinct_by_hand() -> None:
    replies = ["a b a b", "a c", "", "d"]
    assert distinct(replies, 1) == 4 / 7  # a b c d
    assert distinct(replies, 2) == 3 / 4  # ab ba ac, of ab ba ab ac
    quality = reply_quality(replies, ["a b", "a c", "x", "d"], "en")
    assert (quality.distinct_1, quality.distinct_2) == (4 / 7, 3 / 4)


def test_distinct_of_nothing_is_0() -> None:
    assert distinct([], 1) == 0
    assert distinct(["", " "], 1) == 0
    assert distinct(["one", "two"], 2) == 0


def test_distinct_counts_chinese_characters() -> None:
    assert distinct(["很好很好"], 1) == 2 / 4
    assert distinct(["很好很好"], 2) == 2 / 3


@pytest.mark.parametrize(("reference", "language"), [("hello there", "en"), ("今天天气很好", "zh"), ("", "en")])
def test_empty_replies_score_0(reference: str, language: str) -> None:
    quality = reply_quality(["", " "], [reference, reference], language)
    assert quality == ReplyQuality(0, 0, 0, 0, 0, 0, 0 if reference else math.inf, 0)


def test_entropy_length_and_repetition_by_hand() -> None:
    replies = ["a b a b", "a c", "", "d"]
    quality = reply_quality(replies, ["a b", "a c", "x y z", "d"], "en")
    # a 3 times, b twice, c and d once, of 7
    expected = -sum(n / 7 * math.log(n / 7) for n in (3, 2, 1, 1))
    assert quality.entropy == pytest.approx(expected)
    assert quality.length_ratio == 7 / 8
    assert quality.repetition == pytest.approx((1 / 3 + 0 + 0 + 0) / 4)  # ab ba ab
    assert reply_quality(["很好很好"], ["好"], "zh").repetition == pytest.approx(1 / 3)


def test_one_word_again_and_again_is_no_information() -> None:
    quality = reply_quality(["yes yes yes yes", "yes"], ["no", "no"], "en")
    assert quality.entropy == 0
    assert quality.repetition == pytest.approx((2 / 3 + 0) / 2)
    assert quality.length_ratio == 5 / 2


def test_scores_are_silent(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    texts = ["this looks tokenized ."] * 150  # sacrebleu warns about such text by default
    with caplog.at_level(logging.INFO):
        reply_quality(texts, texts, "en")
        reply_quality(["", ""], ["a", "b"], "en")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("replies", "references"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_replies_and_references_must_be_as_many(replies: list[str], references: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{len(replies)} replies, {len(references)} references"):
        reply_quality(replies, references, "en")
