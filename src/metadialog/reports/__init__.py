"""Tables and figures from the files of runs and benchmarks."""
