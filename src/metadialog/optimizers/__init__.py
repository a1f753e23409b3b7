"""Optimizers of the outer loop."""
