"""Fixtures of all tests, such as a command line in a temporary folder, and a reader of wandb's files."""

import functools
import gc
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from absl import logging as absl_logging
from hydra import compose, initialize_config_module
from hypothesis import settings

from metadialog import cli
from metadialog.algorithms.base import OuterStep
from metadialog.config import build, plain
from metadialog.datasets.chatterbot import ChatterbotDataset
from metadialog.experiment.config import LearningConfig
from metadialog.experiment.learner import make_learner
from metadialog.tokenizers.byte_pair import BytePairTokenizer
from metadialog.tokenizers.tokenizer import Tokenizer
from metadialog.training.export import export_model
from metadialog.training.trainer import Trainer

# The time that an example takes depends on the load of the machine.
settings.register_profile("without deadline", deadline=None)
settings.load_profile("without deadline")

# Several test processes share the cores: one thread for each is faster than several that compete.
torch.set_num_threads(1)

# TensorBoard imports absl, whose handler closes the stream that it was created with whenever logging is configured
# again, as Hydra does. In tests that stream would be pytest's own.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

# Settings of the developer, which must not affect tests.
_FOREIGN = ("HYDRA_FULL_ERROR", "METADIALOG_TRACEBACK", "WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL")


@dataclass(frozen=True)
class Outcome:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def run_directory(self) -> Path:
        """The run directory in the last line of the output."""
        lines = [line for line in self.out.splitlines() if line.startswith("run directory: ")]
        return Path(lines[-1].removeprefix("run directory: "))


Run = Callable[..., Outcome]


class Without(MetaPathFinder):
    """Hides a package from imports, as if it were not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the signature of the protocol
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname == self.package:
            raise ModuleNotFoundError(fullname)
        return None


Hook = Callable[[int], None]
BeforeStep = Callable[[Hook], AbstractContextManager[None]]


@pytest.fixture(scope="session")
def before_step() -> BeforeStep:
    """Return a context in which a hook is called before each outer step of training, with the step's number."""

    @contextmanager
    def installed(hook: Hook) -> Iterator[None]:
        step = Trainer.step

        def hooked(self: Trainer) -> OuterStep:
            hook(self.standing.step + 1)
            return step(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "step", hooked)
            yield

    return installed


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that hides a package, as if it were not installed."""

    def hide(package: str) -> None:
        monkeypatch.delitem(sys.modules, package, raising=False)
        monkeypatch.setattr(sys, "meta_path", [Without(package), *sys.meta_path])

    return hide


@pytest.fixture(autouse=True, scope="module")
def leave_what_is_there() -> None:
    """Exclude all present objects from garbage collection, which would traverse a million of them each time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Include all objects in garbage collection again."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Skip tests of GPUs if there is none."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="torch finds no CUDA device"))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a GPU if there is one."""
    return torch.device(request.param)


# Possible locations of data sets in their publishers' formats, which are not part of this repository.
_DATA = Path(os.environ.get("METADIALOG_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def published() -> Callable[[str], Path]:
    """Return a function that returns the local copy of a published data set, or skips the test."""

    def local_copy(name: str) -> Path:
        if not (_DATA / name).is_dir():
            pytest.skip(
                f"there is no copy of {name} at {_DATA / name}; METADIALOG_DATA names the folder of such copies"
            )
        return _DATA / name

    return local_copy


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use a cache of the test session instead of the developer's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METADIALOG_CACHE", str(folder))
        yield folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `metadialog ARGUMENTS` in an empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in _FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: str) -> Outcome:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["metadialog"])
            patch.setattr(sys, "path", list(sys.path))
            environment = dict(os.environ)
            handlers = list(logging.root.handlers)
            try:
                code = cli.main(list(arguments))
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            finally:
                os.environ.clear()
                os.environ.update(environment)
                logging.root.handlers[:] = handlers  # Hydra's handlers write to a stream that is closed after this test
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return command


BLOCK = 32 * 1024
HEADER = 7
FULL, LAST = 1, 4


@dataclass
class WandbRecords:
    """The content of a `.wandb` file."""

    run: Any = None  # wandb_internal_pb2.RunRecord
    history: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)  # wandb_internal_pb2.ArtifactRecord
    metrics: list[Any] = field(default_factory=list)  # wandb_internal_pb2.MetricRecord
    exit_code: int | None = None


def payloads(data: bytes) -> Iterator[bytes]:
    """Yield the records of a LevelDB log whose first block begins with wandb's header of 7 bytes."""
    offset, parts = HEADER, b""
    while offset + HEADER <= len(data):
        if BLOCK - offset % BLOCK < HEADER:  # the rest of the block is padding
            offset += BLOCK - offset % BLOCK
            continue
        length = int.from_bytes(data[offset + 4 : offset + 6], "little")
        kind = data[offset + 6]
        assert 1 <= kind <= 4, f"no record at byte {offset}"
        offset += HEADER
        parts += data[offset : offset + length]
        offset += length
        if kind in {FULL, LAST}:
            yield parts
            parts = b""
    assert not parts, "the last record is cut off"


