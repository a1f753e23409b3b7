"""The built wheel contains `conf/`, and works in a fresh environment and another folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def find_uv() -> str:
    uv = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
    if uv is None:
        pytest.skip("uv is neither on the PATH nor in .uv/")
    return uv


def run(*command: str | Path, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_runs_elsewhere(tmp_path: Path) -> None:
    uv, environment = find_uv(), tmp_path / "environment"
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    env |= {"UV_PROJECT_ENVIRONMENT": str(environment), "COLUMNS": "200"}
    run(uv, "sync", "--locked", "--no-dev", "--no-install-project", "--python", sys.executable, cwd=ROOT, env=env)
    run(uv, "build", "--wheel", "--out-dir", tmp_path, cwd=ROOT, env=env)
    [wheel] = tmp_path.glob("metadialog-*.whl")
    python = environment / "bin" / "python"
    run(uv, "pip", "install", "--no-deps", "--python", python, wheel, cwd=tmp_path, env=env)

    work = tmp_path / "work"
    work.mkdir()
    command = environment / "bin" / "metadialog"
    where = run(python, "-c", "import metadialog.conf; print(metadialog.conf.__file__)", cwd=work, env=env)
    assert Path(where.strip()).is_relative_to(environment)
    assert "english" in run(command, "data", cwd=work, env=env)
    shipped = run(python, "-c", "from metadialog.splits.paper import *; print(paper_splits())", cwd=work, env=env)
    assert "sgd-domain" in shipped
    lacking = subprocess.run([command, "train", "tokenizer=jieba"], cwd=work, env=env, capture_output=True, check=False)
    assert lacking.returncode == 2
    assert b"tokenizer=jieba: the package jieba is not installed; pip install 'metadialog[chinese]'" in lacking.stderr
    out = run(command, "train", "debug=smoke", "logger.mode=offline", cwd=work, env=env)
    assert "Word perplexity on held-out topics" in out
    [status] = work.glob("outputs/train/*/*/status.json")
    assert '"status": "finished"' in status.read_text()
    assert '"git_revision": null' in status.read_text()
