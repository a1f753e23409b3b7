"""Time and memory of a chat template, which is a program of somebody else, are limited."""

import pytest
from transformers import PreTrainedTokenizerFast

from metadialog.pretrained import bounded
from metadialog.pretrained.chat import ChatFormat, chat_format
from metadialog.tokenizers.tokenizer import Tokenizer

PLAIN = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"


def of_template(tokenizer: Tokenizer, template: str) -> ChatFormat:
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend, **dict.fromkeys(("bos_token", "eos_token"), "e"))
    made.chat_template = template
    return chat_format(made, None)


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 9999999999 }}",
        "{{ 'a' * 9999999 }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% include '/etc/passwd' %}",
        "{{ raise_exception('no') }}",
        "{% for",
    ],
)
def test_what_takes_too_much_or_fails_is_as_good_as_none(
    tokenizer: Tokenizer, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "SECONDS", 1)
    assert of_template(tokenizer, template) == of_template(tokenizer, "")
    assert of_template(tokenizer, PLAIN) != of_template(tokenizer, "")


def test_the_text_comes_as_it_is() -> None:
    text = "héllo\n" * 20_000  # more than the capacity of a pipe
    assert bounded.bounded(lambda: text) == text
