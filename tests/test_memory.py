"""Peak memory as reported by the operating system."""

import pytest
import torch

from metadialog.memory import PeakMemory

MIB = 2**20


def test_memory_that_was_given_back_counts() -> None:
    peak = PeakMemory(torch.device("cpu"))
    block = torch.ones(64 * MIB // 4)
    del block
    assert 60 * MIB < peak.bytes() < 100 * MIB


def test_memory_from_before_does_not_count() -> None:
    before = torch.ones(64 * MIB // 4)
    peak = PeakMemory(torch.device("cpu"))
    assert peak.bytes() < 30 * MIB
    assert before[-1] == 1


@pytest.mark.cuda
def test_memory_of_a_gpu_is_what_torch_took_of_it() -> None:
    device = torch.device("cuda")
    before = torch.ones(64 * MIB // 4, device=device)
    peak = PeakMemory(device)
    block = torch.ones(32 * MIB // 4, device=device)
    del block
    assert 32 * MIB <= peak.bytes() < 40 * MIB
    assert before[-1] == 1
