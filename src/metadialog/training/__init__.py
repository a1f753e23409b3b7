"""The outer loop, checkpoints, and the run directory."""
