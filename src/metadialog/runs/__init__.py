"""The files of run and sweep directories: their names, and how they are written and read."""
