"""What is kept between runs: the cache folder, and entries in it that are keyed by all they depend on."""
