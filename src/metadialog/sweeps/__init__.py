"""Sweeps: searches over many runs."""
