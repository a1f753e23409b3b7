"""The work itself: what a config describes, built and run."""
