"""Formulas become MathML when the site is built, so that pages need no script and no font from elsewhere.

They are written as forges show them: a fence called `math`, or a dollar and a backtick on each side within a line.
"""

import re
from typing import Any

from latex2mathml.converter import convert

_BLOCK = re.compile(r"^```math\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"\$`([^`]+)`\$")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the formulas of a page."""
    markdown = _BLOCK.sub(lambda match: f'<div class="formula">{convert(match[1], display="block")}</div>', markdown)
    return _INLINE.sub(lambda match: convert(match[1]), markdown)
