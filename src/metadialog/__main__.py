"""`python -m metadialog`, as `torchrun -m metadialog` starts it.

Unlike the console script, `python -m` puts the working directory on the module path, where a file of a downloaded run
would be imported in the place of a library. It is taken off again before anything else is imported.
"""

import sys


def _leave_out_working_directory() -> None:
    """Take off the module path what `python -m` has put there, as Python's own -P would."""
    if not getattr(sys.flags, "safe_path", False) and sys.path:
        del sys.path[0]


if __name__ == "__main__":
    _leave_out_working_directory()
    from metadialog.entry import main

    sys.exit(main())
