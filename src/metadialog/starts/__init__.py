"""Starting points of the outer loop."""
