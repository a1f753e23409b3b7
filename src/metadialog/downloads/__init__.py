"""Published data sets: where they are, under which licence, and how they come to this machine."""
