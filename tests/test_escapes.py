"""Control characters in text from files or requests are escaped before it is printed."""

import json

import pytest

from metadialog.console import make_console
from metadialog.escapes import escaped, escaped_json, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("über 数据 🙂", "über 数据 🙂"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\u009b2J", "\\x9b2J"),
        ("line\nnext\ttab\rback", "line\nnext\ttab\\x0dback"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("soft\u00adhyphen, می\u200cخواهم", "soft\u00adhyphen, می\u200cخواهم"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(text: str, shown: str) -> None:
    assert escaped(text) == shown
    assert escaped(shown) == shown


def test_the_console_writes_them_out_too(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("topic\x1b[2J")
    table.add_row("a\u202eb")
    console = make_console()
    console.print(table)
    console.print("status \x1b]0;title\x07", markup=False, highlight=False)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "topic\\x1" in printed  # the rest does not fit its column
    assert "a\\u202eb" in printed
    assert "status \\x1b]0;title\\x07" in printed or "status \\x1b]0;title" in printed


def test_colons_around_a_word_make_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    make_console().print("id 'stories:1:2', says :smile:", markup=False, highlight=False)
    assert capsys.readouterr().out == "id 'stories:1:2', says :smile:\n"


def test_a_long_text_is_cut_in_its_middle() -> None:
    assert shortened("a b\n c") == "a b c"
    cut = shortened("x" * 1000, 80)
    assert len(cut) <= 80
    assert " ... " in cut


def test_json_keeps_its_values() -> None:
    value = {"reply": "a\x1b[2J\u202e\x9b\U000e0001\ud800\té", "\u2028": ["ok"]}
    shown = escaped_json(json.dumps(value, ensure_ascii=False))
    assert json.loads(shown) == value
    assert shown == r'{"reply": "a\u001b[2J\u202e\u009b\udb40\udc01\ud800\té", "\u2028": ["ok"]}'
