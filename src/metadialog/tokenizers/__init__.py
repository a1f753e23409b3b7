"""Tokenizers, which are trained only on the texts of the meta-train topics."""
