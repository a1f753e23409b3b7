"""Sweeps: many runs, and which of them is best. Reads run directories; knows nothing of models."""
