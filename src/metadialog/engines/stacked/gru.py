"""The gated recurrent unit: `r, z = sigmoid(gi + gh)`, `c = tanh(gi + r gh)`, `h' = c + z (h - c)`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metadialog.engines.stacked.affine import add_transposed, affine, product, transposed
from metadialog.engines.stacked.cell import Cell, Cotangent, States, Trace, shifted


@dataclass(slots=True)
class GRUTrace(Trace):
    """The values kept of a forward pass, `[tasks, time, batch, hidden]` unless stated otherwise.

    Attributes:
        reset: gate r.
        update: gate z.
        candidate: the new state c.
        recurrent: the candidate's `gh`, before the reset gate.
        by_gi: derivative of the state with respect to the candidate's `gi`.
        by_gh: derivative of the state with respect to the `gh` of r, z and c, `[tasks, time, batch, 3, hidden]`.
    """

    reset: Tensor
    update: Tensor
    candidate: Tensor
    recurrent: Tensor
    by_gi: Tensor
    by_gh: Tensor


@dataclass(slots=True)
class GRUTangent:
    """Tangents of a trace's `update`, `by_gi` and `by_gh`."""

    update: Tensor
    by_gi: Tensor
    by_gh: Tensor


class GRUCell(Cell[GRUTrace, GRUTangent, Cotangent]):
    """Cho et al. 2014 (arXiv:1406.1078), with the reset gate after the product, as `torch.nn.GRU`."""

    gates = 3

    def forward(self, gi: Tensor, weight: Tensor, bias: Tensor, start: States | None = None) -> GRUTrace:
        """See `Cell.forward`."""
        tasks, time, batch, width = gi.shape
        hidden = width // 3
        states = gi.new_zeros(tasks, time + 1, batch, hidden)
        if start is not None:
            states[:, 0] = start[0]
        gates = gi.new_empty(tasks, time, batch, 2 * hidden)
        candidate, recurrent = (gi.new_empty(tasks, time, batch, hidden) for _ in range(2))
        for step in range(time):
            gh = affine(states[:, step], weight, bias)  # [tasks, batch, 3 * hidden]
            both = torch.add(gi[:, step, :, : 2 * hidden], gh[..., : 2 * hidden])
            torch.sigmoid(both, out=gates[:, step])
            recurrent[:, step] = gh[..., 2 * hidden :]
            now = torch.addcmul(gi[:, step, :, 2 * hidden :], gates[:, step, :, :hidden], recurrent[:, step])
            torch.tanh(now, out=candidate[:, step])
            torch.lerp(candidate[:, step], states[:, step], gates[:, step, :, hidden:], out=states[:, step + 1])
        reset, update = gates[..., :hidden], gates[..., hidden:]
        by_gi = (1 - update) * (1 - candidate.square())
        by_gh = gi.new_empty(tasks, time, batch, 3, hidden)
        torch.mul(by_gi * recurrent, reset * (1 - reset), out=by_gh[..., 0, :])
        torch.mul(states[:, :-1] - candidate, update * (1 - update), out=by_gh[..., 1, :])
        torch.mul(by_gi, reset, out=by_gh[..., 2, :])
        return GRUTrace(states, reset, update, candidate, recurrent, by_gi, by_gh)

    def backward(self, trace: GRUTrace, weight: Tensor, outputs: Tensor, cells: Tensor | None = None) -> Cotangent:  # noqa: ARG002 - it has none
        """See `Cell.backward`."""
        result = _back(trace, weight, outputs, None)
        return Cotangent(result.states, _with_candidate(result.gh, result.states * trace.by_gi), result.gh)

    def by_start(self, trace: GRUTrace, weight: Tensor, cotangent: Cotangent) -> States:
        """See `Cell.by_start`."""
        kept = trace.update[:, 0] * cotangent.states[:, 0]
        return (kept.add_(transposed(cotangent.gh[:, 0], weight)),)

    def tangent(
        self, trace: GRUTrace, weight: Tensor, gi: Tensor | None, gh: Tensor, start: States | None = None
    ) -> tuple[Tensor, GRUTangent]:
        """See `Cell.tangent`."""
        tasks, time, batch, hidden = trace.update.shape
        pre = gh.reshape(tasks, time, batch, 3, hidden).clone()  # tangent of r's and z's gi + gh, and of c's gh
        candidate = None
        if gi is not None:
            parts = gi.view_as(pre)
            pre[..., :2, :] += parts[..., :2, :]
            candidate = parts[..., 2, :]
        source = (trace.by_gh * pre).sum(-2)  # [tasks, time, batch, hidden]
        if candidate is not None:
            source.addcmul_(trace.by_gi, candidate)
        if start is not None:
            source[:, 0].addcmul_(trace.update[:, 0], start[0])
        for step in range(1, time):  # `source` becomes the tangent of the states, in place
            before = source[:, step - 1]
            through = product(before, weight).view(tasks, batch, 3, hidden)
            pre[:, step] += through
            now = source[:, step]
            now.addcmul_(trace.update[:, step], before)
            now += through.mul_(trace.by_gh[:, step]).sum(-2)
        return source, _trace_tangent(trace, source, pre, candidate, start)

    def backward_tangent(
        self,
        trace: GRUTrace,
        tangent: GRUTangent | None,
        weight: Tensor,
        cotangent: Cotangent,
        outputs: Tensor,
        states: Tensor | None,
        cells: Tensor | None = None,  # noqa: ARG002 - it has none
    ) -> Cotangent:
        """See `Cell.backward_tangent`."""
        before, gates = states, None
        if tangent is not None:
            carried = cotangent.states * tangent.update
            before = carried if before is None else carried.add_(before)
            gates = cotangent.states[..., None, :] * tangent.by_gh
        sources = outputs if before is None else outputs + shifted(before)
        result = _back(trace, weight, sources, gates)
        candidate = result.states * trace.by_gi
        if tangent is not None:
            candidate.addcmul_(cotangent.states, tangent.by_gi)
        return Cotangent(result.states, _with_candidate(result.gh, candidate), result.gh)

    def by_start_tangent(
        self,
        trace: GRUTrace,
        tangent: GRUTangent | None,
        weight: Tensor,
        cotangent: Cotangent,
        result: Cotangent,
        states: Tensor | None,
    ) -> States:
        """See `Cell.by_start_tangent`."""
        (total,) = self.by_start(trace, weight, result)
        if tangent is not None:
            total.addcmul_(cotangent.states[:, 0], tangent.update[:, 0])
        return (total if states is None else total.add_(states[:, 0]),)


