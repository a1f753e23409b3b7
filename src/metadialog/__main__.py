"""`python -m metadialog`, which `torchrun -m metadialog` runs.

Unlike the console script, `python -m` puts the working directory on the module path, where a file of a downloaded run
would be imported instead of a library. It is removed before anything else is imported.
"""

import sys


def _leave_out_working_directory() -> None:
    """Remove the directory that `python -m` puts on the module path, as Python's option -P does."""
    if not getattr(sys.flags, "safe_path", False) and sys.path:
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_working_directory()
    from metadialog.entry import main

    sys.exit(main())
