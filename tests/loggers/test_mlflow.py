import math
from pathlib import Path

import pytest
from mlflow import MlflowClient

from metadialog.loggers.base import LoggedRun
from metadialog.loggers.mlflow import MlflowLogger
from metadialog.loggers.several import SeveralLoggers


def open_logger(place: Path, run_id: str | None = None) -> MlflowLogger:
    config = {"seed": 3, "algorithm": {"inner_lr": 0.1}}
    run = LoggedRun(place, config, "a run", run_id)
    return MlflowLogger(run, experiment="dialogues", tracking_uri=(place / "mlruns").as_uri())


def test_what_is_logged_can_be_read_back(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("w")
    logger = open_logger(tmp_path)
    for step in (1, 2):
        logger.log(step, "meta_train", {"loss": 1 / step, "bad": math.nan})
    logger.log_samples([{"topic": "food", "context": "c", "reference": "r", "before": "b", "after": "a"}])
    logger.log_model(model)
    logger.finish("interrupted")
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    assert logger.run_id is not None
    run = client.get_run(logger.run_id)
    assert (run.info.run_name, run.info.status) == ("a run", "KILLED")
    assert run.data.params == {"seed": "3", "algorithm.inner_lr": "0.1"}
    assert [(one.step, one.value) for one in client.get_metric_history(logger.run_id, "meta_train/loss")] == [
        (1, 1.0),
        (2, 0.5),
    ]
    assert "meta_train/bad" not in run.data.metrics
    assert {file.path for file in client.list_artifacts(logger.run_id)} == {"samples.csv", "model"}


def test_a_resumed_run_goes_on(tmp_path: Path) -> None:
    first = open_logger(tmp_path)
    first.log(1, "meta_train", {"loss": 1.0})
    first.finish("failed")
    second = open_logger(tmp_path, first.run_id)
    second.log(2, "meta_train", {"loss": 2.0})
    second.finish("finished")
    assert second.run_id == first.run_id
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    assert len(client.get_metric_history(str(first.run_id), "meta_train/loss")) == 2
    assert client.get_run(str(first.run_id)).info.status == "FINISHED"


def test_a_server_that_is_not_there_does_not_stop_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    logger = MlflowLogger(LoggedRun(tmp_path, {}, "a run"), experiment="e", tracking_uri="http://127.0.0.1:9")
    logger.log(1, "meta_train", {"loss": 1.0})
    logger.finish("finished")
    assert logger.run_id is None
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("MLflow fails (")]
    assert line.endswith("the files in the run directory hold everything")


def test_several_loggers_are_told_the_same_and_resume_each_its_own(tmp_path: Path) -> None:
    uri = (tmp_path / "mlruns").as_uri()
    nodes: dict[str, dict[str, object]] = {
        "wandb": {},
        "tensorboard": {"_target_": "metadialog.loggers.tensorboard.TensorboardLogger"},
        "mlflow": {"_target_": "metadialog.loggers.mlflow.MlflowLogger", "experiment": "e", "tracking_uri": uri},
        "trackio": {},
    }
    ids: list[str | None] = []
    for step in (1, 2):
        run_id = ids[-1] if ids else None
        logger = SeveralLoggers(LoggedRun(tmp_path, {}, "a run", run_id), use=["tensorboard", "mlflow"], **nodes)
        logger.log(step, "meta_train", {"loss": float(step)})
        logger.finish("finished")
        ids.append(logger.run_id)
    assert ids[0] == ids[1]
    name, _, number = str(ids[0]).partition(":")
    assert name == "mlflow"
    assert len(MlflowClient(uri).get_metric_history(number, "meta_train/loss")) == 2
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
