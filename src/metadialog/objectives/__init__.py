"""Losses that the inner and the outer loop minimise."""
