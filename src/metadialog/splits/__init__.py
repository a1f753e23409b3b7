"""Which topics are meta-trained on, which choose, and which are reported on."""
