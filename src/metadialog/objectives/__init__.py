"""What the two levels of learning minimise."""
