"""Pages of the repository outside `docs/` are pages of the site too, and links between them hold in both places.

A link is written as it has to be for somebody who reads the file in the repository.
"""

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# What pages link to, beside themselves.
TAKEN = (
    "README.zh.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
    "LICENSE",
    "CITATION.cff",
    "examples/**/*.py",
    "examples/**/*.md",
    "examples/**/*.yaml",
    "examples/**/*.jsonl",
    "experiments/**/*.md",
    "experiments/**/*.png",
    "experiments/**/*.svg",
    "experiments/**/*.py",
    "experiments/**/*.yaml",
    "experiments/**/*.json",
)
_LINK = re.compile(r"(\]\(|\bsrc=\"|\bhref=\")(?![a-z]+:|#|/)([^)\s\"#]+)(#[^)\s\"]*)?(?=[)\s\"])")
_FENCE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and what they link to."""
    files.append(File.generated(config, "index.md", content=(ROOT / "README.md").read_text(encoding="utf-8")))
    for pattern in TAKEN:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let the links of a page lead to where their targets are on the site."""
    name = page.file.src_uri
    if name.startswith("reference/"):
        return markdown
    source = _in_repository(name)
    parts = _FENCE.split(markdown)
    for number in range(0, len(parts), 2):
        parts[number] = _LINK.sub(
            lambda match: match[1] + _moved(match[2], source, name) + (match[3] or ""), parts[number]
        )
    return "".join(parts)


def _in_repository(name: str) -> str:
    if name == "index.md":
        return "README.md"
    return name if (ROOT / name).exists() else f"docs/{name}"


def _moved(link: str, source: str, name: str) -> str:
    target = normpath(join(dirname(source), link))
    if (ROOT / target).is_dir():
        target += "/README.md"
    on_site = "index.md" if target == "README.md" else target.removeprefix("docs/")
    return relpath(on_site, dirname(name) or ".")
