"""Downloads of published data sets, with their licences."""
