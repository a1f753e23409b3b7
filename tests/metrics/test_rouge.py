"""ROUGE-L, compared with values of the package rouge-score 0.1.2 for the same words."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from metadialog.metrics.quality import rouge_l

CASES = json.loads((Path(__file__).parent / "rouge_l.json").read_text(encoding="utf-8"))


def test_the_values_are_those_of_the_package_to_the_last_bit() -> None:
    assert [rouge_l(reference, reply) for reference, reply, _ in CASES] == [value for *_, value in CASES]
    assert sum(0 < value < 1 for *_, value in CASES) > 50


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_it_finds_the_longest_of_all_common_subsequences(one: list[str], other: list[str]) -> None:
    def subsequences(words: list[str]) -> set[tuple[str, ...]]:
        found: set[tuple[str, ...]] = {()}
        for word in words:
            found |= {(*before, word) for before in found}
        return found

    longest = max(map(len, subsequences(one) & subsequences(other)))
    expected = 2 * longest / (len(one) + len(other)) if one and other else 0.0
    assert abs(rouge_l(" ".join(one), " ".join(other)) - expected) < 1e-12
