"""Samplers draw dialogues from topics, and encode them as episodes of padded and masked tensors."""
