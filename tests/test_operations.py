"""The count of operations, compared with a calculation from shapes and with counts of whole outer steps."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from metadialog.operations import OperationCounter

A, B, C = torch.randn(3, 4), torch.randn(4, 5), torch.zeros(3, 5)
AS, BS, CS = torch.randn(2, 3, 4), torch.randn(2, 4, 5), torch.zeros(2, 3, 5)
MATRICES, BATCHES = 2 * 3 * 4 * 5, 2 * 2 * 3 * 4 * 5

PRODUCTS: dict[str, tuple[Callable[[], Tensor], int]] = {
    "mm": (lambda: torch.mm(A, B), MATRICES),
    "mm, out": (lambda: torch.mm(A, B, out=C.clone()), MATRICES),
    "addmm": (lambda: torch.addmm(C, A, B), MATRICES),
    "addmm, out": (lambda: torch.addmm(C, A, B, out=C.clone()), MATRICES),
    "addmm, in place": (lambda: C.clone().addmm_(A, B), MATRICES),
    "bmm": (lambda: torch.bmm(AS, BS), BATCHES),
    "bmm, out": (lambda: torch.bmm(AS, BS, out=CS.clone()), BATCHES),
    "baddbmm": (lambda: torch.baddbmm(CS, AS, BS), BATCHES),
    "baddbmm, out": (lambda: torch.baddbmm(CS, AS, BS, out=CS.clone()), BATCHES),
    "baddbmm, in place": (lambda: CS.clone().baddbmm_(AS, BS), BATCHES),
    "linear": (lambda: torch.nn.functional.linear(A, B.T.contiguous(), torch.zeros(5)), MATRICES),
    "matmul": (lambda: AS @ BS, BATCHES),
    "mv": (lambda: A @ B[:, 0], 2 * 3 * 4),
    "nothing": (lambda: A + A, 0),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_way_to_ask_for_a_product_counts(name: str) -> None:
    product, expected = PRODUCTS[name]
    with OperationCounter() as counter:
        product()
    assert counter.total == expected


def test_a_backward_pass_counts_twice_and_attention_by_torchs_formula() -> None:
    x, weight = torch.randn(6, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    with OperationCounter() as counter:
        torch.nn.functional.linear(x, weight).sum().backward()  # type: ignore[no-untyped-call]
    assert counter.total == 3 * 2 * 6 * 4 * 5
    query = torch.randn(1, 2, 6, 8)
    with OperationCounter() as counter:
        torch.nn.functional.scaled_dot_product_attention(query, query, query)
    assert counter.total == 2 * 2 * (2 * 6 * 6 * 8)