def _trace_tangent(
    trace: GRUTrace, states: Tensor, pre: Tensor, candidate: Tensor | None, start: States | None
) -> GRUTangent:
    """Differentiate the coefficients, for all time steps at once.

    Args:
        trace: trace of the forward pass.
        states: tangent of the outputs.
        pre: tangent of the pre-activations of r and z, and of c's `gh`, `[tasks, time, batch, 3, hidden]`.
        candidate: tangent of c's `gi`; None for zero.
        start: tangent of the state before the first token; None for zero.
    """
    reset, update, new = trace.reset, trace.update, trace.candidate
    reset_slope, update_slope, new_slope = reset * (1 - reset), update * (1 - update), 1 - new.square()
    d_reset, d_update, d_recurrent = reset_slope * pre[..., 0, :], update_slope * pre[..., 1, :], pre[..., 2, :]
    d_new = (d_reset * trace.recurrent).addcmul_(reset, d_recurrent)
    if candidate is not None:
        d_new += candidate
    d_new *= new_slope
    d_previous = torch.zeros_like(states)
    d_previous[:, 1:] = states[:, :-1]
    if start is not None:
        d_previous[:, 0] = start[0]

    d_by_gi = (d_update * new_slope).neg_().addcmul_((1 - update) * new, d_new, value=-2)
    d_by_gh = torch.empty_like(trace.by_gh)
    torch.mul((d_by_gi * trace.recurrent).addcmul_(trace.by_gi, d_recurrent), reset_slope, out=d_by_gh[..., 0, :])
    d_by_gh[..., 0, :].addcmul_(trace.by_gi * trace.recurrent, d_reset * (1 - 2 * reset))
    torch.mul(d_previous - d_new, update_slope, out=d_by_gh[..., 1, :])
    d_by_gh[..., 1, :].addcmul_(trace.previous - new, d_update * (1 - 2 * update))
    torch.mul(d_by_gi, reset, out=d_by_gh[..., 2, :]).addcmul_(trace.by_gi, d_reset)
    return GRUTangent(d_update, d_by_gi, d_by_gh)


def _back(trace: GRUTrace, weight: Tensor, sources: Tensor, gates: Tensor | None) -> Cotangent:
    """Backpropagate through time: `dgh = by_gh dh + gates`, `dh_before = source + z dh + dgh @ W`; without `gi`."""
    tasks, time, batch, hidden = trace.update.shape
    states = torch.empty_like(trace.update)
    result = torch.empty_like(trace.by_gh)
    now = sources[:, time - 1]
    for step in reversed(range(time)):
        states[:, step] = now
        torch.mul(now[:, :, None], trace.by_gh[:, step], out=result[:, step])
        if gates is not None:
            result[:, step] += gates[:, step]
        if step:
            base = torch.addcmul(sources[:, step - 1], trace.update[:, step], now)
            now = add_transposed(base, result[:, step].view(tasks, batch, 3 * hidden), weight)
    flat = result.view(tasks, time, batch, 3 * hidden)
    return Cotangent(states, flat, flat)


def _with_candidate(gh: Tensor, candidate: Tensor) -> Tensor:
    """Return `gh` with the candidate's part, the last third, replaced."""
    hidden = candidate.shape[-1]
    return torch.cat([gh[..., : 2 * hidden], candidate], -1)
