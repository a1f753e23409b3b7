import inspect
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from metadialog.errors import ConfigError
from metadialog.loggers.base import RECORD_COLUMNS, SAMPLE_KEYS, LoggedRun
from metadialog.loggers.wandb import STEP, WandbLogger
from metadialog.runs.scalars_file import ScalarsFile, Split
from metadialog.statistics.adaptation import adaptation_curves

Read = Callable[[Path], Any]
Open = Callable[..., WandbLogger]

CONFIG: dict[str, object] = {
    "seed": 3,
    "algorithm": {"_target_": "metadialog.algorithms.maml.Maml", "lr": 0.1, "steps": [1, 3], "note": None},
    "dataset": {"language": "english"},
}
SAMPLES = [
    {
        "context": "User: 你好",
        "reference": "hi",
        "before": "",
        "after": "hello",
        "topic": "food",
        "inner_step": 5,
    },
    {"context": "b", "reference": "r", "before": "x", "after": "y", "topic": "art", "inner_step": 5},
]


@pytest.fixture
def open_logger(tmp_path: Path) -> Iterator[Open]:
    opened: list[WandbLogger] = []

    def make(
        run: str = "run", config: dict[str, object] = CONFIG, run_id: str | None = None, **options: object
    ) -> WandbLogger:
        chosen: dict[str, Any] = {
            "title": None,
            "project": "p",
            "entity": None,
            "group": None,
            "tags": [],
            "mode": "offline",
        }
        chosen |= options
        logger = WandbLogger(LoggedRun(tmp_path / run, config, f"name of {run}", run_id), **chosen)
        opened.append(logger)
        return logger

    yield make
    for logger in opened:
        logger.finish("failed")


def records() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    for topic in ("food", "art"):
        for episode in range(3):
            for shots in (1, 5):
                for step in (0, 1, 3):
                    row: dict[str, object] = dict.fromkeys(RECORD_COLUMNS, 0.5)
                    row |= {"algorithm": "maml", "engine": "learn2learn", "dataset": "chatterbot", "seed": 3}
                    row |= {"split": "meta_test", "topic": topic, "episode": episode, "shots": shots}
                    row |= {"inner_step": step, "loss": float(rng.random()), "tokens": 7, "words": 5}
                    row |= {"bleu": math.nan if step == 1 else 12.5}
                    rows.append(row)
    return pd.DataFrame(rows, columns=list(RECORD_COLUMNS))


def table(run_dir: Path, row: dict[str, Any], key: str) -> list[list[Any]]:
    [files] = run_dir.glob("wandb/*run-*/files")
    content = json.loads((files / row[key]["path"]).read_text(encoding="utf-8"))
    return [content["columns"], *content["data"]]


