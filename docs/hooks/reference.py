"""The reference: made of the docstrings, the comments of the yaml files and the commands' own help."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
SOURCE = ROOT / "src" / "metadialog"
# What classes of one's own are derived from, and what they are given.
BASES = (
    "metadialog.algorithms.base",
    "metadialog.engines.base",
    "metadialog.models.protocol",
    "metadialog.datasets.dialogue",
    "metadialog.episodes",
    "metadialog.loggers.base",
    "metadialog.inner.base",
    "metadialog.generation.base",
    "metadialog.engines.testing",
)
_OPTION = re.compile(r"^(?P<indent> *)(?P<name>[\w/]+):(?: (?P<value>[^#]*?))?(?:\s+# (?P<comment>.*))?$")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference."""
    pages = {
        "index": _index(),
        "commands": _commands(),
        "options": _options(),
        "python": _python(),
        "packages": _packages(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def _index() -> str:
    return (
        "# Reference\n\nThese pages are made from the program itself when the site is built.\n\n"
        "- [Commands](commands.md): what `metadialog --help` and each command's `--help` say\n"
        "- [Options](options.md): every group, choice and option, from the comments in `conf/`\n"
        "- [Python](python.md): the public names, and the classes to derive your own from\n"
        "- [Packages](packages.md): where what is\n"
    )


def _commands() -> str:
    commands = _assigned(SOURCE / "cli" / "dispatch.py", "COMMANDS")
    lines = ["# Commands", "", "| command | what it does |", "|---|---|"]
    lines += [f"| [`{name}`](#{name}) | {summary} |" for name, summary in commands.items()]
    for name, summary in commands.items():
        lines += ["", f"## {name}", "", f"{summary[0].upper()}{summary[1:]}.", ""]
        path = CONF / f"{name}.yaml"
        if path.exists():
            header = yaml.safe_load(path.read_text(encoding="utf-8"))["hydra"]["help"]["header"].split("\n", 1)[1]
            lines += ["```text", *(line.removeprefix("  ") for line in header.strip("\n").splitlines()), "```", ""]
            lines += _table(path)
    return "\n".join(lines)


def _options() -> str:
    lines = [
        "# Options",
        "",
        "Every choice of every group, as its file in `conf/` describes it. `GROUP=CHOICE` takes one;",
    ]
    lines += ["`GROUP.OPTION=VALUE` changes an option. A choice also has the options of those that it extends.", ""]
    for folder in sorted(path for path in CONF.rglob("*") if path.is_dir() and any(path.glob("*.yaml"))):
        group = folder.relative_to(CONF).as_posix()
        lines += [f"## {group}", ""]
        for path in sorted(folder.glob("*.yaml")):
            lines += [f"### {group}={path.stem}", "", _head(path), ""]
            lines += _table(path)
    return "\n".join(lines)


def _head(path: Path) -> str:
    """Return the comment that a file begins with, and what it extends."""
    text = path.read_text(encoding="utf-8")
    comment = [line.lstrip("# ") for line in text.split("\n\n")[0].splitlines()]
    said = []
    for line, written in zip(comment, text.splitlines(), strict=False):
        if not written.startswith("#"):
            break
        said.append(line)
    defaults = (yaml.safe_load(text) or {}).get("defaults", [])
    extended = [entry for entry in defaults if isinstance(entry, str) and entry != "_self_" and "@" not in entry]
    return _escaped(" ".join(said)) + (f" Extends {', '.join(f'`{name}`' for name in extended)}." if extended else "")


def _table(path: Path) -> list[str]:
    rows = [
        f"| `{name}` | {f'`{value}`' if value else ''} | {_escaped(comment)} |"
        for name, value, comment in _entries(path)
    ]
    return ["| option | default | what it is |", "|---|---|---|", *rows, ""] if rows else []


def _entries(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the options of a file with their defaults and comments; a comment stands behind or above its option."""
    above: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("# "):
            above.append(line.strip()[2:])
            continue
        match = _OPTION.match(line)
        if match is None:
            above = []
            continue
        indent, name, value = len(match["indent"]), match["name"], (match["value"] or "").strip()
        if name == "hydra":
            return
        parents = [parent for parent in parents if parent[0] < indent]
        comment = match["comment"] or " ".join(above)
        above = []
        whole = ".".join([*(parent for _, parent in parents), name])
        if not value:
            parents.append((indent, name))
        if name.startswith("_") or whole.startswith("defaults") or not (value and comment):
            continue
        yield whole, value.replace("|", "\\|"), comment


def _escaped(text: str) -> str:
    return re.sub(r"([|*_<>\[\]])", r"\\\1", text)


def _python() -> str:
    places = _assigned(SOURCE / "__init__.py", "_PLACES") | {"engines.meta_gradient": "metadialog.engines"}
    lines = ["# Python", "", "`import metadialog` imports a public name when it is first used.", ""]
    for name, module in sorted(places.items()):
        lines += [f"::: {module}.{name.rpartition('.')[2]}", ""]
    lines += ["## What your own classes are derived from, and what they are given", ""]
    for module in BASES:
        lines += [f"::: {module}", "    options:", "      heading_level: 3", ""]
    return "\n".join(lines)


def _packages() -> str:
    lines = [
        "# Packages",
        "",
        "What each package and module holds. Imports run one way, in the order that `pyproject.toml` has.",
        "",
    ]
    folders = [SOURCE, *sorted(path.parent for path in SOURCE.rglob("*/__init__.py"))]
    for folder in folders:
        package = ".".join(["metadialog", *folder.relative_to(SOURCE).parts])
        lines += [f"## {package}", "", _docstring(folder / "__init__.py"), "", "| module | what |", "|---|---|"]
        for path in sorted(folder.glob("*.py")):
            if path.stem != "__init__":
                lines.append(f"| `{path.stem}` | {_escaped(_docstring(path).splitlines()[0])} |")
        lines.append("")
    return "\n".join(lines)


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def _assigned(path: Path, name: str) -> Any:  # noqa: ANN401 - whatever the module holds
    """Return a constant of a module, which is not imported."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise LookupError(f"{path}: {name} is not assigned")
