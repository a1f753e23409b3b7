"""`DialogModel` over many tasks at once: its loss, its gradient, and its Hessian times a vector."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metadialog.engines.stacked import cross_entropy
from metadialog.engines.stacked.affine import MATRIX, affine, outer, plus, product, total, transposed
from metadialog.engines.stacked.cell import Cell, Cotangent, Trace
from metadialog.engines.stacked.cross_entropy import Direction, OutputDerivatives
from metadialog.engines.stacked.dropout import Masks
from metadialog.engines.stacked.elman import ElmanCell
from metadialog.engines.stacked.gru import GRUCell
from metadialog.engines.stacked.lstm import LSTMCell
from metadialog.engines.stacked.tasks import StackedBatch
from metadialog.models.rnn import DialogModel

Weights = Mapping[str, Tensor]
Wanted = Mapping[str, bool]
"""Parameters whose derivatives are wanted: True for the sum over tasks, False for each task's."""

_CELLS: dict[str, Cell[Any, Any, Any]] = {"RNN_TANH": ElmanCell(), "GRU": GRUCell(), "LSTM": LSTMCell()}


@dataclass(slots=True)
class LayerTape:
    """The part of a tape that belongs to one recurrent layer."""

    inputs: Tensor
    trace: Trace
    cotangent: Cotangent


@dataclass(slots=True)
class Tape:
    """The values kept of a gradient for the Hessian-vector product.

    Attributes:
        batch: stacked batches.
        masks: dropout masks.
        layers: the recurrent layers.
        features: features of the counted tokens after the last layer, `[tasks, rows, hidden]`.
        projected: the same after the projection, which are the inputs of the output layer.
        by_projected: derivative of the loss with respect to `projected`.
        slope: derivative of the loss with respect to the logits, `[tasks, rows, vocab]`.
    """

    batch: StackedBatch
    masks: Masks
    layers: list[LayerTape]
    features: Tensor
    projected: Tensor
    by_projected: Tensor
    slope: Tensor


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward and backward pass.

    Attributes:
        losses: loss of each task, `[tasks]`, nats.
        gradients: gradients of the wanted parameters.
        tape: the tape for `hessian_product`.
    """

    losses: Tensor
    gradients: dict[str, Tensor]
    tape: Tape


LayerTangents = tuple[Tensor | None, Tensor | None, object | None]
"""Tangents of a layer's inputs and outputs, and of its trace; None for zero."""


@dataclass(frozen=True, slots=True)
class _LayerProduct:
    """A layer's part of a Hessian-vector product.

    Attributes:
        layer: number of the layer.
        tangents: its tangents along the direction.
        direction: the direction, by parameter.
        wanted: parameters whose part of the product is needed.
    """

    layer: int
    tangents: LayerTangents
    direction: Weights
    wanted: Wanted


