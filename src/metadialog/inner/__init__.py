"""How the inner loop changes the parameters, given their gradients."""
