"""The outer loop."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metadialog.algorithms.base import Algorithm, OuterStep
from metadialog.episodes import Episode
from metadialog.errors import RunError
from metadialog.evaluation.adaptation import validate
from metadialog.loggers.base import Logger, Split
from metadialog.loggers.metrics_file import MetricsFile
from metadialog.samplers.base import Sampler
from metadialog.sweeps.trial import NoTrial, Trial
from metadialog.training.checkpoint import load_checkpoint, save_checkpoint
from metadialog.training.cost import Cost, count_weights
from metadialog.training.progress import Report
from metadialog.training.run_directory import RunDirectory


@dataclass(slots=True)
class Standing:
    """How far training is.

    Attributes:
        step: outer steps that are done.
        best_loss: lowest validation loss after adaptation so far, nats.
        best_step: the outer step that it was measured after.
        fruitless: validations since then.
    """

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    fruitless: int = 0


@dataclass(frozen=True, slots=True)
class Outer:
    """What an outer step changes beside the model."""

    optimizer: Optimizer
    schedule: LRScheduler


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where training leaves what it has to tell."""

    run: RunDirectory
    metrics: MetricsFile
    logger: Logger
    trial: Trial = NoTrial()

    def log(self, step: int, split: Split, values: dict[str, float]) -> None:
        """Write to the local metrics, which are the truth, and to the logger, which is a view of them."""
        self.metrics.log(step, split, values)
        self.logger.log(step, split, values)


