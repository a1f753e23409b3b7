"""Self-contained web pages with tables and figures."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from metadialog.reports.comparison import Comparison
from metadialog.reports.differences import BASELINE_HEADER, HEADER, baseline_title
from metadialog.reports.figures import FEW, finite, outliers
from metadialog.reports.grid import Tables, metric_label
from metadialog.reports.looks import looks
from metadialog.reports.words import commands, legend, methods, size, varied_lines

_DASHES = {"-": "", "--": "8 4", ":": "2 4", "-.": "8 4 2 4"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure in a page.

    Attributes:
        caption: caption.
        png: content of the file.
        for_paper: whether it is only for print, as the interactive chart shows the same.
    """

    caption: str
    png: bytes
    for_paper: bool = False

    @property
    def data(self) -> str:
        """The content as base64."""
        return base64.b64encode(self.png).decode()


def page(comparison: Comparison, tables: Tables, command: str, pictures: Sequence[Picture] | None = None) -> str:
    """Return a page: with pictures `report.html`, without `table.html`.

    Args:
        comparison: the comparison.
        tables: tables to show.
        command: command line of this page.
        pictures: figures; None to leave out these and the interactive chart.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["power"] = _power
    return environment.from_string(_part("report.html.jinja")).render(
        title=tables.title,
        size=size(comparison),
        warnings=comparison.warnings,
        scores=tables.scores,
        legend=legend(comparison),
        data=None if pictures is None else _chart(comparison),
        figures=pictures or [],
        differences=tables.differences,
        baseline=tables.baseline,
        baseline_title=baseline_title(comparison),
        baseline_header=BASELINE_HEADER,
        samples=[] if pictures is None else tables.samples,
        header=HEADER,
        last=comparison.last_words,
        topics=tables.topics,
        methods=methods(comparison),
        notes=tables.notes,
        varied=varied_lines(comparison),
        commands=commands(comparison),
        command=command,
        style=_part("report.css"),
        script=_part("report.js"),
    )


def _part(name: str) -> str:
    return (files("metadialog.reports") / "templates" / name).read_text(encoding="utf-8")


def _power(text: str) -> Markup:
    """Format 1.8e7 as a product with a power of ten."""
    result = re.fullmatch(r"(-?[\d.]+)e(-?\d+)", text)
    return Markup("{}&times;10<sup>{}</sup>").format(result[1], result[2]) if result else Markup.escape(text)


def _chart(comparison: Comparison) -> Mapping[str, Any]:
    """Return the data of the interactive chart, which begins without outliers, and with intervals if they are few."""
    perplexities = finite(comparison, "word_perplexity")
    outside = outliers(perplexities[perplexities["inner_step"] >= 0], ["shots", "inner_step"])
    columns = ["algorithm", "metric", "shots", "inner_step", "mean", "low", "high"]
    return {
        "intervals": len(comparison.algorithms) - len(outside) <= FEW,
        "metrics": [
            {
                "name": metric.name,
                "label": metric_label(metric, comparison.runs[0].language),
                "log": metric.exponential,
            }
            for metric in comparison.metrics
        ],
        "algorithms": [
            {"name": name, "color": drawn["color"], "dash": _DASHES[drawn["linestyle"]], "shown": name not in outside}
            for name, drawn in zip(comparison.algorithms, looks(comparison.algorithms), strict=True)
        ],
        "rows": [
            {
                "algorithm": algorithm,
                "metric": metric,
                "shots": int(shots),
                "step": int(step),
                "mean": _short(mean),
                "low": _short(low),
                "high": _short(high),
            }
            for algorithm, metric, shots, step, mean, low, high in comparison.scores[columns].itertuples(index=False)
            if math.isfinite(mean) and step >= 0
        ],
    }


def _short(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
