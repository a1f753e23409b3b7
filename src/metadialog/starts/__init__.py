"""What the outer loop starts from."""
