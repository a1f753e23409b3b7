"""Scores of single replies."""

import pytest

from metadialog.metrics.quality import rouge_l, sentence_bleu


def test_the_same_text_is_worth_most_and_another_least() -> None:
    for score in (rouge_l, lambda reference, reply: sentence_bleu(reference, reply, "13a")):
        assert score("It leaves at nine.", "It leaves at nine.") == pytest.approx(1)
        assert score("It leaves at nine.", "") == 0
        assert score("It leaves at nine.", "Hello!") < 0.1 < score("It leaves at nine.", "It leaves now.") < 1


def test_bleu_by_its_definition() -> None:
    # Papineni et al. 2002: 3 of 3 words, 1 of 2 pairs, no triple (smoothed to a half); the length penalty exp(1 - 4/3).
    import math

    expected = math.exp((math.log(1) + math.log(1 / 2) + math.log(1 / 2)) / 3) * math.exp(1 - 4 / 3)
    assert sentence_bleu("a b c d", "a b d", "13a") == pytest.approx(expected)


def test_chinese_words_are_found() -> None:
    assert sentence_bleu("我们明天去北京", "我们明天去上海", "zh") > sentence_bleu(
        "我们明天去北京", "我们明天去上海", "13a"
    )
