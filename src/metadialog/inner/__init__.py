"""Update rules of the inner loop."""
