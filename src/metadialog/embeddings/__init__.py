"""Initialisation of token embeddings."""