class StackedDialogModel:
    """The functions of a `DialogModel` for weights that are shared by all tasks or stacked.

    The embedding of an untied model is always stacked, and holds only the rows that `StackedBatch.tokens` refers to.
    """

    def __init__(self, model: DialogModel) -> None:
        self.cell = _CELLS[model.rnn.mode]
        self.layers = model.rnn.num_layers
        self.tied = model.embed.weight is model.linear.weight
        self.projects = isinstance(model.project, torch.nn.Linear)
        self.output_weight = "embed.weight" if self.tied else "linear.weight"

    def names(self) -> Iterator[str]:
        """Yield the parameter names of the model."""
        yield "embed.weight"
        for layer in range(self.layers):
            yield from _of_layer(layer)
        if self.projects:
            yield from ("project.weight", "project.bias")
        if not self.tied:
            yield "linear.weight"
        yield "linear.bias"

    def gradient(self, weights: Weights, batch: StackedBatch, masks: Masks, wanted: Wanted) -> Pass:
        """Run forward and backward.

        Args:
            weights: weights of every parameter, shared or stacked.
            batch: stacked batches.
            masks: dropout masks.
            wanted: parameters whose gradients are wanted.
        """
        x = self._embed(weights, batch)
        traced: list[tuple[Tensor, Trace]] = []
        for layer in range(self.layers):
            if (mask := masks.inputs[layer]) is not None:
                x = x * mask
            w_ih, w_hh, b_ih, b_hh = (weights[name] for name in _of_layer(layer))
            gi = affine(x.flatten(1, 2), w_ih, b_ih).view(*x.shape[:-1], -1)
            trace = self.cell.forward(gi, w_hh, b_hh)
            traced.append((x, trace))
            x = trace.outputs
        features = batch.reduce(x if masks.output is None else x * masks.output)
        projected = features
        if self.projects:
            projected = affine(features, weights["project.weight"], weights["project.bias"])
        losses, slope = cross_entropy.loss_and_slope(
            projected, weights[self.output_weight], weights["linear.bias"], batch.targets
        )
        tape = Tape(batch, masks, [], features, projected, projected, slope)
        gradients = self._backward(weights, tape, traced, wanted)
        return Pass(losses, gradients, tape)

    def _embed(self, weights: Weights, batch: StackedBatch) -> Tensor:
        embedding = weights["embed.weight"]
        if embedding.dim() == MATRIX:
            return embedding[batch.tokens]
        rows = (
            batch.tokens
            + torch.arange(len(batch.tokens), device=batch.tokens.device)[:, None, None] * (embedding.shape[1])
        )
        return embedding.flatten(0, 1).index_select(0, rows.flatten()).view(*rows.shape, -1)

    def _backward(
        self, weights: Weights, tape: Tape, traced: list[tuple[Tensor, Trace]], wanted: Wanted
    ) -> dict[str, Tensor]:
        """Compute the cotangents of the tape, and return the gradients."""
        results: dict[str, Tensor] = {}
        output = cross_entropy.backward(
            tape.slope, tape.projected, weights[self.output_weight], self._wanted_output(wanted)
        )
        self._put_output(results, output)
        tape.by_projected = by_features = output.inputs
        if self.projects:
            by_features = self._project_back(weights, tape.features, tape.by_projected, wanted, results)
        by_outputs = _times(tape.batch.expand(by_features), tape.masks.output)
        for layer in reversed(range(self.layers)):
            w_ih, w_hh, *_ = (weights[name] for name in _of_layer(layer))
            inputs, trace = traced[layer]
            cotangent = self.cell.backward(trace, w_hh, by_outputs)
            tape.layers.insert(0, LayerTape(inputs, trace, cotangent))
            _put_layer(results, layer, wanted, cotangent, inputs, trace.previous)
            by_inputs = transposed(cotangent.gi.flatten(1, 2), w_ih).view_as(inputs)
            by_outputs = _times(by_inputs, tape.masks.inputs[layer])
        self._put_embedding(results, weights, tape.batch, by_outputs, wanted)
        return results

    def hessian_product(
        self, weights: Weights, tape: Tape, direction: Weights, wanted: Wanted, spare: Weights | None = None
    ) -> dict[str, Tensor]:
        """Return the Hessian of each task's loss times a direction: the tangent of `gradient` (Pearlmutter 1994).

        Args:
            weights: weights at which the tape was computed.
            tape: tape of `gradient`.
            direction: stacked direction; zero for parameters that are not in it.
            wanted: parameters whose part of the product is needed.
            spare: an earlier product that is no longer needed; its largest tensor is reused, as allocating memory takes
                as long as a pass over it.
        """
        tangents, features = self._features_tangent(weights, tape, direction)
        projected = features
        if self.projects:
            projected = _affine_tangent(
                tape.features,
                features,
                weights["project.weight"],
                direction.get("project.weight"),
                direction.get("project.bias"),
            )
        results: dict[str, Tensor] = {}
        output = cross_entropy.backward_tangent(
            tape.slope,
            tape.projected,
            weights[self.output_weight],
            tape.batch.targets,
            Direction(projected, direction.get(self.output_weight), direction.get("linear.bias")),
            self._wanted_output(wanted),
            None if spare is None else spare.get(self.output_weight),
        )
        self._put_output(results, output)
        by_features = output.inputs
        if self.projects:
            by_features = self._project_back(weights, tape.features, output.inputs, wanted, results)
            if features is not None and "project.weight" in wanted:
                summed = wanted["project.weight"]
                results["project.weight"] += outer(tape.by_projected, features, summed=summed)
            if "project.weight" in direction:
                by_features = by_features + transposed(tape.by_projected, direction["project.weight"])
        by_outputs = _times(tape.batch.expand(by_features), tape.masks.output)
        for layer in reversed(range(self.layers)):
            part = _LayerProduct(layer, tangents[layer], direction, wanted)
            by_outputs = self._layer_back_tangent(weights, tape, part, by_outputs, results)
        self._put_embedding(results, weights, tape.batch, by_outputs, wanted)
        return results

    def _features_tangent(
        self, weights: Weights, tape: Tape, direction: Weights
    ) -> tuple[list[LayerTangents], Tensor | None]:
        """Return the tangents of each layer, and of the features; None for zero."""
        masks = tape.masks
        x = _times(self._embed(direction, tape.batch), masks.inputs[0]) if "embed.weight" in direction else None
        tangents: list[LayerTangents] = []
        for layer, at in enumerate(tape.layers):
            outputs, state = self._layer_tangent(weights, layer, at, x, direction)
            tangents.append((x, outputs, state))
            mask = masks.inputs[layer + 1] if layer + 1 < self.layers else masks.output
            x = None if outputs is None else _times(outputs, mask)
        return tangents, None if x is None else tape.batch.reduce(x)

    def _layer_tangent(
        self, weights: Weights, layer: int, at: LayerTape, x: Tensor | None, direction: Weights
    ) -> tuple[Tensor | None, object | None]:
        """Return the tangents of a layer's outputs and of its trace; None for zero."""
        w_ih, w_hh, b_ih, b_hh = _of_layer(layer)
        shape = at.inputs.shape[:-1]
        flat = None if x is None else x.flatten(1, 2)
        gi = _affine_tangent(at.inputs.flatten(1, 2), flat, weights[w_ih], direction.get(w_ih), direction.get(b_ih))
        gh = _affine_tangent(at.trace.previous.flatten(1, 2), None, None, direction.get(w_hh), direction.get(b_hh))
        if gi is None and gh is None:
            return None, None
        if gh is None:
            gh = torch.zeros_like(at.cotangent.gh).flatten(1, 2)
        return self.cell.tangent(
            at.trace,
            weights[w_hh],
            None if gi is None else gi.view(*shape, -1),
            gh.view(*shape, -1),
        )

    def _layer_back_tangent(
        self,
        weights: Weights,
        tape: Tape,
        part: _LayerProduct,
        by_outputs: Tensor,
        gradients: dict[str, Tensor],
    ) -> Tensor:
        """Differentiate a layer's backward pass; return the tangent of the derivative of its input."""
        layer, direction, wanted = part.layer, part.direction, part.wanted
        w_ih, w_hh, *_ = _of_layer(layer)
        at = tape.layers[layer]
        inputs, outputs, state = part.tangents
        gi, gh = at.cotangent.gi.flatten(1, 2), at.cotangent.gh.flatten(1, 2)
        states = None
        if w_hh in direction:
            states = transposed(gh, direction[w_hh]).view_as(by_outputs)
        tangent = self.cell.backward_tangent(at.trace, state, weights[w_hh], at.cotangent, by_outputs, states)
        _put_layer(gradients, layer, wanted, tangent, at.inputs, at.trace.previous)
        if inputs is not None and w_ih in wanted:
            gradients[w_ih] += outer(gi, inputs.flatten(1, 2), summed=wanted[w_ih])
        if outputs is not None and w_hh in wanted and outputs.shape[1] > 1:
            after, before = at.cotangent.gh[:, 1:].flatten(1, 2), outputs[:, :-1].flatten(1, 2)
            gradients[w_hh] += outer(after, before, summed=wanted[w_hh])
        by_inputs = transposed(tangent.gi.flatten(1, 2), weights[w_ih])
        if w_ih in direction:
            by_inputs = by_inputs.baddbmm_(gi, direction[w_ih])
        return _times(by_inputs.view_as(at.inputs), tape.masks.inputs[layer])

    def _project_back(
        self, weights: Weights, features: Tensor, by_projected: Tensor, wanted: Wanted, gradients: dict[str, Tensor]
    ) -> Tensor:
        if "project.weight" in wanted:
            gradients["project.weight"] = outer(by_projected, features, summed=wanted["project.weight"])
        if "project.bias" in wanted:
            gradients["project.bias"] = total(by_projected, summed=wanted["project.bias"])
        return transposed(by_projected, weights["project.weight"])

    def _wanted_output(self, wanted: Wanted) -> cross_entropy.Wanted:
        return cross_entropy.Wanted(wanted.get(self.output_weight), wanted.get("linear.bias"))

    def _put_output(self, gradients: dict[str, Tensor], output: OutputDerivatives) -> None:
        if output.weight is not None:
            gradients[self.output_weight] = output.weight
        if output.bias is not None:
            gradients["linear.bias"] = output.bias

    def _put_embedding(
        self, gradients: dict[str, Tensor], weights: Weights, batch: StackedBatch, by_rows: Tensor, wanted: Wanted
    ) -> None:
        """Add the derivatives of the looked-up rows; a tied embedding also has those of the output."""
        if "embed.weight" not in wanted:
            return
        summed = wanted["embed.weight"]
        tokens, count = batch.tokens, weights["embed.weight"].shape[-2]
        if not summed:
            tokens = tokens + torch.arange(len(tokens), device=tokens.device)[:, None, None] * count
        size = count if summed else count * len(tokens)
        part = by_rows.new_zeros(size, by_rows.shape[-1]).index_add_(0, tokens.flatten(), by_rows.flatten(0, 2))
        part = part if summed else part.view(len(tokens), count, -1)
        gradients["embed.weight"] = gradients["embed.weight"].add_(part) if self.tied else part


