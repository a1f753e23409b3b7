"""The files of a report: their content, and the escaping of all characters in names."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import image

from metadialog.errors import ConfigError
from metadialog.reports.comparison import Comparison, chosen_metrics, compare_runs
from metadialog.reports.grid import number, score_grids
from metadialog.reports.latex import escape
from metadialog.reports.runs import read_runs
from metadialog.reports.write import NO_COST, Report, render
from metadialog.statistics.comparison import CHOSEN
from metadialog.statistics.metric_comparison import Settings

MakeRun = Callable[..., Path]
FILES = {
    "table.md", "table.tex", "table_document.tex", "table.csv", "table.html", "differences.csv", "topics.csv",
    "curves.png", "curves.svg",
    "curves.pdf", "shots.pdf", "topics.pdf",
    "shots.png", "topics.png", "report.html",
}  # fmt: skip


class Page(HTMLParser):
    """Parses a page, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def comparison(write_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    place = tmp_path_factory.mktemp("compared")
    for algorithm in ("finetune", "maml", "zero_shot"):
        for seed in (0, 1):
            write_run(place, algorithm, seed)
    write_run(place, "scratch", 0, options={"algorithm.name": "a_b & <i>c</i> | 50%"})
    runs, _ = read_runs([place], "refuse")
    return compare_runs(runs, Settings(200, 0.9, "bootstrap", 0.05, 0))


@pytest.fixture(scope="module")
def report(comparison: Comparison) -> Report:
    metrics = chosen_metrics(comparison, ["word_perplexity", "bleu"])
    return render(comparison, metrics, None, None, "metadialog table runs='<x>'", ["DIR: failed"])


def test_every_file_is_there_and_no_other(report: Report, tmp_path: Path) -> None:
    assert set(report.files) == FILES
    output = tmp_path / "new" / "output"
    report.write(output)
    assert {path.name for path in output.iterdir()} == FILES
    assert (output / "table.md").read_bytes() == report.files["table.md"]


def test_a_figure_of_cost_from_before_does_not_stay(report: Report, tmp_path: Path) -> None:
    for name in ("cost.png", "mine.txt"):
        (tmp_path / name).write_text("old")
    report.write(tmp_path)
    assert not (tmp_path / "cost.png").exists()
    assert (tmp_path / "mine.txt").read_text() == "old"


def test_the_same_runs_make_the_same_files(report: Report, comparison: Comparison) -> None:
    again = render(comparison, chosen_metrics(comparison, ["word_perplexity", "bleu"]), None, None,
                   "metadialog table runs='<x>'", ["DIR: failed"])  # fmt: skip
    assert {name for name in FILES if report.files[name] != again.files[name]} <= {"curves.svg"}


def test_markdown_has_a_cell_for_each_number(report: Report) -> None:
    text = report.files["table.md"].decode()
    table = text.split("## Held-out topics, 5 shots")[1].split("##")[0].strip().splitlines()
    header, _, *rows = [line for line in table if line.startswith("|")]
    assert header.count("|") == 5
    assert "word perplexity ↓, before" in header
    assert len(rows) == 4
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
    assert sum(row.count("**") for row in rows) == 2 * 3
    assert "a\\_b & \\<i\\>c\\</i\\> \\| 50%" in text
    assert "90% interval" in text
    assert NO_COST.split(":")[0] in text
    assert "nrefs:1" in text
    assert "Left out: DIR: failed" in text


def test_the_csv_is_long_and_whole(report: Report) -> None:
    table = pd.read_csv(BytesIO(report.files["table.csv"]))
    assert list(table.columns) == [
        "dataset", "algorithm", "metric", "shots", "inner_step", "mean", "low", "high", "seeds", "topics", "episodes",
        "p_value_vs_best",
    ]  # fmt: skip
    assert "a_b & <i>c</i> | 50%" in set(table["algorithm"])
    assert not table.duplicated(["algorithm", "metric", "shots", "inner_step"]).any()
    assert (table["low"] <= table["mean"] + 1e-12).all()


@pytest.mark.parametrize("name", ["table.html", "report.html"])
def test_pages_are_well_formed_and_need_no_network(report: Report, name: str) -> None:
    text = report.files[name].decode()
    page = Page(text)
    assert page.open == []
    sources = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert all(value is not None and value.startswith("data:image/png;base64,") for value in sources)
    assert len(sources) == (3 if name == "report.html" else 0)
    assert not re.search(r"(url\(|@import|fetch\(|https?://(?!www\.w3\.org/2000/svg))", text)
    assert "a_b & <i>c</i> | 50%" in page.text
    assert "<b>money</b>" in page.text
    assert "runs='<x>'" in page.text
    assert len(text) < 3_000_000


def test_the_data_of_the_chart_cannot_end_its_script(report: Report) -> None:
    text = report.files["report.html"].decode()
    data = text.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    assert "<i>" not in data
    assert '"a_b \\u0026 \\u003ci\\u003ec' in data


def test_figures_are_pictures(report: Report) -> None:
    for name in ("curves.png", "shots.png", "topics.png"):
        pixels = image.imread(BytesIO(report.files[name]))
        assert min(pixels.shape[:2]) > 200
        assert pixels[..., :3].std() > 0.01
    root = ET.fromstring(report.files["curves.svg"])  # noqa: S314 - a trusted file
    assert root.tag.endswith("svg")


def test_cost_is_drawn_where_every_run_tells_it(make_run: MakeRun, tmp_path: Path) -> None:
    for algorithm, flops in {"maml": 4e12, "finetune": 1e12, "scratch": 0.0}.items():
        make_run(algorithm, 0, cost={"flops": flops, "seconds": flops / 1e11, "tokens": 7})
    runs, _ = read_runs([tmp_path], "refuse")
    comparison = compare_runs(runs, Settings(100, 0.95, "bootstrap", 0.05, 0))
    report = render(comparison, chosen_metrics(comparison, ["loss"]), None, None, "", [])
    assert set(report.files) == {*FILES, "cost.png", "cost.pdf"}
    assert not report.without_cost
    assert NO_COST not in report.files["table.md"].decode()
    assert report.files["report.html"].decode().count("data:image/png") == 4


def test_columns_and_tables_may_be_chosen(comparison: Comparison) -> None:
    metrics = chosen_metrics(comparison, ["word_perplexity", "bleu"])
    grids = score_grids(comparison, metrics, [1, 5], [0, 2, 4])
    assert [grid.title for grid in grids] == [f"Held-out topics, {n}, by inner steps" for n in ("1 shot", "5 shots")]
    assert grids[0].columns == ["before", "2 steps", "4 steps", "before", "4 steps"]
    assert grids[0].groups == [("word perplexity ↓", 3), ("BLEU ↑", 2)]
    best = [[cell is not None and cell.best for cell in cells].count(True) for _, cells in grids[1].rows]
    assert sum(best) == 5
    with pytest.raises(ConfigError, match=r"shots=\[3\]: no run has records of shots 3; there are 1, 5"):
        score_grids(comparison, metrics, [3], None)
    with pytest.raises(ConfigError, match=r"steps=\[0, 99\]: no run has records of steps 99"):
        score_grids(comparison, metrics, None, [0, 99])


def test_in_chinese_a_word_is_a_character(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0, language="zh")
    runs, _ = read_runs([tmp_path], "refuse")
    comparison = compare_runs(runs, Settings(100, 0.95, "bootstrap", 0.05, 0))
    [grid] = score_grids(comparison, chosen_metrics(comparison, ["word_perplexity"]), None, None)
    assert grid.groups == [("character perplexity ↓", 2)]


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (3.14159, None, "3.14"), (31.4159, None, "31.4"), (999.96, None, "1000.0"), (3141.59, None, "3,142"),
        (17_947_345.0, None, "1.79e7"), (0.12345, 3, "0.123"), (-0.5, 2, "-0.50"), (float("inf"), None, "diverged"),
        (float("nan"), 2, "diverged"),
    ],
)  # fmt: skip
def test_numbers_have_as_many_digits_as_count(value: float, digits: int | None, text: str) -> None:
    assert number(value, digits) == text


