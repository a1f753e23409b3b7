"""Experiments: composed configs are built and run here."""
