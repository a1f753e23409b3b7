"""The chat format that is derived from a template, and the default without one."""

from pathlib import Path
from typing import Any

import pytest

from metadialog.pretrained.chat import chat_format

transformers = pytest.importorskip("transformers")


@pytest.fixture
def tokenizer(tiny_pretrained: Path) -> Any:  # noqa: ANN401
    return transformers.AutoTokenizer.from_pretrained(tiny_pretrained)


def text(tokenizer: Any, ids: tuple[int, ...]) -> str:  # noqa: ANN401
    return str(tokenizer.decode(list(ids)))


def test_the_pieces_of_a_template(tokenizer: Any) -> None:  # noqa: ANN401
    found = chat_format(tokenizer, "Talk.")
    assert text(tokenizer, found.begin) == "<|open|>system\nTalk.<|close|>\n"
    assert text(tokenizer, found.own) == "<|open|>assistant\n"
    assert text(tokenizer, found.others) == "<|open|>user\n"
    assert text(tokenizer, found.close) == "<|close|>\n"
    assert found.end == tokenizer.convert_tokens_to_ids("<|close|>")


def test_a_chat_needs_a_first_token(tokenizer: Any) -> None:  # noqa: ANN401
    assert len(chat_format(tokenizer, None).begin) == 1  # the template adds nothing there


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ raise_exception('no') }}",
        "{% for m in messages[:1] %}{{ m['content'] }}{% endfor %}",  # not all turns are printed
        "{% for m in messages %}{{ m['content'] }}{% endfor %}",  # turns have no end marker
        "{% for m in messages %}{{ m['content'] }}{% if not loop.last %}<|close|>{% endif %}{% endfor %}",
    ],
)
def test_without_a_usable_template_a_turn_is_a_line(tokenizer: Any, template: str | None) -> None:  # noqa: ANN401
    tokenizer.chat_template = template
    found = chat_format(tokenizer, "Talk.")
    assert text(tokenizer, found.others) == "A: "
    assert text(tokenizer, found.own) == "B: "
    assert text(tokenizer, found.close) == "\n"
    assert text(tokenizer, found.begin).endswith("Talk.\n")
    assert found.end not in found.never
