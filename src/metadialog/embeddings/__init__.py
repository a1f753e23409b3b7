"""What token embeddings start from."""