def _of_layer(layer: int) -> tuple[str, str, str, str]:
    """Return the names of a recurrent layer's weights: input, recurrent, and their biases."""
    return (
        f"rnn.weight_ih_l{layer}",
        f"rnn.weight_hh_l{layer}",
        f"rnn.bias_ih_l{layer}",
        f"rnn.bias_hh_l{layer}",
    )


def _put_layer(
    gradients: dict[str, Tensor], layer: int, wanted: Wanted, cotangent: Cotangent, inputs: Tensor, previous: Tensor
) -> None:
    """Add a recurrent layer's derivatives."""
    w_ih, w_hh, b_ih, b_hh = _of_layer(layer)
    gi, gh = cotangent.gi.flatten(1, 2), cotangent.gh.flatten(1, 2)
    if w_ih in wanted:
        gradients[w_ih] = outer(gi, inputs.flatten(1, 2), summed=wanted[w_ih])
    if w_hh in wanted:
        gradients[w_hh] = outer(gh, previous.flatten(1, 2), summed=wanted[w_hh])
    if b_ih in wanted:
        gradients[b_ih] = total(gi, summed=wanted[b_ih])
    if b_hh in wanted:
        gradients[b_hh] = total(gh, summed=wanted[b_hh])


def _affine_tangent(
    x: Tensor, d_x: Tensor | None, weight: Tensor | None, d_weight: Tensor | None, d_bias: Tensor | None
) -> Tensor | None:
    """Differentiate `x @ weight.T + bias`; None for zero. Tangents of weight and bias are stacked."""
    result = None if d_x is None or weight is None else product(d_x, weight)
    if d_weight is not None:
        result = plus(result, product(x, d_weight))
    if d_bias is not None:
        bias = d_bias[:, None]
        result = bias.expand(-1, x.shape[1], -1) if result is None else result.add_(bias)
    return result


def _times(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask
