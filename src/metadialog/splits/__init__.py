"""Splits of the topics into meta-train, meta-validation and meta-test."""
