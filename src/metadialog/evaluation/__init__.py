"""Adaptation to held-out topics, and its scores."""
