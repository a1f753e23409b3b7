"""Topics in, episodes out: which dialogues are drawn, and how they become padded and masked tensors."""
