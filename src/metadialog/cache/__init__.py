"""The cache of downloads and prepared data, whose entries are keyed by everything they depend on."""
