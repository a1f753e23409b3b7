"""What is learned in the outer loop, and how a task is adapted to."""
