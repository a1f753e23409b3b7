"""Data preparation: from a data set on disk to topics, a tokenizer and the held-out episodes."""
