"""The config files, as the package `metadialog.conf` in an installed copy."""
