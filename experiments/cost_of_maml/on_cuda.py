"""Measure all that asks for a GPU, in under 8 minutes; say in a line that there is none otherwise."""

import subprocess
import sys

import torch

SECONDS = 8 * 60
COMMAND = ["-m", "metadialog", "bench", "bench=cuda", "device=cuda", *sys.argv[1:]]


def main() -> int:
    """Run the benchmark; what was measured before its time is up is in its directory."""
    if not torch.cuda.is_available():
        print("torch finds no CUDA device here: nothing is measured")
        return 0
    try:
        return subprocess.run([sys.executable, *COMMAND], check=False, timeout=SECONDS).returncode
    except subprocess.TimeoutExpired:
        print(f"ended after {SECONDS // 60} minutes: bench.json has what was measured until then")
        return 1


if __name__ == "__main__":
    sys.exit(main())
