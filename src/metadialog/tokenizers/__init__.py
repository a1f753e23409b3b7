"""Text to token ids and back; a tokenizer is trained on the texts of the meta-train topics alone."""
