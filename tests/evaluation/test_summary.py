import io
import math

import pandas as pd
from rich.console import Console

from metadialog.evaluation.adaptation import Sample
from metadialog.evaluation.summary import perplexity, summarize


def records(*rows: tuple[str, int, int, float, int, int]) -> pd.DataFrame:
    columns = ["topic", "shots", "inner_step", "loss", "tokens", "words"]
    return pd.DataFrame(rows, columns=columns).assign(algorithm="maml")


def shown(frame: pd.DataFrame, samples: list[Sample], steps: list[int]) -> list[list[str]]:
    out = io.StringIO()
    Console(file=out, width=120).print(summarize(frame, samples, steps))
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in out.getvalue().splitlines()]


def test_several_records_count_by_their_tokens_and_words() -> None:
    frame = records(("a", 2, 0, 3.0, 10, 5), ("a", 2, 0, 1.0, 30, 15))
    assert math.isclose(perplexity(frame), math.exp((30 + 30) / 20))


def test_a_row_a_topic_and_one_for_all() -> None:
    frame = records(
        ("art", 2, 0, 3.0, 10, 10),
        ("art", 2, 1, 2.0, 10, 10),
        ("food", 2, 0, 1.0, 10, 10),
        ("food", 2, 1, 0.5, 10, 10),
    )
    rows = shown(frame, [], [0, 1, 3])
    assert ["art", "20.1", "7.4"] in rows
    assert ["food", "2.7", "1.6"] in rows
    assert ["all topics", "7.4", "3.5"] in rows


def test_without_shots_there_is_nothing_after_step_0() -> None:
    frame = records(("art", 0, 0, 8.0, 10, 10), ("art", 2, 0, 3.0, 10, 10), ("art", 2, 1, 2.0, 10, 10))
    rows = shown(frame, [], [0, 1])
    assert ["art", "2,981", "-"] in rows
    assert ["art", "20.1", "7.4"] in rows


def test_replies_are_shown_as_they_are() -> None:
    frame = records(("art", 2, 0, 3.0, 10, 10))
    sample = Sample("art", 0, 2, 5, "Hi [bold]you[/bold]", "[/red]", "before", "after")
    rows = shown(frame, [sample], [0])
    assert ["art", "Hi [bold]you[/bold]", "[/red]", "before", "after"] in rows


def test_word_perplexity_of_chinese_is_labelled_per_character() -> None:
    frame = records(("art", 2, 0, 3.0, 10, 10))
    for language, name in (("zh", "Word perplexity (per character) on"), ("en", "Word perplexity on")):
        out = io.StringIO()
        Console(file=out, width=120).print(summarize(frame, [], [0], language))
        assert name in " ".join(out.getvalue().split())
