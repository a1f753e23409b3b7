"""From token ids to logits; models know nothing of tasks."""
