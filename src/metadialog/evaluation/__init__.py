"""Adapting to held-out topics, and scoring what comes of it."""
