"""One run over one process and over two: whether the curves are the same, and how much faster it is.

    python experiments/scaling/measure.py

Runs alternate, so that other load of the machine affects all of them equally. Writes `results/`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
WARM_UP = 5  # steps that are not counted
MEGABYTES = (0.1, 1, 10, 100)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0")
Curves = dict[tuple[int, str, str], float]


def train(processes: int, directory: Path) -> None:
    """Train with the study's config, as a user would."""
    start = [*TORCHRUN, f"--nproc-per-node={processes}"] if processes > 1 else [sys.executable]
    options = ["--config-dir", str(HERE.parent), f"+{HERE.name}=config", f"hydra.run.dir={directory}"]
    subprocess.run([*start, "-m", "metadialog", "train", *options], check=True, stdout=subprocess.DEVNULL)


def read(directory: Path) -> Curves:
    """Return what a run has measured, by step, split and name."""
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return {(m["step"], m["split"], m["name"]): m["value"] for m in lines}


def seconds_a_step(curves: Curves, meta_batch: int) -> float:
    """Return the median time of an outer step."""
    rates = [v for (step, _, name), v in curves.items() if name == "tasks_per_second" and step > WARM_UP]
    return meta_batch / statistics.median(rates)


def difference(one: Curves, other: Curves) -> float:
    """Return the largest relative difference between the curves of two runs."""
    names = [key for key in one if key[2] != "tasks_per_second"]
    assert {*names} == {key for key in other if key[2] != "tasks_per_second"}
    return max(abs(one[key] - other[key]) / max(abs(one[key]), 1e-12) for key in names)


def all_reduce() -> None:
    """As one of several processes: print how long an all-reduce takes, seconds by megabytes."""
    dist.init_process_group("gloo")
    found = {}
    for size in MEGABYTES:
        tensor, times = torch.ones(int(size * 1e6) // 4), []
        for _ in range(10):
            dist.barrier()
            began = time.perf_counter()
            dist.all_reduce(tensor)
            times.append(time.perf_counter() - began)
        found[str(size)] = statistics.median(times)
    if dist.get_rank() == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


def measure_all_reduce(processes: int) -> dict[str, float]:
    """Measure an all-reduce by itself."""
    command = [*TORCHRUN, f"--nproc-per-node={processes}", str(Path(__file__)), "--all-reduce"]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def draw(curves: dict[int, Curves], seconds: dict[int, list[float]], meta_batch: int) -> None:
    """Draw the curves over each other, and tasks a second against processes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    for place, (processes, found) in enumerate(curves.items()):
        losses = {step: v for (step, split, name), v in found.items() if split == "meta_train" and name == "meta_loss"}
        label = f"{processes} process{'es' if processes > 1 else ''}"
        left.plot(list(losses), list(losses.values()), ("-", "--")[place % 2], label=label, linewidth=4 - 2 * place)
    left.set(xlabel="outer step", ylabel="meta-loss, nats a token")
    left.legend()
    for processes, times in seconds.items():
        right.plot([processes] * len(times), [meta_batch / t for t in times], "o", color="C0")
    medians = {processes: meta_batch / statistics.median(times) for processes, times in seconds.items()}
    right.plot(list(medians), list(medians.values()), color="C0", label="measured")
    first = medians[min(medians)]
    right.plot(list(medians), [first * p / min(medians) for p in medians], ":", color="black", label="in proportion")
    right.set(xlabel="processes", ylabel="tasks a second", xticks=list(medians), ylim=(0, None))
    right.legend()
    figure.tight_layout()
    figure.savefig(HERE / "results" / "scaling.png", dpi=120)


def main() -> None:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--all-reduce", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.all_reduce:
        all_reduce()
        return
    meta_batch = 8
    curves: dict[int, Curves] = {}
    seconds: dict[int, list[float]] = {processes: [] for processes in options.processes}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for processes in options.processes:
                directory = Path(folder) / f"{number}-{processes}"
                train(processes, directory)
                curves[processes] = read(directory)
                seconds[processes].append(seconds_a_step(curves[processes], meta_batch))
        weights = torch.load(directory / "checkpoints" / "last", weights_only=True)["model"]
    first, *others = options.processes
    results = {
        "meta_batch": meta_batch,
        "parameters": sum(value.numel() for value in weights.values()),
        "seconds_a_step": seconds,
        "largest_relative_difference": {n: difference(curves[first], curves[n]) for n in others},
        "all_reduce_seconds_by_megabytes": {n: measure_all_reduce(n) for n in others},
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "scaling.json").write_text(json.dumps(results, indent=2) + "\n")
    draw(curves, seconds, meta_batch)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
