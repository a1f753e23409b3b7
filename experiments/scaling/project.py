"""What more GPUs would give, on paper: the table of `docs/scaling.md`.

    python experiments/scaling/project.py

Counted here: the arithmetic of a task, the operations of a meta-step, the bytes of a gradient. Assumed: what a GPU and
its network do in a second; `docs/scaling.md` names the sources.
"""

from dataclasses import dataclass, replace

import torch

from metadialog.benchmark.bound import operations
from metadialog.benchmark.workload import CONFIGURATIONS, Workload, make_workload
from metadialog.engines.vectorized import VectorizedEngine
from metadialog.models.loss import mean_token_loss

STEPS = 5
RATE = 0.25 * 67e12  # operations a second: a quarter of a GPU's peak in single precision
DISPATCH = 25e-6  # seconds for a small operation to get to the GPU, measured on an H100: docs/scaling.md says how
MEMORY = 3.35e12 / 2  # bytes a second of the optimizer's element-wise work: half of the peak
INSIDE, BETWEEN = 300e9, 40e9  # bytes a second of an all-reduce within a machine, and of one GPU's share between them
HOP = 10e-6  # seconds
MACHINE = 8  # GPUs
GPUS = (1, 8, 64)
# What only looks at memory in another way, or sets it aside, and sends nothing to a GPU.
IDLE = [
    "alias",
    "as_strided",
    "chunk",
    "detach",
    "empty",
    "empty_like",
    "empty_strided",
    "expand",
    "flatten",
    "lift_fresh",
    "mT",
    "narrow",
    "new_empty",
    "new_zeros",
    "ones",
    "permute",
    "reshape",
    "resolve_conj",
    "resolve_neg",
    "select",
    "slice",
    "split",
    "squeeze",
    "t",
    "to",
    "_to_copy",
    "transpose",
    "unbind",
    "unsqueeze",
    "view",
    "zeros",
    "zeros_like",
    "contiguous",
    "item",
    "_local_scalar_dense",
    "is_nonzero",
    "result_type",
]


@dataclass(frozen=True)
class Cost:
    """What a meta-step takes.

    Attributes:
        task: floating-point operations of a task.
        launches: operations that are sent to the GPU for a sweep, whatever the number of tasks in it.
        parameters: of the model.
    """

    task: float
    launches: int
    parameters: int

    def seconds(self, gpus: int, tasks: int) -> tuple[float, float, float]:
        """Return the time of the sweep, of the all-reduce and of the optimizer."""
        of_one = -(-tasks // gpus)
        sweep = max(self.launches * DISPATCH, of_one * self.task / RATE)
        volume = 4 * self.parameters
        inside, machines = min(gpus, MACHINE), -(-gpus // MACHINE)
        reduce = 2 * (inside - 1) / inside * volume / INSIDE + 2 * (inside - 1) * HOP
        reduce += 2 * (machines - 1) / machines * volume / MACHINE / BETWEEN + 2 * (machines - 1) * HOP
        optimizer = 7 * volume / MEMORY  # Adam reads four numbers of each parameter, and writes three
        return sweep, reduce, optimizer


def count(name: str) -> tuple[Cost, int]:
    """Count what a configuration of the benchmark costs; return its number of tasks too."""
    whole = CONFIGURATIONS[name]  # type: ignore[index]
    one = make_workload(replace(whole, tasks=1), STEPS, torch.device("cpu"))
    narrow = make_workload(replace(whole, tasks=2, hidden_size=8, vocab_size=50), STEPS, torch.device("cpu"))
    with torch.profiler.profile() as profile:
        sweep(narrow)
    launches = sum(event.count for event in profile.key_averages() if event.key.removeprefix("aten::") not in IDLE)
    parameters = sum(p.numel() for p in one.model.parameters())
    return Cost(operations(one)[0], launches, parameters), whole.tasks


def sweep(work: Workload) -> None:
    """Take one meta-step."""
    VectorizedEngine().meta_gradient(work.model, mean_token_loss, work.episodes, work.inner, "mean")


def main() -> None:
    """Print the table."""
    for name in ("medium", "large"):
        cost, _ = count(name)
        print(
            f"\n{name}: {cost.task / 1e9:.0f} Gflop a task, {cost.launches} operations a sweep, "
            f"{4 * cost.parameters / 1e6:.1f} MB of gradient\n"
        )
        print("| tasks | GPUs | sweep ms | all-reduce ms | optimizer ms | tasks/s | times one GPU | efficiency |")
        print("|" + "---|" * 8)
        for tasks in (32, 256, 2048):
            one = tasks / sum(cost.seconds(1, tasks))
            for gpus in GPUS:
                parts = cost.seconds(gpus, tasks)
                rate = tasks / sum(parts)
                cells = [f"{1000 * part:.2f}" for part in parts]
                cells += [f"{rate:,.0f}", f"{rate / one:.1f}", f"{rate / one / gpus:.0%}"]
                print(f"| {tasks} | {gpus} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