def test_the_offline_run_says_what_the_scalars_file_says(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    logger = open_logger()
    rng = np.random.default_rng(1)
    splits: list[Split] = ["meta_train", "meta_validation", "meta_test"]
    with ScalarsFile(tmp_path / "run" / "metrics.jsonl") as scalars:
        for step in range(200):  # fills several blocks of the file
            values = {"query_loss": float(rng.lognormal(0, 9)), "gradient_norm": step / 7}
            scalars.log(step, splits[step % 3], values)
            logger.log(step, splits[step % 3], values)
        for step, value in ((7, 1e-300), (8, math.nan), (9, math.inf)):  # a resumed run repeats steps
            scalars.log(step, "meta_train", {"query_loss": value})
            logger.log(step, "meta_train", {"query_loss": value})
    logger.finish("finished")

    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    expected = [(line["step"], f"{line['split']}/{line['name']}", line["value"]) for line in lines]
    run = read_wandb(tmp_path / "run")
    found = [
        (row[STEP], name, number(value))
        for row in run.history
        for name, value in row.items()
        if name != STEP and not name.startswith("_")
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert len(found) == 403
    axes = {metric.glob_name: metric.step_metric for metric in run.metrics if metric.glob_name}
    assert axes == {f"{split}/*": STEP for split in splits}
    assert run.exit_code == 0


def number(value: object) -> float | None:
    """Replace wandb's spelling of non-finite numbers, for which the file of scalars has null."""
    result = float(str(value))
    return result if math.isfinite(result) else None


def test_the_run_carries_its_names_and_the_whole_config(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    logger = open_logger(project="dialogues", entity="team", group="study", tags=["a", "b c"])
    logger.finish("failed")
    run = read_wandb(tmp_path / "run")
    assert {key: value for key, value in run.config.items() if key != "_wandb"} == CONFIG
    assert (run.run.project, run.run.entity, run.run.run_group) == ("dialogues", "team", "study")
    assert (run.run.display_name, list(run.run.tags)) == ("name of run", ["a", "b c"])
    assert run.run.run_id == logger.run_id
    assert run.exit_code == 1


def test_adaptation_is_a_table_a_chart_and_a_gain(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    frame = records()
    logger = open_logger()
    logger.log_adaptation(frame)
    logger.finish("finished")
    run = read_wandb(tmp_path / "run")

    [row] = run.history
    header, *data = table(tmp_path / "run", row, "adaptation_records")
    assert header == list(RECORD_COLUMNS)
    found = pd.DataFrame(data, columns=header).replace("NaN", math.nan).infer_objects()
    pd.testing.assert_frame_equal(found.astype(frame.dtypes.to_dict()), frame)

    chart = run.config["_wandb"]["visualize"]["adaptation_curve"]["panel_config"]
    assert "lineseries" in chart["panelDefId"]
    assert chart["fieldSettings"] == {"step": "step", "lineKey": "lineKey", "lineVal": "lineVal"}
    _, *points = table(tmp_path / "run", row, "adaptation_curve_table")
    curves = adaptation_curves(frame)
    assert points == [[step, topic, loss] for topic, curve in curves.items() for step, loss in curve.items()]
    assert set(curves) == {"food", "art"}

    most = frame[frame["shots"] == 5]
    before = most[most["inner_step"] == 0]["loss"].mean()
    after = most[most["inner_step"] == 3]["loss"].mean()
    assert run.summary["adaptation/loss_before"] == pytest.approx(before, rel=1e-12)
    assert run.summary["adaptation/loss_after"] == pytest.approx(after, rel=1e-12)
    assert run.summary["adaptation/gain"] == pytest.approx(before - after, rel=1e-12)


def test_an_integer_that_is_missing_is_missing_there(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    """If references were cut, their number of characters is unknown."""
    frame = records()
    characters = [None if row % 2 == 0 else row for row in range(len(frame))]
    logger = open_logger()
    logger.log_adaptation(frame.assign(characters=pd.array(characters, "Int64")))
    logger.finish("finished")
    [row] = read_wandb(tmp_path / "run").history
    header, *data = table(tmp_path / "run", row, "adaptation_records")
    assert [values[header.index("characters")] for values in data] == characters


def test_samples_are_a_table(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    logger = open_logger()
    logger.log_samples(SAMPLES)
    logger.finish("finished")
    [row] = read_wandb(tmp_path / "run").history
    assert table(tmp_path / "run", row, "samples") == [
        list(SAMPLE_KEYS),
        *([sample[key] for key in SAMPLE_KEYS] for sample in SAMPLES),
    ]


def test_the_model_is_an_artifact_whose_files_are_not_copied(
    tmp_path: Path, open_logger: Open, read_wandb: Read
) -> None:
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    (model / "weights.safetensors").write_bytes(bytes(range(256)))
    (model / "config.json").write_text("{}")
    logger = open_logger()
    logger.log_model(model)
    logger.finish("finished")
    [artifact] = read_wandb(tmp_path / "run").artifacts
    assert (artifact.type, artifact.name) == ("model", f"model-{logger.run_id}")
    entries = {entry.path: (entry.size, entry.local_path) for entry in artifact.manifest.contents}
    assert entries == {
        "weights.safetensors": (256, str(model / "weights.safetensors")),
        "config.json": (2, str(model / "config.json")),
    }


def test_only_its_own_directory_is_written_and_its_service_ends(
    tmp_path: Path, open_logger: Open, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = open_logger()
    logger.log(1, "meta_train", {"loss": 1.0})
    assert "WANDB_SERVICE" in os.environ
    logger.finish("finished")
    logger.finish("failed")
    logger.log(2, "meta_train", {"loss": 1.0})
    assert "WANDB_SERVICE" not in os.environ
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "home", "run"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["wandb"]
    assert not list(tmp_path.glob("run/wandb/*/files/*.patch"))
    assert not list(tmp_path.glob("run/wandb/*/**/*.py"))
    assert capfd.readouterr() == ("", "")


def test_finishing_twice_keeps_the_first_status(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    logger = open_logger()
    logger.finish("finished")
    logger.finish("failed")
    assert read_wandb(tmp_path / "run").exit_code == 0


def test_runs_of_one_process_are_apart(
    tmp_path: Path, open_logger: Open, read_wandb: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "the-same-for-all")
    ids = set()
    for name in ("one", "two"):
        logger = open_logger(name, {"run": name})
        logger.log(1, "meta_train", {name: 1.0})
        logger.finish("finished")
        ids.add(logger.run_id)
    assert len(ids) == 2
    for name in ("one", "two"):
        run = read_wandb(tmp_path / name)
        assert run.config["run"] == name
        assert [row[f"meta_train/{name}"] for row in run.history] == [1.0]


def test_a_run_that_was_never_finished_does_not_swallow_the_next(
    tmp_path: Path, open_logger: Open, read_wandb: Read
) -> None:
    open_logger("one", {"run": "one"})
    second = open_logger("two", {"run": "two"})
    second.log(1, "meta_train", {"loss": 2.0})
    second.finish("finished")
    run = read_wandb(tmp_path / "two")
    assert (run.config["run"], len(run.history)) == ("two", 1)


def test_a_resumed_run_offline_holds_all_from_the_start(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    # The upload of the second run replaces that of the first, so it must contain everything.
    first = open_logger()
    with ScalarsFile(tmp_path / "run" / "metrics.jsonl") as scalars:
        for step in (1, 2):
            values = {"loss": 1.0 / step, "gradient_norm": math.inf}
            scalars.log(step, "meta_train", values)
            first.log(step, "meta_train", values)
    first.finish("failed")
    second = open_logger(run_id=first.run_id)
    second.log(3, "meta_train", {"loss": 2.0})
    second.finish("finished")
    assert second.run_id == first.run_id
    runs = [read_wandb(path) for path in tmp_path.glob("run/wandb/offline-run-*/*.wandb")]
    assert [run.run.run_id for run in runs] == [first.run_id] * 2
    history = max((run.history for run in runs), key=len)
    assert [(row[STEP], row["meta_train/loss"]) for row in history] == [(1, 1.0), (2, 0.5), (3, 2.0)]
    assert [row["_step"] for row in history] == [0, 1, 2]


ENVIRONMENT = {
    "WANDB_PROJECT": "theirs",
    "WANDB_NAME": "my run",
    "WANDB_TAGS": "x,y",
    "WANDB_ENTITY": "us",
    "WANDB_RUN_GROUP": "night",
}


def test_the_environment_names_what_the_config_leaves_open(
    tmp_path: Path, open_logger: Open, read_wandb: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    open_logger("open", project=None).finish("finished")
    options = {"title": "t", "project": "p", "entity": "e", "group": "g", "tags": ["a"]}
    open_logger("said", **options).finish("finished")

    expected = {"open": ("theirs", "my run", ["x", "y"], "us", "night"), "said": ("p", "t", ["a"], "e", "g")}
    for name, names in expected.items():
        run = read_wandb(tmp_path / name).run
        assert (run.project, run.display_name, list(run.tags), run.entity, run.run_group) == names


def test_without_config_and_environment_there_are_defaults(tmp_path: Path, open_logger: Open, read_wandb: Read) -> None:
    open_logger(project=None).finish("finished")
    run = read_wandb(tmp_path / "run").run
    assert (run.project, run.display_name, list(run.tags)) == ("metadialog", "name of run", [])


def test_disabled_touches_nothing(tmp_path: Path, open_logger: Open) -> None:
    logger = open_logger(mode="disabled", run_id="abc")
    logger.log(1, "meta_train", {"loss": 1.0})
    logger.log_adaptation(records())
    logger.log_samples(SAMPLES)
    logger.finish("finished")
    assert logger.run_id == "abc"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wandb_mode", ["disabled", "offline", "dryrun"])
def test_auto_follows_wandb_mode_in_silence(
    tmp_path: Path,
    open_logger: Open,
    wandb_mode: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_MODE", wandb_mode)
    open_logger(mode="auto").finish("finished")
    written = [path.name.split("-")[0] for path in tmp_path.glob("run/wandb/*run-*")]
    assert written == ([] if wandb_mode == "disabled" else ["offline"])
    assert capfd.readouterr() == ("", "")


def test_a_wrong_wandb_mode_is_refused_in_one_line(open_logger: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "onlin")
    with pytest.raises(ConfigError, match=r"^WANDB_MODE=onlin: should be online, offline or disabled, or.*$"):
        open_logger(mode="auto")


@pytest.mark.parametrize("choice", ["wandb", "local"])
def test_the_yaml_gives_exactly_the_options_of_the_class(choice: str) -> None:
    path = Path(__file__).parents[2] / "conf" / "logger" / f"{choice}.yaml"
    text = path.read_text()
    options = yaml.safe_load(text)
    module, _, name = options.pop("_target_").rpartition(".")
    target = getattr(__import__(module, fromlist=[name]), name)
    parameters = inspect.signature(target).parameters.values()
    assert list(options) == [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == ["run"]
    for option in options:
        [line] = [line for line in text.splitlines() if line.startswith(f"{option}:")]
        assert "#" in line
