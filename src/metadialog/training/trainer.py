"""The outer loop."""

import contextlib
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metadialog.algorithms.base import Algorithm, OuterStep
from metadialog.episodes import Episode
from metadialog.errors import LostError, PrunedError, RunError
from metadialog.evaluation.adaptation import mean_losses, validation_losses
from metadialog.evaluation.together import in_groups
from metadialog.interrupts import deferred
from metadialog.loggers.base import Logger
from metadialog.memory import PeakMemory, measure
from metadialog.operations import OperationCounter
from metadialog.progress import Report
from metadialog.randomness import derive
from metadialog.runs.run_directory import RunDirectory
from metadialog.runs.scalars_file import ScalarsFile, Split
from metadialog.samplers.base import Sampler
from metadialog.sweeps.trial import NoTrial, Trial
from metadialog.text import counted
from metadialog.training.checkpoint import Checkpoints
from metadialog.training.cost import (
    TrainingMeter,
    count_sets,
    count_weights,
    expected_flops,
    goes_elsewhere,
    is_counted,
)
from metadialog.training.distributed import Ranks
from metadialog.training.not_a_number import Guard, diverged, where_not_finite
from metadialog.training.options import TrainingOptions
from metadialog.training.restoring import restore_optimizer, restore_schedule, restoring
from metadialog.training.resume import Origin
from metadialog.training.unsaved_state import UnsavedState


@dataclass(slots=True)
class Standing:
    """The progress of training.

    Attributes:
        step: number of outer steps taken.
        best_loss: lowest validation loss after adaptation so far, nats.
        best_step: outer step at which it was measured.
        validations_since: number of validations since then.
        validated: outer step of the last validation; -1 before the first.
    """

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    validations_since: int = 0
    validated: int = -1


@dataclass(frozen=True, slots=True)
class Outer:
    """The outer optimizer and its schedule."""

    optimizer: Optimizer
    schedule: LRScheduler


