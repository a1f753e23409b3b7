"""Training on published data sets; tests of real dialogues are skipped without a local copy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Run = Callable[..., Any]
Published = Callable[[str], Path]
SMOKE = ("debug=smoke", "logger=local")


def test_the_topics_of_sgd(run: Run, published: Published) -> None:
    outcome = run("data", "dataset=sgd", f"dataset.root={published('sgd')}")
    assert outcome.code == 0, outcome.err
    assert "all (17 topics)" in outcome.out
    assert "6,111" in outcome.out


def test_sgd_with_the_domains_of_the_paper_held_out(run: Run, published: Published) -> None:
    outcome = run("train", *SMOKE, "dataset=sgd", f"dataset.root={published('sgd')}", "split=paper")
    assert outcome.code == 0, outcome.err
    records = pd.read_parquet(outcome.run_directory / "adaptation.parquet")
    assert set(records["topic"]) == {"Alarm"}
    assert set(records["dataset"]) == {"sgd"}


@pytest.mark.parametrize("tokenizer", ["bpe", "character", "jieba"])
def test_dailydialog_in_chinese(run: Run, published: Published, tokenizer: str) -> None:
    data = ("dataset=dailydialog", f"dataset.root={published('dailydialog')}", "dataset.language=zh")
    outcome = run("train", *SMOKE, *data, f"tokenizer={tokenizer}")
    assert outcome.code == 0, outcome.err
    assert "Word perplexity (per character)" in " ".join(outcome.out.split())


def test_a_data_set_without_a_paper_split(run: Run) -> None:
    outcome = run("data", "split=paper")
    assert outcome.code == 2
    assert outcome.err.startswith("metadialog data: split=paper: there is no paper's split for this data set")
    assert outcome.err.count("\n") == 1
