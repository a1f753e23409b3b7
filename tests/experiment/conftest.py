"""Small experiments in Python, in an empty working directory."""

from pathlib import Path

import pytest

OPTIONS = [
    "debug=smoke",
    "logger=local",
    "generation.max_tokens=4",
    "evaluation.shots=[1]",
    "evaluation.queries=2",
    "sampler.shots=1",
    "sampler.queries=2",
    "training.meta_batch=1",
]


@pytest.fixture
def options() -> list[str]:
    """Return the overrides of an experiment that takes about a second."""
    return list(OPTIONS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work
