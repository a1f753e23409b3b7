from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metadialog.loggers.base import RECORD_COLUMNS, LoggedRun
from metadialog.loggers.tensorboard import TensorboardLogger
from metadialog.statistics.adaptation import adaptation_gain


def records() -> pd.DataFrame:
    rows = []
    for topic in ("food", "art"):
        for step in (0, 1, 2):
            row: dict[str, object] = dict.fromkeys(RECORD_COLUMNS, 0.5)
            rows.append(
                row | {"split": "meta_test", "topic": topic, "shots": 5, "inner_step": step, "loss": 4.0 - step}
            )
    return pd.DataFrame(rows, columns=list(RECORD_COLUMNS))


def read(run_dir: Path) -> Any:  # noqa: ANN401 - TensorBoard is untyped
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run_dir / "tensorboard"))
    found.Reload()
    return found


def test_what_is_logged_can_be_read_back(tmp_path: Path) -> None:
    logger = TensorboardLogger(LoggedRun(tmp_path, {"seed": 3}, "a run", "abc"))
    for step in (1, 2):
        logger.log(step, "meta_train", {"loss": 1 / step, "gradient_norm": 2.0})
    logger.log_adaptation(records())
    sample = {"topic": "food", "inner_step": 5, "context": "a|b", "reference": "r", "before": "<x>", "after": "y"}
    logger.log_samples([sample])
    logger.finish("finished")
    logger.finish("failed")
    assert logger.run_id == "abc"
    found = read(tmp_path)
    assert [(event.step, event.value) for event in found.Scalars("meta_train/loss")] == [(1, 1.0), (2, 0.5)]
    assert [(e.step, e.value) for e in found.Scalars("adaptation_curve/art")] == [(0, 4.0), (1, 3.0), (2, 2.0)]
    gain = adaptation_gain(records())["gain"]
    assert [event.value for event in found.Scalars("adaptation/gain")] == [pytest.approx(gain)]
    [samples] = found.Tensors("samples/text_summary")
    assert b"a&#124;b | r | &lt;x&gt; | y" in samples.tensor_proto.string_val[0]


def test_a_resumed_run_takes_the_place_of_the_same_steps(tmp_path: Path) -> None:
    for values in ({1: 5.0, 2: 6.0}, {2: 7.0, 3: 8.0}):
        logger = TensorboardLogger(LoggedRun(tmp_path, {}, "a run"))
        for step, value in values.items():
            logger.log(step, "meta_train", {"loss": value})
        logger.finish("finished")
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    last = {event.step: event.value for event in read(tmp_path).Scalars("meta_train/loss")}
    assert last == {1: 5.0, 2: 7.0, 3: 8.0}


def test_a_folder_that_cannot_be_written_does_not_stop_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tensorboard").write_text("a file")
    logger = TensorboardLogger(LoggedRun(tmp_path, {}, "a run"))
    logger.log(1, "meta_train", {"loss": 1.0})
    logger.finish("finished")
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("TensorBoard fails (")
    assert line.endswith("the files in the run directory hold everything")
