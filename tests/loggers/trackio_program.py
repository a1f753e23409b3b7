"""Log a run in two parts, like a resumed run, and print trackio's records, whose folder is read once per process."""

import json
from pathlib import Path

from trackio.sqlite_storage import SQLiteStorage

from metadialog.loggers.base import LoggedRun
from metadialog.loggers.trackio import TrackioLogger

run_id = None
for step in (1, 2):
    logger = TrackioLogger(LoggedRun(Path.cwd(), {"seed": 3}, "a run", run_id), project="dialogues")
    logger.log(step, "meta_train", {"loss": 1 / step, "bad": float("nan")})
    logger.log_samples([{"topic": "food", "context": "c", "reference": "r", "before": "b", "after": "a"}])
    logger.finish("finished")
    run_id = logger.run_id
[run] = SQLiteStorage.get_runs("dialogues")
logs = SQLiteStorage.get_logs("dialogues", run)
config = SQLiteStorage.get_run_config("dialogues", run) or {}
print(json.dumps({"run": run, "id": run_id, "seed": config.get("seed"), "logs": logs}, default=str))
