"""Adaptation to dialogues, generation and chat from the command line."""

import io
import json
import os
import pty
import select
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import Export

from metadialog.escapes import escaped
from metadialog.inference.dialogues import as_dialogues
from metadialog.inference.folder import load_model

Run = Callable[..., Any]

HIRE = Path(__file__).parents[2] / "examples" / "dialogues" / "bicycle_hire_en.jsonl"
HIRE_IN_CHINESE = HIRE.with_name("bicycle_hire_zh.jsonl")


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that provides a text as the standard input."""

    def put(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8"))

    return put


def test_adapting_writes_a_model_a_card_and_a_report(run: Run, export: Export) -> None:
    parent = export("algorithm=finetune")
    before = {path: path.read_bytes() for path in parent.iterdir()}
    outcome = run("adapt", f"run={parent}", f"dialogues={HIRE}", "output=mine")
    assert outcome.code == 0, outcome.err
    assert "adapting to 9 dialogues; 3 held out" in outcome.out
    assert outcome.out.count("█") > 100
    assert {path: path.read_bytes() for path in parent.iterdir()} == before
    adapted = load_model("mine")
    about = adapted.equipment.about
    assert about.name == "mine"
    assert about.adapted_to is not None
    assert about.adapted_to.parent == load_model(parent).name == "finetune-chatterbot-english-seed0"
    assert about.adapted_to.loss_after < about.adapted_to.loss_before
    assert adapted.score(HIRE).loss < load_model(parent).score(HIRE).loss
    card = Path("mine/README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["base_model"] == about.adapted_to.parent
    assert (metadata["language"], metadata["library_name"]) == (["en"], "metadialog")
    report = Path("mine/report.md").read_text(encoding="utf-8")
    replies = report.split("| context | said | before | after |")[1].strip().splitlines()[1:]
    assert len(replies) == 9  # each of the three held-out dialogues has three replies
    assert f"- inner steps: {about.adapted_to.steps} of " in report
    assert sorted(path.name for path in Path("mine").iterdir()) == [
        "README.md",
        "checksums.json",
        "config.json",
        "model.safetensors",
        "report.md",
        "tokenizer.json",
    ]


def test_one_dialogue_is_enough_and_may_come_through_a_pipe(
    run: Run, export: Export, type_in: Callable[[str], None]
) -> None:
    type_in("Was kostet ein Rad?\nEin Tag kostet 18 Euro.\n")
    outcome = run("adapt", f"run={export()}", "dialogues=-", "output=mine")
    assert outcome.code == 0, outcome.err
    about = load_model("mine").equipment.about.adapted_to
    assert about is not None
    assert (about.dialogues, about.held_out, about.steps) == (1, 0, 3)  # the default steps of the algorithm
    report = Path("mine/report.md").read_text(encoding="utf-8")
    assert "- inner steps: 3, as chosen on other topics, or the algorithm's own" in report
    assert "- held out: 0 dialogues (too few to spare one)" in report


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["dialogues=none"], "none: cannot be read"),
        (["held_out=12"], "held_out=12: should be below the number of dialogues, 12"),
        (["steps=-1"], "steps=-1: should be greater than or equal to 0"),
        (["rate=1e30"], "rate=1e+30: should be less than or equal to 1000000"),
        (["output=full"], "output=full: is there already"),
        (["output=full/link"], "output=full/link: is a link to something that is not there"),
        ([f"output={'x' * 250}"], f"output={'x' * 250}: nothing can be written there: File name too long"),
        (["run=none"], "none: there is no such folder"),
        (["run=full"], "full: holds no model"),
    ],
)
def test_a_mistake_costs_one_line_and_writes_nothing(
    run: Run, export: Export, overrides: list[str], problem: str
) -> None:
    Path("full").mkdir()
    Path("full/file").touch()
    Path("full/link").symlink_to("nowhere")
    given = {"run": str(export()), "dialogues": str(HIRE), "output": "mine"}
    given |= dict(override.split("=", 1) for override in overrides)
    outcome = run("adapt", *(f"{key}={value}" for key, value in given.items()))
    assert outcome.code == 2
    assert outcome.err.startswith(f"metadialog adapt: {problem}")
    assert outcome.err.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["full"]


def test_replies_come_in_the_order_of_the_contexts_and_a_bad_line_ends_nothing(
    run: Run, export: Export, type_in: Callable[[str], None]
) -> None:
    contexts: list[Any] = ["hi", ["hello", "hi", "how are you"], "你好"]
    lines = [json.dumps({"context": context, "id": place}) for place, context in enumerate(contexts)]
    lines[1:1] = ["nonsense", "[]", '{"context": [1]}', '{"context": "hi", "id": NaN}']
    type_in("\n".join(lines))
    outcome = run("generate", f"run={export()}", "scores=true", "batch=2")
    assert outcome.code == 0, outcome.err
    found = [json.loads(line) for line in outcome.out.splitlines()]
    model = load_model(export())
    assert [one["reply"] for one in found if "reply" in one] == [model.reply(context) for context in contexts]
    assert [one["id"] for one in found if "reply" in one] == [0, 1, 2]
    assert all(one["score"] < 0 for one in found if "reply" in one)
    assert [one["line"] for one in found if "error" in one] == [2, 3, 4, 5]
    assert "not valid JSON (NaN is not a value of JSON)" in outcome.out
    assert outcome.err == "metadialog generate: 4 of 7 lines could not be answered\n"


def test_several_replies_to_a_file_after_adaptation(run: Run, export: Export) -> None:
    Path("in.jsonl").write_text('{"context": "hi"}\n', encoding="utf-8")
    options = ["generation=sampling", "generation.temperature=1.5", "n=3"]
    outcome = run("generate", f"run={export()}", "input=in.jsonl", "output=out.jsonl", f"dialogues={HIRE}", *options)
    assert (outcome.code, outcome.out) == (0, ""), outcome.err
    (line,) = Path("out.jsonl").read_text(encoding="utf-8").splitlines()
    assert 1 < len(json.loads(line)["replies"]) <= 3


def test_a_line_that_is_too_long_does_not_end_the_others(run: Run, export: Export) -> None:
    lines = ["a" * 3 * 2**20, '{"context": "hi", "id": "\\ud83d"}', "b" * 2**20, "", '{"context": "so"}']
    Path("in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    outcome = run("generate", f"run={export()}", "input=in.jsonl", "output=out.jsonl")
    assert outcome.code == 0, outcome.err
    found = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [("reply" in one, one.get("line")) for one in found] == [(False, 1), (True, None), (False, 3), (True, None)]
    assert "more than 1,048,576 bytes" in found[0]["error"]


def test_an_input_that_cannot_be_read_costs_one_line(run: Run, export: Export) -> None:
    outcome = run("generate", f"run={export()}", "input=none")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith("metadialog generate: none: cannot be read")


def test_an_output_that_is_a_fifo_is_refused(run: Run, export: Export) -> None:
    Path("in.jsonl").write_text('{"context": "hi"}\n', encoding="utf-8")
    os.mkfifo("out")
    outcome = run("generate", f"run={export()}", "input=in.jsonl", "output=out")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert outcome.err.startswith("metadialog generate: output=out: is a FIFO, a socket or a device; it should be a ")
    assert stat.S_ISFIFO(Path("out").stat().st_mode)


def test_a_reply_comes_while_the_input_is_still_open(export: Export) -> None:
    command = [sys.executable, "-m", "metadialog", "generate", f"run={export()}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(b'{"context": "hi"}\n')
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["reply"]
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_conversation_does_not_adapt_to_its_own_input(
    run: Run, export: Export, type_in: Callable[[str], None]
) -> None:
    type_in("/adapt -\nhi\n/quit\n")
    outcome = run("chat", f"run={export()}")
    assert outcome.code == 0, outcome.err
    assert "/adapt -: the conversation is read" in outcome.out
    refused = run("chat", f"run={export()}", "dialogues=-")
    assert refused.code == 2
    assert "read from the standard input already" in refused.err


def test_a_conversation_through_a_pipe(run: Run, export: Export, type_in: Callable[[str], None]) -> None:
    type_in(
        f"hello\n/before\n/why\n{'x' * 300_000}\n"
        f"/adapt {HIRE_IN_CHINESE}\n你好，租一辆自行车多少钱？\n/why\n/temperature 0.7\nhi\n"
        "/temperature -1\n/temperature nan\n/temperature x\n/temperature\n/dance\n/\x1b[2j\n/save .\n"
        "/save ~no-such-user/x\n/save a\0b\n/adapt ~no-such-user/x\n/save talk.jsonl\n/save talk.jsonl\n"
        "/save mine.jsonl\n/reset\n"
        "/before\n/help\n/quit\n"
        "never said\n"
    )
    Path("mine.jsonl").write_text("not this conversation's\n")
    outcome = run("chat", f"run={export()}", "generation=greedy")
    assert outcome.code == 0, outcome.err
    assert Path("mine.jsonl").read_text() == "not this conversation's\n"
    lines = outcome.out.split("\n")
    model = load_model(export())
    reply = escaped(model.reply("hello", generation="greedy"))
    assert outcome.out.startswith(f"{reply}\n{reply}\n/why: the model was not adapted")
    assert any(line.startswith("adapted to 9 dialogues, 3 held out, in ") for line in lines)
    assert any(line.startswith("1.00  ") or "一天六十元" in line for line in lines)
    for said in (
        "sampling with temperature 0.7",
        "/temperature -1: should be a number, 0 or more, such as 0.7; 0 is greedy",
        "/temperature nan: should be a number, 0 or more, such as 0.7; 0 is greedy",
        "/temperature x: should be a number, 0 or more, such as 0.7; 0 is greedy",
        "/temperature: name one, as in /temperature 0.7; 0 is greedy",
        "/save .: is a folder; name a file, as in /save talk.jsonl",
        "/save=~no-such-user/x: there is no such home folder; write the path in full",
        "/save 'a\\x00b': is no path; name a file, as in /save talk.jsonl",
        "dialogues=~no-such-user/x: there is no such home folder; write the path in full",
        "saved 6 turns to talk.jsonl",
        "/save mine.jsonl: is there already; name a file that is not",
        "the line has more than 100,000 characters; say it in several",
        "the conversation starts again, without adaptation",
        "nothing has been said yet",
    ):
        assert said in lines, said
    assert any(line.startswith("/\\x1b[2j: no such command") for line in lines)
    assert any(line.startswith("/dance: no such command; there are /adapt") for line in lines)
    (talk,) = as_dialogues("talk.jsonl")
    assert [turn.text for turn in talk.turns if turn.speaker == "user"] == ["hello", "你好，租一辆自行车多少钱？", "hi"]
    assert talk.turns[1].text == reply


def test_a_conversation_in_a_terminal(export: Export) -> None:
    main, side = pty.openpty()
    command = [sys.executable, "-m", "metadialog", "chat", f"run={export()}"]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, stdin=side, stdout=side, stderr=side, env=environment) as process:
        os.close(side)
        screen = _Screen(main)
        try:
            screen.wait_for("you>")
            os.write(main, "你好\r".encode())
            screen.wait_for("你好")
            screen.wait_for("you>")
            os.write(main, b"/quit\r")
            screen.wait_for_end()
            assert process.wait(30) == 0
        finally:
            process.kill()
            os.close(main)


class _Screen:
    """Reads the output of a program in a terminal, and sends the responses of a terminal."""

    def __init__(self, terminal: int) -> None:
        self.terminal = terminal
        self.seen = ""

    def wait_for(self, text: str) -> None:
        """Wait for a text, and discard the output before it."""
        until = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            self._read()
        self.seen = self.seen.partition(text)[2]

    def wait_for_end(self) -> None:
        until = time.monotonic() + 60
        while self._read():
            assert time.monotonic() < until, self.seen

    def _read(self) -> bool:
        if not select.select([self.terminal], [], [], 1)[0]:
            return True
        try:
            self.seen += os.read(self.terminal, 4096).decode(errors="replace")
        except OSError:  # the program has ended
            return False
        if "\x1b[6n" in self.seen:  # a query of the cursor position
            os.write(self.terminal, b"\x1b[1;1R")
            self.seen = self.seen.replace("\x1b[6n", "")
        return True
