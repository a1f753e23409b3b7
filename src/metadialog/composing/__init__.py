"""Composition of configs with Hydra, with one-line error messages."""
