from pathlib import Path

import pandas as pd

from metadialog.loggers.base import RECORD_COLUMNS, LoggedRun, Logger
from metadialog.loggers.local import LocalLogger


def test_it_writes_nothing_and_keeps_the_run_id(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    logger: Logger = LocalLogger(LoggedRun(run_dir, {}, "name", "abc"))
    logger.log(1, "meta_train", {"loss": 1.0})
    logger.log_adaptation(pd.DataFrame(columns=list(RECORD_COLUMNS)))
    logger.log_samples([])
    logger.log_model(run_dir)
    logger.finish("finished")
    logger.finish("failed")
    assert logger.run_id == "abc"
    assert not list(run_dir.iterdir())
