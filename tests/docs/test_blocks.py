"""Every command and code block of the documentation is run, or composed and checked if running it takes long.

Python blocks are run, those of a page in order. The config of a `metadialog` command is composed and checked, as by
`--cfg job`; for other commands, the program and the files that they name must exist.
"""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import yaml

from hydra_plugins.metadialog_sweeper.sweeper import register
from metadialog.cli import COMMANDS
from metadialog.cli.command_line import CommandLine
from metadialog.commands.sweeps import run as run_sweeps
from metadialog.composing.compose import compose_job, initialised
from metadialog.composing.multirun import jobs_to_check
from metadialog.config import check, plain
from metadialog.overrides import spelled_out

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/**/*.md", "experiments/**/README.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
# Programs of the system, or that a page says to install.
FOREIGN = {
    "git",
    "eval",
    "wandb",
    "python3",
    "uv",
    "tensorboard",
    "mlflow",
    "trackio",
    ".venv/bin/pre-commit",
    "curl",
    "cd",
}
LAUNCHERS = re.compile(r"^(?:torchrun|srun)\b.*?(?:-m |--no-python |)metadialog\b")
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str


def blocks(name: str) -> Iterator[Block]:
    for language, text in _FENCE.findall((ROOT / name).read_text(encoding="utf-8")):
        if "--8<--" not in text:  # a file with its own test
            yield Block(language, text)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command: a line, or several joined by backslashes; `...` stands for anything."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        for part in " ".join(map(shlex.quote, words)).split(" '&&' "):
            if part:
                yield [word for word in shlex.split(part) if word != "..."]


def all_commands() -> Iterator[tuple[str, list[str]]]:
    for name in NAMES:
        for block in blocks(name):
            if block.language in ("sh", ""):
                for words in commands(block.text):
                    yield name, words


def test_every_fence_says_what_it_is() -> None:
    for name in NAMES:
        for block in blocks(name):
            # A block without a language has commands.
            known = block.language in ("", "sh", "python", "yaml", "json", "text", "math", "latex")
            assert known, f"{name}: {block.text}"


WITH_PYTHON = [name for name in NAMES if any(block.language == "python" for block in blocks(name))]


@pytest.mark.parametrize(
    "name", [name if name == "README.md" else pytest.param(name, marks=pytest.mark.slow) for name in WITH_PYTHON]
)
def test_python_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("examples", "experiments"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    if "outputs/first" in (ROOT / name).read_text(encoding="utf-8"):
        first = next(block for block in blocks("docs/first_run.md") if block.language == "python")
        execute(first.text, {})
    namespace: dict[str, object] = {}
    for block in blocks(name):
        if block.language == "python":
            assert execute(block.text, namespace) or "print(" not in block.text


def execute(text: str, namespace: dict[str, object]) -> str:
    """Run a block in a namespace; return its output."""
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(text, "block", "exec"), namespace)  # noqa: S102 - our own documentation
    return printed.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_there_and_compose(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = (ROOT / name).parent if name.startswith("examples/extending") else ROOT
    monkeypatch.chdir(folder)
    for page, words in all_commands():
        if page == name:
            line = LAUNCHERS.sub("metadialog", " ".join(map(shlex.quote, words)))
            run(shlex.split(line), tmp_path)


def run(words: list[str], tmp_path: Path) -> None:
    """Check a command."""
    program, *rest = words
    if program == "metadialog":
        compose_command(rest, tmp_path)
    elif program == "make":
        assert all(f"\n{target}:" in (ROOT / "Makefile").read_text(encoding="utf-8") for target in rest)
    elif program in ("python", ".venv/bin/python"):
        assert rest[0] == "-m" or (ROOT / rest[0]).is_file(), words
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "optional-dependencies"
        ]
        named = re.findall(r"metadialog\[([\w,]+)\]", " ".join(rest))
        assert {extra for names in named for extra in names.split(",")} <= {*extras}
    else:
        assert program in FOREIGN or program.endswith("/bin/pytest"), words


def compose_command(arguments: list[str], tmp_path: Path) -> None:
    """Compose the config of `metadialog ARGUMENTS`, and check its options; nothing is started."""
    command, *rest = arguments
    if command.startswith("-") or command == "<command>":
        return
    assert command in COMMANDS, arguments
    if command == "sweeps":
        assert rest[0] in ("list", "best", "resume")
        assert run_sweeps([rest[0], str(tmp_path / "none")]) == 2  # the option exists, and the path does not
        return
    rest = rest[: rest.index(">")] if ">" in rest else rest
    line = CommandLine.parse(spelled_out([word for word in rest if not word.startswith("trust=")]))
    # Launchers are separate extras, and a search space is not a value.
    overrides = [one for one in line.overrides if not one.startswith("hydra/launcher") and "interval(" not in one]
    overrides = [one for one in overrides if not one.startswith("hydra.launcher")]
    config_name = "train" if command == "sweep-config" else command
    register()
    with initialised(config_name, existing(line.options.config_dir, tmp_path)):
        jobs = jobs_to_check(overrides, config_name, multirun=bool(line.options.multirun))
        node = plain(compose_job(config_name, next(jobs)))
    if sweep := node.pop("sweep", None):  # not an option of runs
        check(sweep, "sweep")
    check(node)


def existing(folder: str | None, tmp_path: Path) -> str | None:
    """Return a folder of configs; if the reader is asked to write it, it is created from the page's blocks."""
    if folder is None or Path(folder).is_dir():
        return folder
    for name in NAMES:
        text = (ROOT / name).read_text(encoding="utf-8")
        for title, content in re.findall(r"^```yaml title=\"([^\"]+)\"\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            if title.startswith(f"{folder}/"):
                target = tmp_path / title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
    assert (tmp_path / folder).is_dir(), f"--config-dir {folder}: no page says what is in it"
    return str(tmp_path / folder)


def test_yaml_and_json_blocks_can_be_read() -> None:
    for name in NAMES:
        for block in blocks(name):
            if block.language in ("yaml", "json"):
                for document in [block.text] if block.language == "yaml" else block.text.splitlines():
                    assert yaml.safe_load(document) is not None
            if block.language == "python":
                ast.parse(block.text)


def test_measurements_of_the_questions_are_those_of_the_studies() -> None:
    studies = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("experiments/*/README.md"))
    answers = (ROOT / "docs/faq.md").read_text(encoding="utf-8")
    numbers = re.findall(r"(?<![\d.])\d+\.\d{2,}(?!\d)", answers)
    assert len(numbers) > 10
    assert [number for number in numbers if number not in studies] == []
