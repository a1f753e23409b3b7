"""`python -m metadialog`, as `torchrun -m metadialog` starts it."""

import sys

from metadialog.cli import main

if __name__ == "__main__":
    sys.exit(main())
