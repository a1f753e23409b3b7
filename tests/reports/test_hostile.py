"""Hostile names and texts in a report: no spreadsheet executes them, and no script runs in a browser."""

import csv
import json
import os
import resource
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from metadialog.reports.comparison import chosen_metrics, compare_runs
from metadialog.reports.runs import read_runs
from metadialog.reports.write import Report, render
from metadialog.statistics.metric_comparison import Settings

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SCRIPT = "<img src=x onerror=ran=1>"
TOPICS = ("=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\tx", f"</script>{SCRIPT}")
NAME = f"=1+1{SCRIPT}"
REPLY = f"</script></table><script>window.ran=1</script>{SCRIPT}<svg onload=window.ran=1>\"'> {{{{7*7}}}}"


@pytest.fixture(scope="module")
def report(write_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Report:
    place = tmp_path_factory.mktemp("hostile")
    for algorithm in ("maml", "finetune"):
        options = {"algorithm.name": NAME} if algorithm == "maml" else {}
        run = write_run(place, algorithm, 0, options=options, topics=TOPICS)
        sample = {"topic": TOPICS[5], "episode": 0, "shots": 5, "inner_step": 4, "context": REPLY, "reference": REPLY}
        (run / "samples.jsonl").write_text(json.dumps({**sample, "before": REPLY, "after": REPLY}) + "\n")
    runs, _ = read_runs([place], "refuse")
    comparison = compare_runs(runs, Settings(100, 0.9, "bootstrap", 0.05, 0))
    return render(comparison, chosen_metrics(comparison, ["loss"]), None, None, f"table {SCRIPT}", [SCRIPT])


def test_no_cell_is_a_formula(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path)
    cells = [
        cell
        for file in tmp_path.glob("*.csv")
        for row in csv.reader(file.read_text(encoding="utf-8").splitlines())
        for cell in row
    ]
    assert any("cmd" in cell for cell in cells)
    assert f"'{NAME}" in cells
    for cell in cells:
        try:
            float(cell)
        except ValueError:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.xdist_group("browser")
def test_no_script_of_theirs_runs(report: Report, run: Callable[..., Any], tmp_path: Path) -> None:
    report.write(tmp_path)
    _write_data(run, tmp_path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        for name in ("report.html", "table.html", "read/index.html"):
            page.goto((tmp_path / name).as_uri())
            assert page.evaluate("window.ran") is None
            assert page.locator("body").inner_text().count("ran=1")  # it is shown, as text
            assert page.locator("img[src=x]").count() == 0
        page.set_content(SCRIPT)
        page.wait_for_function("window.ran === 1")  # so that the test can fail
        browser.close()


def _write_data(run: Callable[..., Any], folder: Path) -> None:
    """Run `metadialog data` on dialogues with hostile topics, speakers, ids and texts, with the output in `read/`."""
    names = (
        *TOPICS[:3],
        f"</script>{SCRIPT}",
        "\x1b[2J\x1b]0;title\x07",
        "\u202egnp.exe",
        "[bold]ran=1[/bold]",
        "\x9b31m",
    )
    lines = [
        {"topic": name, "id": f"{name}{n}", "turns": [{"speaker": who + name, "text": f"{name} {n}"} for who in "ab"]}
        for name in names
        for n in range(10)
    ]
    (folder / "my.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    told = run("data", "dataset=jsonl", f"dataset.path={folder / 'my.jsonl'}", f"output={folder / 'read'}")
    assert told.code == 0, told.err
    assert "[bold]ran=1[/bold]" in told.out
    control = [sign for sign in told.out if sign != "\n" and unicodedata.category(sign) in ("Cc", "Cf")]
    assert control == []


def test_a_report_that_does_not_fit_on_the_disk_names_its_file(report: Report, tmp_path: Path) -> None:
    """A limit on the size of files takes the place of a full disk, which needs privileges and fails in the same way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=f"File too large: '{tmp_path}/[a-z_.]+'"):
            report.write(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    for file in tmp_path.iterdir():
        assert file.read_bytes() == report.files[file.name]  # files before it are complete, and there are no others
