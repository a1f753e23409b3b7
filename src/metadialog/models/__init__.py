"""Models, which map token ids to logits, independent of tasks."""
