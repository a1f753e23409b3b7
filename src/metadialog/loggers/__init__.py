"""Loggers of runs, such as Weights & Biases."""
