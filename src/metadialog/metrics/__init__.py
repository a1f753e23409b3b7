"""Metrics of generated replies."""
