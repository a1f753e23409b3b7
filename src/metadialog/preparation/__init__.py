"""From a data set on disk to split topics, a trained tokenizer, and the episodes of held-out topics."""