class Trainer:
    """Runs the outer loop, with validation, checkpoints and early stopping.

    Args:
        model: is trained in place.
        algorithm: computes the outer gradient, and adapts for validation.
        outer: the outer optimizer and its schedule.
        sampler: the source of training episodes.
        validation: episodes of the meta-validation topics.
        sinks: where metrics and checkpoints go.
        steps: outer steps.
        meta_batch: tasks in an outer step.
        clip_norm: the gradient is scaled down to this norm; None for no limit.
        validate_every: outer steps between validations, and between checkpoints.
        validation_episodes: episodes of each meta-validation topic (drawn by the caller).
        patience: validations without a new best before training stops; None to never stop early.
    """

    def __init__(
        self,
        model: nn.Module,
        algorithm: Algorithm,
        outer: Outer,
        sampler: Sampler,
        validation: Sequence[Episode],
        sinks: Sinks,
        *,
        steps: Annotated[int, Ge(0)],
        meta_batch: Annotated[int, Ge(1)],
        clip_norm: Annotated[float, Gt(0)] | None,
        validate_every: Annotated[int, Ge(1)],
        validation_episodes: Annotated[int, Ge(1)],  # noqa: ARG002 - the episodes are made with it
        patience: Annotated[int, Ge(1)] | None,
    ) -> None:
        self.model = model
        self.algorithm = algorithm
        self.outer = outer
        self.sampler = sampler
        self.validation = validation
        self.sinks = sinks
        self.steps = steps if algorithm.trains else 0
        self.meta_batch = meta_batch
        self.clip_norm = clip_norm
        self.validate_every = validate_every
        self.patience = patience
        self.standing = Standing()
        self.cost = Cost()
        self.weights = count_weights(model)
        self.device = next(model.parameters()).device
        self.trained = [*model.parameters(), *algorithm.learned.parameters()]

    def run(self, report: Report) -> Standing:
        """Train until the last step, or until patience runs out.

        Returns:
            How far training came. The model is as it was at the best validation.

        Raises:
            RunError: the loss or the gradient is no longer a finite number, or no validation loss ever was.
        """
        news = ""
        if self.standing.step == 0:
            news = self._validate()
        while self.standing.step < self.steps and not self._is_out_of_patience():
            step = self._step()
            at_validation = self.standing.step % self.validate_every == 0 or self.standing.step == self.steps
            if at_validation:
                news = self._validate()
            report(self.standing.step, f"meta-loss {step.loss:.3f}  {news}", notable=at_validation)
        if not math.isfinite(self.standing.best_loss):
            raise RunError(
                f"no validation loss after adaptation was a finite number in {self.standing.step} steps; "
                "lower algorithm.inner_lr or algorithm.inner_steps"
            )
        best = load_checkpoint(self.sinks.run.best, self.device)
        self.model.load_state_dict(best["model"])
        self.algorithm.learned.load_state_dict(best["learned"])
        return self.standing

    def _is_out_of_patience(self) -> bool:
        return self.patience is not None and self.standing.fruitless >= self.patience

    def _step(self) -> OuterStep:
        """Take one outer step."""
        began = time.perf_counter()
        episodes = [episode.to(self.device) for episode in self.sampler.batch(self.meta_batch)]
        self.model.train()
        result = self.algorithm.outer_step(self.model, episodes, self.standing.step)
        trainable = [p for p in self.trained if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(trainable, self.clip_norm or math.inf).item()
        if not math.isfinite(result.loss) or not math.isfinite(norm):
            raise RunError(
                f"training diverged at step {self.standing.step + 1}: meta-loss {result.loss}, gradient norm "
                f"{norm}; lower algorithm.inner_lr or optimizer.lr, or set training.clip_norm"
            )
        lr = self.outer.optimizer.param_groups[0]["lr"]
        self.outer.optimizer.step()
        self.outer.schedule.step()
        self.outer.optimizer.zero_grad()
        self.standing.step += 1
        seconds = time.perf_counter() - began
        self.cost.add(self.weights, episodes, self.algorithm.passes(self.standing.step - 1), seconds)
        self.sinks.log(
            self.standing.step,
            "meta_train",
            {
                "meta_loss": result.loss,
                "support_loss": result.support_loss,
                "query_loss": result.query_loss,
                "gradient_norm": norm,
                "lr": lr,
                "tasks_per_second": self.meta_batch / seconds,
            },
        )
        return result

    def _validate(self) -> str:
        """Measure the loss on held-out topics before and after adaptation; write the checkpoints."""
        before, after = validate(self.model, self.algorithm, self.validation)
        self.sinks.log(
            self.standing.step,
            "meta_validation",
            {"loss_before": before, "loss_after": after, "gain": before - after},
        )
        # Before the checkpoint: a run that is killed in between reports again, and hears the same.
        self.sinks.trial.report(self.standing.step, after)
        after_or_worst = math.inf if math.isnan(after) else after
        is_best = after_or_worst < self.standing.best_loss or self.standing.step == 0
        if is_best:
            self.standing.best_loss, self.standing.best_step = after_or_worst, self.standing.step
            self.standing.fruitless = 0
        else:
            self.standing.fruitless += 1
        state = self.state_dict()
        if is_best:
            save_checkpoint(self.sinks.run.best, state)
        save_checkpoint(self.sinks.run.last, state)
        return f"validation {before:.3f} -> {after:.3f}"

    def state_dict(self) -> dict[str, Any]:
        """Return all that going on from here needs, down to the state of the random generators."""
        state = {
            "standing": asdict(self.standing),
            "cost": self.cost.to_dict(),
            "model": self.model.state_dict(),
            "learned": self.algorithm.learned.state_dict(),
            "optimizer": self.outer.optimizer.state_dict(),
            "schedule": self.outer.schedule.state_dict(),
            "sampler": self.sampler.state_dict(),
            "metrics_position": self.sinks.metrics.position(),
            "logger_run_id": self.sinks.logger.run_id,
            "random_state": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["cuda_random_state"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the metrics that were written after it are dropped."""
        self.standing = Standing(**state["standing"])
        self.cost = Cost(**state["cost"])
        self.model.load_state_dict(state["model"])
        self.algorithm.learned.load_state_dict(state["learned"])
        self.outer.optimizer.load_state_dict(state["optimizer"])
        self.outer.schedule.load_state_dict(state["schedule"])
        self.sampler.load_state_dict(state["sampler"])
        self.sinks.metrics.truncate(state["metrics_position"])
        torch.set_rng_state(state["random_state"].cpu())
        if "cuda_random_state" in state:
            torch.cuda.set_rng_state(state["cuda_random_state"].cpu(), self.device)
