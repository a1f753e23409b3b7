"""What the meta-gradient costs: every engine and its peers on the same work, in turns."""