def test_latex_escapes_what_it_has_to() -> None:
    assert escape("a_b & 50% #1 {x} $y~^\\") == (
        r"a\_b \& 50\% \#1 \{x\} \$y\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    # A bracket at the beginning of a row would be taken as the argument of the previous row's end.
    assert escape("weiß, 中 [1]") == "weiß, {[}U+4E2D] {[}1]"


def test_latex_is_balanced_and_uses_booktabs(report: Report) -> None:
    text = report.files["table.tex"].decode()
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 4
    assert text.count(r"\label{tab:") == text.count(r"\caption{") == 4
    assert r"\documentclass" not in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 4
    body = re.sub(r"\\[\\{}%&]", "", text)
    assert body.count("{") == body.count("}")
    assert not re.search(r"(?<!\\)_", text)
    for block in re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.DOTALL):
        counts = {len(re.findall(r"(?<!\\)&", line)) for line in block.strip().splitlines()}
        assert len(counts) == 1


def test_latex_compiles(report: Report, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("there is no pdflatex on the PATH")
    for name in ("table.tex", "table_document.tex"):
        (tmp_path / name).write_bytes(report.files[name])
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table_document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table_document.pdf").stat().st_size > 1000


def test_chosen_steps_are_named_everywhere(make_run: MakeRun, tmp_path: Path) -> None:
    for algorithm in ("maml", "finetune"):
        make_run(algorithm, 0, chosen=True)
    runs, _ = read_runs([tmp_path], "refuse")
    comparison = compare_runs(runs, Settings(100, 0.95, "bootstrap", 0.05, 0))
    found = render(comparison, chosen_metrics(comparison, ["word_perplexity", "bleu"]), None, None, "", [])
    assert found.grids[0].columns == ["before", "chosen step", "chosen step"]
    assert {"chosen", "0", "4"} <= set(pd.read_csv(BytesIO(found.files["table.csv"]))["inner_step"])
    text = found.files["table.md"].decode()
    assert "5 shots, at the chosen step" in text
    assert "maml 2 (rate times 1)" in text
    assert '"step": -1' not in found.files["report.html"].decode()
    [grid] = score_grids(comparison, chosen_metrics(comparison, ["bleu"]), None, [CHOSEN, 4])
    assert grid.columns == ["chosen step", "4 steps"]


def test_the_only_step_of_a_run_counts_as_chosen(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0, chosen=True)
    make_run("finetune", 0, steps=1)
    runs, _ = read_runs([tmp_path], "refuse")
    comparison = compare_runs(runs, Settings(100, 0.95, "bootstrap", 0.05, 0))
    scores = comparison.scores.query("shots == 5 and metric == 'loss'").set_index(["algorithm", "inner_step"])["mean"]
    assert scores["finetune", CHOSEN] == scores["finetune", 1]


def test_no_step_is_chosen_for_runs_that_chose_none(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("maml", 0, chosen=True)
    make_run("finetune", 0)
    runs, _ = read_runs([tmp_path], "refuse")
    comparison = compare_runs(runs, Settings(100, 0.95, "bootstrap", 0.05, 0))
    with pytest.raises(ConfigError, match="steps: some of the runs chose no step"):
        score_grids(comparison, chosen_metrics(comparison, ["loss"]), None, [CHOSEN])
