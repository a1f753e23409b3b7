"""Any file is read, or refused in one line: no traceback, no hang, and no code is run."""

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import strategies as st

from metadialog.datasets.auto import AutoDataset
from metadialog.datasets.jsonl import JsonlDataset
from metadialog.datasets.specification import read_specification
from metadialog.datasets.table import TableDataset
from metadialog.embeddings.pretrained import Pretrained
from metadialog.evaluation.selection import read_selection
from metadialog.inference.dialogues import read_dialogues
from metadialog.inference.folder import load_model
from metadialog.runs import config_file
from metadialog.runs.records import read_records
from metadialog.runs.run_directory import RunDirectory
from metadialog.runs.scalars_file import read_rows
from metadialog.sweeps.directory import SweepDirectory
from metadialog.sweeps.outcomes import read_outcome
from metadialog.training.checkpoint import read_checkpoint
from metadialog.training.cost import cost_of

Fuzz = Callable[..., None]
Strategies = Callable[..., st.SearchStrategy[bytes]]
Dump = Callable[[object], str]

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"
FINISHED = FIXTURES / "finished"

DIALOGUES = [
    {"topic": "travel", "turns": [{"speaker": "me", "text": "A room?"}, {"speaker": "desk", "text": "No."}], "id": "1"},
    {"topic": "food", "turns": ["An apple?", "Take two.", "Thanks."]},
]
ROWS = [("dialogue_id", "topic", "speaker", "text"), ("1", "a", "me", "Hello?"), ("1", "a", "you", "Yes, hello.")]
EXPORTS: dict[str, Any] = {
    "messages.json": [{"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Yes."}]}],
    "sharegpt.json": [{"conversations": [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}]}],
    "result.json": {
        "name": "Anna",
        "type": "personal_chat",
        "messages": [
            {"id": n, "type": "message", "date": "2024-05-01T10:00:00", "from": name, "text": "Hello"}
            for n, name in enumerate(["Anna", "Ben"])
        ],
    },
    "turns.json": [{"topic": "a", "turns": [{"speaker": "a", "text": "b"}, {"speaker": "c", "text": "d"}]}],
}
CHATS = {
    "chat.txt": "01.05.24, 10:00 - Anna: Hello?\n01.05.24, 10:01 - Ben: Yes.\n",
    "log.txt": "Anna: Hello?\nBen: Yes.\n\nAnna: Bye.\nBen: Bye.\n",
    "stories.yml": "version: '3.1'\nstories:\n- story: a\n  steps:\n  - user: |\n      hello\n  - action: utter_a\n",
}


def table(write: str) -> bytes:
    """Return a small table."""
    buffer = BytesIO()
    if write == "xlsx":
        book = openpyxl.Workbook()
        for row in ROWS:
            book.worksheets[0].append(row)
        book.save(buffer)
    elif write == "parquet":
        pq.write_table(pa.table(dict(zip(ROWS[0], map(list, zip(*ROWS[1:], strict=True)), strict=True))), buffer)
    else:
        return "\n".join(",".join(f'"{value}"' for value in row) for row in ROWS).encode()
    return buffer.getvalue()


