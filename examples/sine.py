"""Few-shot regression of sine waves (Finn et al. 2017, section 5.1) with `meta_gradient`: nothing of it is dialogue.

python examples/sine.py
"""

import torch
from torch import Tensor, nn

from metadialog.engines import meta_gradient

Points = tuple[Tensor, Tensor]


def waves(tasks: int, shots: int = 10) -> list[tuple[Points, Points]]:
    """Draw sine waves of amplitude 0.1 to 5 and any phase; of each, points to adapt to and points to be right about."""

    def wave() -> tuple[Points, Points]:
        amplitude, phase = 0.1 + 4.9 * torch.rand(()), torch.pi * torch.rand(())
        x = 10 * torch.rand(2, shots, 1) - 5
        y = amplitude * torch.sin(x - phase)
        return (x[0], y[0]), (x[1], y[1])

    return [wave() for _ in range(tasks)]


def squared_error(model: nn.Module, points: Points) -> Tensor:
    """Return the mean squared error."""
    x, y = points
    return (model(x) - y).square().mean()


def train(updates: int = 300, tasks: int = 25, *, seed: int = 0) -> list[float]:
    """Return the error after one inner step in each outer step."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(updates):
        loss, gradients = meta_gradient(model, squared_error, waves(tasks), inner_lr=0.01, steps=1)
        for name, parameter in model.named_parameters():
            parameter.grad = gradients[name]
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    losses = train()
    first, last = (sum(some) / len(some) for some in (losses[:20], losses[-20:]))
    print(f"squared error after one inner step: {first:.2f} in the first 20 updates, {last:.2f} in the last 20")
