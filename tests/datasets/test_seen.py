from hypothesis import given
from hypothesis import strategies as st

from metadialog.datasets.seen import Seen


@given(st.lists(st.tuples(st.binary(max_size=2), st.integers(0, 9))))
def test_it_is_a_dictionary_that_keeps_the_first(pairs: list[tuple[bytes, int]]) -> None:
    expected: dict[bytes, int] = {}
    with Seen() as seen:
        for key, value in pairs:
            assert seen.first(key, value) == expected.get(key)
            expected.setdefault(key, value)
