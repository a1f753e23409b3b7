"""Benchmarks of the meta-gradient: all engines and other libraries on the same work."""
