"""The texts of a report: methods and warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

from metadialog.reports.comparison import Comparison
from metadialog.statistics.metric_comparison import Settings
from metadialog.statistics.paired import Test
from metadialog.text import counted

_TESTS: dict[Test, str] = {
    "bootstrap": (
        "hierarchical paired bootstrap (the difference over its bootstrap standard error, referred to Student's t with "
        "Satterthwaite's degrees of freedom): whether it holds on other seeds, topics and episodes"
    ),
    "permute_topics": (
        "paired permutation test that swaps two algorithms within whole topics: whether it holds on other topics, with "
        "these seeds; where results depend on the seed it finds differences where there are none"
    ),
    "permute_episodes": (
        "paired permutation test that swaps two algorithms within episodes: whether it holds on other episodes of "
        "these topics, with these seeds"
    ),
}


_NAMED = 4  # algorithms in a title


def title(comparison: Comparison) -> str:
    """Return the title of a report, with algorithms and data set."""
    names = list(comparison.algorithms)
    if len(names) > _NAMED:
        return f"{len(names)} algorithms on {comparison.dataset}"
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return f"{listed} on {comparison.dataset}"


def legend(comparison: Comparison) -> str:
    """Return the legend of the tables on one line."""
    settings = comparison.settings
    line = (
        f"In brackets: {settings.confidence:.0%} interval. Bold: best. ≈: not significantly worse than the best "
        f"(p ≥ {settings.significance:g}, Holm-corrected)."
    )
    if comparison.fixed:
        verb = "does" if len(comparison.fixed) == 1 else "do"
        line += f" {', '.join(comparison.fixed)} {verb} not adapt: the same at every step."
    return line


def size(comparison: Comparison) -> str:
    """Return the size of the comparison on one line."""
    seeds = comparison.scores["seeds"]
    few, most = int(seeds.min()), int(seeds.max())
    many = f"{few} to {most} seeds" if few < most else counted(few, "seed")
    topics, episodes = (int(comparison.scores[name].max()) for name in ("topics", "episodes"))
    runs = sum(len(run.statuses) for run in comparison.runs)
    algorithms, held_out = counted(len(comparison.algorithms), "algorithm"), counted(topics, "held-out topic")
    return (
        f"{comparison.dataset}: {algorithms}, {many} each, {held_out}, {counted(episodes, 'episode')}, the same for "
        f"all; {counted(runs, 'run')}."
    )


def methods(comparison: Comparison) -> list[tuple[str, str]]:
    """Return the description of the methods, as pairs of a term and its explanation."""
    return [
        *_measures(comparison.runs[0].signatures),
        *_procedures(comparison.settings),
        *([("Chosen steps", _chosen(comparison))] if len(comparison.chosen) else []),
        ("Seeds", _seeds(comparison)),
        ("Revisions", ", ".join(sorted({str(one.get("git_revision") or "unknown") for one in _statuses(comparison)}))),
    ]


def _measures(signatures: Mapping[str, str]) -> list[tuple[str, str]]:
    """Describe what is measured on the replies of one episode."""
    of_texts = [f"{name} by sacrebleu, signature {signature}" for name, signature in sorted(signatures.items())]
    return [
        (
            "Word perplexity",
            (
                "exp(total negative log-likelihood in nats / number of reference words), over all seeds and episodes "
                "together; not a mean of means. Comparable between tokenizers. The end of each response counts in the "
                "likelihood and is none of the words, so that short responses have a high value."
            ),
        ),
        (
            "Bits per character",
            (
                "the same likelihood in bits, the ends of responses with it, over the characters of the references; "
                "only where runs hold their number and responses alone are counted."
            ),
        ),
        ("Loss, token accuracy", "means over all counted tokens, so not comparable between tokenizers."),
        (
            "Gain",
            "the logarithm of word perplexity before adaptation minus that after it (nats per word): more is better.",
        ),
        (
            "Text metrics",
            f"computed for each episode's replies together, then averaged over episodes. {'; '.join(of_texts)}.",
        ),
    ]


def _procedures(settings: Settings) -> list[tuple[str, str]]:
    """Describe what is computed from the measures of all episodes."""
    return [
        (
            "Intervals",
            (
                f"{settings.confidence:.0%}, hierarchical bootstrap, {settings.resamples:,} resamples, seed "
                f"{settings.seed}: seeds, and crossed with them topics and their episodes, are drawn with replacement; "
                f"percentiles expanded for few seeds and topics (Hesterberg 2015). By topic, no topics are "
                f"drawn. Intervals of different algorithms share the topics' difficulty, so that two may overlap and "
                f"their difference be significant all the same."
            ),
        ),
        (
            "Tests",
            (
                f"against the best of a column, on the same episodes: {_TESTS[settings.test]}. p-values are two-sided "
                f"and corrected by Holm's method within each column (metric, shots, step). That the best was picked by "
                f"the same numbers is not corrected for."
            ),
        ),
        (
            "Effect size",
            (
                "Cohen's d_z: mean of the episodes' paired differences (over all seeds) over their standard deviation "
                "(Lakens 2013)."
            ),
        ),
    ]


def commands(comparison: Comparison) -> list[str]:
    """Return the commands that made the runs, each once."""
    return list(dict.fromkeys(str(one.get("command", "unknown")) for one in _statuses(comparison)))


def _statuses(comparison: Comparison) -> list[Mapping[str, Any]]:
    return [status for run in comparison.runs for status in run.statuses]


def varied_lines(comparison: Comparison) -> list[str]:
    """Return a line for each option in which rows differ beyond their algorithms."""
    return [
        f"{key}: {', '.join(f'{algorithm} {value}' for algorithm, value in values.items())}"
        for key, values in comparison.varied.items()
    ]


def _chosen(comparison: Comparison) -> str:
    """Return the choices on the meta-validation topics, with the most shots."""
    chosen = comparison.chosen
    most = chosen[chosen["shots"] == chosen["shots"].max()]
    phrases = []
    for algorithm, part in most.groupby("algorithm", sort=False):
        values = [f"{step} (rate times {rate:g})" for step, rate in zip(part["inner_step"], part["rate"], strict=True)]
        phrases.append(f"{algorithm} {', '.join(dict.fromkeys(values))}")
    return (
        f"each algorithm's number of inner steps, and what its inner rates are multiplied by, are those that were best "
        f"on the meta-validation topics, for each seed and number of shots. With {most['shots'].max()} shots: "
        f"{'; '.join(phrases)}."
    )


def _seeds(comparison: Comparison) -> str:
    of: dict[tuple[int, ...], list[str]] = {}
    for algorithm in comparison.algorithms:
        seeds = tuple(sorted(run.seed for run in comparison.runs if run.algorithm == algorithm))
        of.setdefault(seeds, []).append(algorithm)
    if len(of) == 1:
        return f"{_listed(next(iter(of)))} for all"
    return "; ".join(f"{_listed(seeds)} for {', '.join(names)}" for seeds, names in of.items())


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))
