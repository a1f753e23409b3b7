"""Statistics over records: intervals, tests between algorithms, effect sizes; pure functions over pandas and numpy."""