@dataclass(frozen=True, slots=True)
class _Executed:
    """The part of an outer step computed by this process: tokens of support and query sets, operations if counted."""

    tokens: tuple[int, int]
    operations: int | None


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where training writes and logs its results."""

    run: RunDirectory
    scalars: ScalarsFile
    logger: Logger
    trial: Trial = field(default_factory=NoTrial)

    def log(self, step: int, split: Split, values: dict[str, float]) -> None:
        """Write to the local file, which is authoritative, and to the logger."""
        self.scalars.log(step, split, values)
        self.logger.log(step, split, values)


_RENAMED = {"fruitless": "validations_since"}
"""Names of fields of `Standing` in checkpoints of version 0.1.0, and their current names."""


class Trainer:
    """Runs the outer loop, with validation, checkpoints and early stopping.

    Args:
        model: is trained in place.
        algorithm: computes the outer gradient, and adapts in validation.
        outer: the outer optimizer and its schedule.
        sampler: source of training episodes.
        validation: episodes of the meta-validation topics.
        sinks: where to write scalars and checkpoints.
        ranks: the processes that share the tasks of a meta-batch and the episodes of a validation; the first one
            writes.
        options: options of the outer loop; the caller draws the validation episodes and freezes the parts of the model
            accordingly.
    """

    def __init__(
        self,
        model: nn.Module,
        algorithm: Algorithm,
        outer: Outer,
        sampler: Sampler,
        validation: Sequence[Episode],
        sinks: Sinks,
        ranks: Ranks,
        options: TrainingOptions,
    ) -> None:
        self.model = model
        self.algorithm = algorithm
        self.outer = outer
        self.sampler = sampler
        self.validation = validation
        self.sinks = sinks
        self.ranks = ranks
        self.checkpoints = Checkpoints(sinks.run.last, sinks.run.best)
        self.steps = options.steps if algorithm.trains else 0
        self.meta_batch = options.meta_batch
        self.clip_norm = options.clip_norm
        self.validate_every = options.validate_every
        self.patience = options.patience
        algorithm.check_processes(ranks.size)
        self.standing = Standing()
        self.origin: Origin | None = None  # inputs in addition to the config, checked when resuming
        self.cost = TrainingMeter()
        self.memory: PeakMemory | None = None  # measured from the first training step on
        self.weights = count_weights(model)
        self.device = next(model.parameters()).device
        self.trained = [*model.parameters(), *algorithm.learned.parameters()]
        self._guard = Guard(algorithm, self.trained, options.nan)
        # State before the next step; the sampler's own state advances as soon as it draws.
        self._sampled = sampler.state_dict()
        # A step's random numbers derive from this and its number, so they are the same on every process and after a
        # resume.
        self._seed = int(torch.randint(2**63 - 1, ()))

    def run(self, report: Report) -> Standing:
        """Train until the last step, or until patience runs out.

        Returns:
            The progress. The model has the weights of the best validation.

        Raises:
            RunError: the loss or the gradient is not finite, or no validation loss was.
        """
        try:
            self._train(report)
        except (KeyboardInterrupt, LostError):
            # An interrupted step has changed nothing, so training can be resumed before it.
            with deferred():
                self._save()
            raise
        if not math.isfinite(self.standing.best_loss):
            raise RunError(
                f"no validation loss after adaptation was finite in {counted(self.standing.step, 'step')}; "
                "lower algorithm.inner_lr or algorithm.inner_steps"
            )
        drawn = self.sampler.dialogues_drawn(self.standing.step * self.meta_batch)
        self.cost.dialogues = max(self.cost.dialogues, drawn)
        best = self.ranks.share(self.checkpoints.best)
        self.model.load_state_dict(best["model"])
        self.algorithm.learned.load_state_dict(best["learned"])
        return self.standing

    def _train(self, report: Report) -> None:
        unsaved = UnsavedState(self.algorithm)
        news = self._validate() if self._is_validation_due() else ""
        self.memory = measure(self.device)
        while self.standing.step < self.steps and not self._is_out_of_patience():
            step = self.step()
            at_validation = self._is_validation_due()
            if at_validation or self.standing.step == 1:
                unsaved.check()
            if at_validation:
                news = self._validate()
            report(self.standing.step, f"meta-loss {step.loss:.3f}  {news}", notable=at_validation)

    def _is_validation_due(self) -> bool:
        step = self.standing.step
        return self.standing.validated < step and (step % self.validate_every == 0 or step == self.steps)

    def _is_out_of_patience(self) -> bool:
        return self.patience is not None and self.standing.validations_since >= self.patience

    def step(self) -> OuterStep:
        """Take one outer step, and log its losses.

        Returns:
            The losses of the whole meta-batch.

        Raises:
            RunError: the loss or the gradient is not finite.
        """
        began = time.perf_counter()
        result, norm, tokens, executed = self._gradient()
        lr = self.outer.optimizer.param_groups[0]["lr"]
        with deferred():
            self.outer.optimizer.step()
            self.outer.schedule.step()
            self.outer.optimizer.zero_grad()
            self.standing.step += 1
            self._sampled = self.sampler.state_dict()
            seconds = time.perf_counter() - began
            self._account(tokens, executed, seconds)
            values = {
                "meta_loss": result.loss,
                "support_loss": result.support_loss,
                "query_loss": result.query_loss,
                "gradient_norm": norm,
                "lr": lr,
                "tasks_per_second": self.meta_batch / seconds,
            }
            self.sinks.scalars.log(self.standing.step, "meta_train", values)
        self.sinks.logger.log(self.standing.step, "meta_train", values)
        return result

    def _account(self, tokens: tuple[int, int], executed: "_Executed", seconds: float) -> None:
        """Add the last outer step to the cost of training."""
        step = self.standing.step - 1
        passes = self.algorithm.passes(step)
        self.cost.engines = dict(self._chosen)
        self.cost.add(tokens, passes, seconds, self.memory.bytes() if self.memory else 0)
        self.cost.add_flops(
            expected_flops(self.weights, tokens, passes),
            expected_flops(self.weights, executed.tokens, passes),
            executed.operations,
            restart=goes_elsewhere(self.algorithm, step),
        )

    @property
    def _chosen(self) -> dict[str, str]:
        """The choices of the engine so far, if it chooses among others."""
        chosen: dict[str, str] = getattr(self.algorithm.tools.engine, "chosen", {})
        return chosen

    def _gradient(self) -> tuple[OuterStep, float, tuple[int, int], "_Executed"]:
        """Put the gradient of the whole meta-batch, clipped, into the parameters' `.grad`.

        Returns:
            The losses of the whole meta-batch, the norm, the number of tokens of the support and of the query sets, and
            the part executed by this process.

        Raises:
            RunError: one of them is not finite.
        """
        part = self.ranks.part_of(self.meta_batch)
        tasks = len(range(self.meta_batch)[part])
        # A process without a task computes one with weight 0, so that its gradient has the same shape as the others'.
        drawn = self.sampler.batch(self.meta_batch, part if tasks else slice(1))
        episodes = [episode.to(self.device) for episode in drawn]
        step, seed = self.standing.step, derive(self._seed, self.standing.step)
        self.model.train()
        counter = OperationCounter() if is_counted(self.algorithm, self.standing.step) else None
        with counter or contextlib.nullcontext():
            result, kept = self._guard.outer_step(self.model, episodes, step, seed)
        executed = _Executed(result.tokens or count_sets(episodes), None if counter is None else counter.total)
        own = executed.tokens if tasks else (0, 0)
        result, tokens = self.ranks.combine(self.trained, result, min(tasks, len(kept)), own)
        with_gradient = [p for p in self.trained if p.grad is not None]
        if not with_gradient:
            raise RunError(
                f"algorithm={self.algorithm.name}: its outer_step has set the `.grad` of no "
                "parameter, so nothing would be trained; see metadialog.algorithms.base.assign_gradients"
            )
        norm = nn.utils.clip_grad_norm_(with_gradient, self.clip_norm or math.inf).item()
        if not math.isfinite(result.loss) or not math.isfinite(norm):
            mine = self._guard.blame(self.model, episodes, step, seed) if tasks else []
            named = self.ranks.collect({self.ranks.rank: mine})  # each process has only its own tasks
            raise diverged(step + 1, result.loss, norm, list(itertools.chain(*named.values())))
        return result, norm, tokens, executed

    def _validate(self) -> str:
        """Measure the loss on meta-validation topics before and after adaptation; write the checkpoints."""
        losses = in_groups(
            self.model,
            self.validation,
            lambda some: validation_losses(self.model, self.algorithm, some),
            self.ranks.map,
        )
        before, after = mean_losses(losses)
        values = {"loss_before": before, "loss_after": after, "gain": before - after}
        # Before the checkpoint: if the run is killed in between, it reports again, with the same answer.
        why = self.ranks.share(lambda: self.sinks.trial.report(self.standing.step, after))
        if why is not None:
            raise PrunedError(why)
        with deferred():
            self.sinks.scalars.log(self.standing.step, "meta_validation", values)
            self._save(is_best=self._judge(math.inf if math.isnan(after) else after))
        self.sinks.logger.log(self.standing.step, "meta_validation", values)
        return f"validation {before:.3f} -> {after:.3f}{where_not_finite(self.validation, losses)}"

    def _judge(self, loss: float) -> bool:
        """Record a validation loss; return whether it is the best so far."""
        self.standing.validated = self.standing.step
        is_best = loss < self.standing.best_loss or self.standing.step == 0
        if is_best:
            self.standing.best_loss, self.standing.best_step = loss, self.standing.step
            self.standing.validations_since = 0
        else:
            self.standing.validations_since += 1
        return is_best

    def _save(self, *, is_best: bool = False) -> None:
        if self.ranks.is_first:
            self.checkpoints.save(self.state_dict, self._learned_state() if is_best else None)

    def _learned_state(self) -> dict[str, Any]:
        """Return all that the outer loop has learned."""
        return {"model": self.model.state_dict(), "learned": self.algorithm.learned.state_dict()}

    def state_dict(self) -> dict[str, Any]:
        """Return the state for resuming.

        Raises:
            OSError: the scalars up to this step cannot be written.
        """
        return {
            "standing": asdict(self.standing),
            "cost": self.cost.model_dump(),
            **self._learned_state(),
            "optimizer": self.outer.optimizer.state_dict(),
            "schedule": self.outer.schedule.state_dict(),
            "sampler": self._sampled,
            "seed": self._seed,
            "metrics_position": self.sinks.scalars.position(),
            "logger_run_id": self.sinks.logger.run_id,
            "origin": None if self.origin is None else self.origin.to_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state; scalars that were written after it are dropped.

        Raises:
            RunError: the state belongs to other dialogues, or to another model, optimizer, schedule or sampler.
        """
        path = self.sinks.run.last
        if self.origin is not None:
            self.origin.check(state, path)
        with restoring(path):
            standing = {_RENAMED.get(name, name): value for name, value in state["standing"].items()}
            self.standing = Standing(**standing)
            self.cost = TrainingMeter(**state["cost"])
            self._chosen.update(self.cost.engines)
            self.model.load_state_dict(state["model"])
            self.algorithm.learned.load_state_dict(state["learned"])
            restore_optimizer(self.outer.optimizer, state["optimizer"])
            restore_schedule(self.outer.schedule, state["schedule"])
            self.sampler.load_state_dict(state["sampler"])
            self._sampled = self.sampler.state_dict()
            self._seed = state["seed"]
        if self.ranks.is_first:
            self.sinks.scalars.truncate(state["metrics_position"])
