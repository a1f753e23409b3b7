"""Ctrl-C at any moment while a command starts prints one line and exits with code 130."""

import subprocess
import sys
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures" / "version_0_1_0"
PROGRAM = """
import os, signal, sys
from metadialog.entry import main
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
signal.setitimer(signal.ITIMER_REAL, float(sys.argv.pop(1)))
try:
    code = main()
finally:  # while Python ends, the alarm would have no handler and end the process itself
    signal.setitimer(signal.ITIMER_REAL, 0)
sys.exit(code)
"""
COMMANDS = (
    ("train", "debug=smoke", "logger=local"),
    ("evaluate", f"run={FIXTURES / 'finished'}", "logger=local"),
    ("table", f"runs={FIXTURES / 'finished'}"),
    ("sweeps", "list", str(FIXTURES / "study")),
    ("sweep-config", "algorithm=maml"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("seconds", [0.01, 0.3])
def test_ctrl_c_is_one_line(command: tuple[str, ...], seconds: float, tmp_path: Path) -> None:
    """Times are counted from the first line of our code; nothing before it can be handled."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(seconds), *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if ended.returncode == 0:  # it was done before
        return
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.splitlines()[-1].endswith(": interrupted")
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir()), "something is left behind"
