"""Where a run tells of itself: the metrics file, and Weights & Biases."""