def text(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize("packed", [False, True])
def test_jsonl(
    fuzz: Fuzz, damaged: Strategies, changed: Strategies, as_lines: Dump, tmp_path: Path, packed: bool
) -> None:
    plain = "\n".join(map(json.dumps, DIALOGUES)).encode()
    inputs = damaged(gzip.compress(plain)) if packed else damaged(plain) | changed(DIALOGUES, as_lines)
    path = tmp_path / f"my.jsonl{'.gz' if packed else ''}"
    fuzz(lambda path: list(JsonlDataset(path=str(path), language="en").dialogues()), path, inputs)


@pytest.mark.parametrize("ending", ["csv", "xlsx", "parquet"])
def test_tables(fuzz: Fuzz, damaged: Strategies, tmp_path: Path, ending: str) -> None:
    read = lambda path: list(TableDataset(path=str(path), language="en").dialogues())  # noqa: E731
    fuzz(read, tmp_path / f"my.{ending}", damaged(table(ending)))


@pytest.mark.parametrize("name", [*EXPORTS, *CHATS])
def test_exports(fuzz: Fuzz, damaged: Strategies, changed: Strategies, tmp_path: Path, name: str) -> None:
    if name in EXPORTS:
        inputs = damaged(json.dumps(EXPORTS[name]).encode()) | changed(EXPORTS[name], json.dumps)
    else:
        inputs = damaged(CHATS[name].encode())
    fuzz(lambda path: list(AutoDataset(path=str(path), language="en").dialogues()), tmp_path / name, inputs)


@pytest.mark.parametrize("ending", ["txt", "json", "jsonl", "csv"])
def test_dialogues_to_adapt_to(fuzz: Fuzz, damaged: Strategies, tmp_path: Path, ending: str) -> None:
    valid = {
        "txt": b"a: Hello?\nb: Yes.\n\na: Bye.\nb: Bye.\n",
        "json": json.dumps(DIALOGUES).encode(),
        "jsonl": "\n".join(map(json.dumps, DIALOGUES)).encode(),
        "csv": table("csv"),
    }[ending]
    fuzz(read_dialogues, tmp_path / f"my.{ending}", damaged(valid))


def test_specifications(fuzz: Fuzz, damaged: Strategies, changed: Strategies, as_lines: Dump, tmp_path: Path) -> None:
    lines = [{"target_dlg": "1", "support_dlgs": ["1"], "predict_turn": 1}]
    data = tmp_path / "my.jsonl"
    data.write_text("\n".join(map(json.dumps, DIALOGUES)))
    dialogues = list(JsonlDataset(path=str(data), language="en").dialogues())
    inputs = damaged(json.dumps(lines[0]).encode()) | changed(lines, as_lines)
    fuzz(lambda path: read_specification(path, dialogues), tmp_path / "spec.txt", inputs)


@pytest.mark.parametrize("packed", [False, True])
def test_word_vectors(fuzz: Fuzz, damaged: Strategies, tmp_path: Path, packed: bool) -> None:
    valid = b"2 3\nhello 0.1 0.2 0.3\nyes -1 2e-1 3\n"
    path = tmp_path / f"vectors.txt{'.gz' if packed else ''}"

    def read(path: Path) -> None:
        vectors = Pretrained(path=str(path))
        with vectors._opened() as lines:
            for number, _, numbers in vectors._vectors(lines, 3):
                vectors._numbers(number, numbers)

    fuzz(read, path, damaged(gzip.compress(valid) if packed else valid))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("status.json", lambda run: (RunDirectory(run).read_status(), read_outcome(run))),
        ("config.yaml", lambda run: RunDirectory(run).read_config()),
        (".hydra/config.yaml", lambda run: config_file.read_run_config(run / ".hydra/config.yaml")),
        (".hydra/hydra.yaml", lambda run: (config_file.read_choices(run), config_file.read_working_directory(run))),
        (".hydra/overrides.yaml", config_file.read_overrides),
        ("metrics.jsonl", lambda run: (list(read_rows(run / "metrics.jsonl")), read_outcome(run))),
        ("cost.json", lambda run: cost_of(run / "cost.json")),
        ("adaptation.parquet", lambda run: read_records(run / "adaptation.parquet")),
        ("checkpoints/last", lambda run: read_checkpoint(run / "checkpoints/last")),
        ("model/config.yaml", load_model),
        ("model/tokenizer.json", load_model),
        ("model/model.safetensors", load_model),
    ],
)
def test_files_of_a_run(
    fuzz: Fuzz, damaged: Strategies, changed: Strategies, tmp_path: Path, name: str, read: Callable[[Path], object]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(FINISHED, run)
    inputs = damaged(text(run / name))
    if name.endswith(".yaml"):
        inputs |= changed(yaml.safe_load(text(run / name)), yaml.safe_dump)
    elif name.endswith(".json"):
        inputs |= changed(json.loads(text(run / name)), json.dumps)
    fuzz(lambda _: read(run), run / name, inputs)


def test_selections(fuzz: Fuzz, damaged: Strategies, changed: Strategies, tmp_path: Path) -> None:
    valid = {
        "format": 1,
        "chosen": [{"shots": 1, "rate": 1.0, "inner_step": 1, "loss": 2.0}],
        "grid": [{"shots": 1, "rate": 1.0, "inner_step": 1, "loss": 2.0}],
    }
    inputs = damaged(json.dumps(valid).encode()) | changed(valid, json.dumps)
    fuzz(read_selection, tmp_path / "selection.json", inputs)


@pytest.mark.parametrize("name", ["sweep.json", "trials.jsonl", "multirun.yaml"])
def test_files_of_a_sweep(
    fuzz: Fuzz,
    damaged: Strategies,
    changed: Strategies,
    as_lines: Dump,
    lines_of: Callable[[str], object],
    tmp_path: Path,
    name: str,
) -> None:
    sweep = tmp_path / "sweep"
    source = next(path.parent for path in sorted(FIXTURES.rglob(name)))
    shutil.copytree(source, sweep)
    valid = text(sweep / name)
    inputs = damaged(valid)
    if name == "multirun.yaml":
        inputs |= changed(yaml.safe_load(valid), yaml.safe_dump)
    elif name == "sweep.json":
        inputs |= changed(json.loads(valid), json.dumps)
    else:
        inputs |= changed(lines_of(valid.decode()), as_lines)

    def read(_: Path) -> None:
        if name == "multirun.yaml":
            config_file.read_multirun(sweep / name)
        else:
            SweepDirectory(sweep).read()
            SweepDirectory(sweep).read_records()

    fuzz(read, sweep / name, inputs)


def test_zip_files(fuzz: Fuzz, damaged: Strategies, tmp_path: Path) -> None:
    from metadialog.datasets.metalwoz import MetaLwozDataset

    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        line = {"id": "1", "user_id": "1", "bot_id": "1", "domain": "A", "task_id": "1", "turns": ["Hello?", "Yes."]}
        archive.writestr("dialogues/A.txt", json.dumps(line))
    read = lambda path: list(MetaLwozDataset(root=str(path), topic="domain").dialogues())  # noqa: E731
    fuzz(read, tmp_path / "metalwoz.zip", damaged(buffer.getvalue()))
