"""No file of a run, a sweep or a report contains passwords or keys from the environment or URLs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
SECRETS = ("s3cr3tWandbKey" * 3, "s3cr3tInEnv", "s3cr3tPassword", "s3cr3tQuery", "s3cr3tToken")


def written(folder: Path) -> dict[str, bytes]:
    """Return the content and the name of every file, as names could contain a secret too."""
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return files | {"names": "\n".join(str(path) for path in folder.rglob("*")).encode()}


def check(folder: Path, *said: str) -> None:
    for name, content in {**written(folder), "said": "".join(said).encode()}.items():
        for secret in SECRETS:
            assert secret.encode() not in content, f"{secret} stands in {name}"


def test_no_secret_is_written(run: Run, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRETS[0])
    monkeypatch.setenv("MY_SECRET", SECRETS[1])
    monkeypatch.setenv("HF_TOKEN", SECRETS[4])
    monkeypatch.setenv("https_proxy", f"http://me:{SECRETS[2]}@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS[2])
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {SECRETS[4]}")
    monkeypatch.setenv("WANDB__EXTRA_HTTP_HEADERS", json.dumps({"Authorization": f"Bearer {SECRETS[4]}"}))
    trained = run("train", "debug=smoke", "logger.mode=offline", "hydra.run.dir=outputs/one")
    assert trained.code == 0, trained.err
    url = f"redis://me:{SECRETS[2]}@127.0.0.1:1/0?password={SECRETS[3]}"
    refused = run("train", "-m", "debug=smoke", "logger=local", "sweep=optuna", "seed=0,1", f"sweep.storage={url}")
    assert refused.code == 2
    studied = run(
        "train", "-m", "debug=smoke", "logger=local", "sweep=optuna", "sweep.trials=1", "training.steps=1",
        "algorithm.inner_lr=interval(0.1,0.2)", f"sweep.storage=sqlite:///study.db?password={SECRETS[3]}",
        "hydra.sweep.dir=study",
    )  # fmt: skip
    table = run("table", "runs=outputs/one", "output=report", "resamples=100")
    assert table.code == 0, table.err
    said = [text for one in (trained, refused, studied, table) for text in (one.out, one.err)]
    check(Path.cwd(), *said)
    check(cache)


@pytest.mark.parametrize("option", ["logger.project", "hydra.run.dir", "cache"])
def test_a_secret_of_the_environment_is_not_taken_into_a_config(
    run: Run, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setenv("MY_SECRET", SECRETS[1])
    outcome = run("train", "debug=smoke", "logger.mode=disabled", f"{option}=${{oc.env:MY_SECRET}}")
    assert outcome.code == 2
    assert "MY_SECRET" in outcome.err
    check(Path.cwd(), outcome.out, outcome.err)