def assign(target: dict[str, Any], items: Iterable[Any]) -> None:
    for item in items:
        *path, last = list(item.nested_key) or [item.key]
        place = target
        for key in path:
            place = place.setdefault(key, {})
        place[last] = json.loads(item.value_json)


def read_records(path: Path) -> WandbRecords:
    data = path.read_bytes()
    assert data[:4] == b":W&B", f"{path} is no wandb file"
    result = WandbRecords()
    # wandb chooses among several generated modules by the version of protobuf, so there are no types.
    record_type: Any = importlib.import_module("wandb.proto.wandb_internal_pb2").Record
    for payload in payloads(data):
        record = record_type.FromString(payload)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            result.run = record.run
            assign(result.config, record.run.config.update)
        elif kind == "config":
            assign(result.config, record.config.update)
        elif kind == "summary":
            assign(result.summary, record.summary.update)
        elif kind == "history":
            row: dict[str, Any] = {}
            assign(row, record.history.item)
            result.history.append(row)
        elif kind == "artifact":
            result.artifacts.append(record.artifact)
        elif kind == "metric":
            result.metrics.append(record.metric)
        elif kind == "exit":
            result.exit_code = record.exit.exit_code
    return result


@pytest.fixture
def read_wandb() -> Callable[[Path], WandbRecords]:
    """A function that reads a `.wandb` file, or the only one of a run directory."""

    def read(path: Path) -> WandbRecords:
        if path.is_dir():
            [path] = path.glob("wandb/*run-*/*.wandb")
        return read_records(path)

    return read


Export = Callable[..., Path]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Return a small tokenizer."""
    dialogues = list(ChatterbotDataset(language="english").dialogues())
    return BytePairTokenizer(vocab_size=300).train(turn.text for one in dialogues[:50] for turn in one.turns)


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Export:
    """Return a function that exports a small model with random weights and some overrides; tests must not change it."""

    @functools.cache
    def make(*overrides: str) -> Path:
        with initialize_config_module("metadialog.conf", version_base="1.3"):
            width = [] if "model=transformer" in overrides else ["model.hidden_size=16"]
            sizes = ["model.embedding_size=16", *width, *overrides]
            config: dict[str, Any] = plain(compose("train", sizes))
        torch.manual_seed(0)
        algorithm = make_learner(LearningConfig.of(config), tokenizer).algorithm
        model = algorithm.prepare(build(config["model"], tokenizer.vocab_size))
        folder = tmp_path_factory.mktemp("exported")
        export_model(folder, model, algorithm, tokenizer, config)
        return folder

    return make


CHAT_TEMPLATE = (
    "{% for m in messages %}<|open|>{{ m['role'] }}\n{{ m['content'] }}<|close|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|open|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny language model of SmolLM2's class with random weights, a tokenizer and a chat template."""
    transformers = pytest.importorskip("transformers")
    from metadialog.datasets.chatterbot import ChatterbotDataset
    from metadialog.tokenizers.byte_pair import BytePairTokenizer

    folder = tmp_path_factory.mktemp("tiny_pretrained")
    texts = (turn.text for dialogue in ChatterbotDataset(language="english").dialogues() for turn in dialogue.turns)
    backend = BytePairTokenizer(vocab_size=320).train(texts).backend
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|open|>", "<|close|>"]})
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def export_pretrained(tmp_path_factory: pytest.TempPathFactory, tiny_pretrained: Path) -> Export:
    """Return a function that exports the tiny pretrained model with some overrides; tests must not change it."""
    from metadialog.tokenizers.pretrained import PretrainedTokenizer

    @functools.cache
    def make(*overrides: str) -> Path:
        kinds = ["model=pretrained", "tokenizer=pretrained"]
        paths = [f"model.path={tiny_pretrained}", f"tokenizer.path={tiny_pretrained}"]
        with initialize_config_module("metadialog.conf", version_base="1.3"):
            config: dict[str, Any] = plain(compose("train", [*kinds, *paths, *overrides]))
        torch.manual_seed(0)
        tokenizer = PretrainedTokenizer(path=str(tiny_pretrained)).train([])
        algorithm = make_learner(LearningConfig.of(config), tokenizer).algorithm
        model = algorithm.prepare(build(config["model"], tokenizer.vocab_size))
        folder = tmp_path_factory.mktemp("exported_pretrained")
        export_model(folder, model, algorithm, tokenizer, config)
        return folder

    return make
