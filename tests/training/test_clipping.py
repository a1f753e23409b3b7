"""The outer gradient is clipped as a whole: that of the model together with that of other learned tensors."""

from pathlib import Path

import pytest
import torch
from tests.training.ranks_program import sampler
from torch import Tensor

from metadialog.algorithms.base import Tools
from metadialog.algorithms.meta_sgd import MetaSGD
from metadialog.engines.learn2learn import Learn2LearnEngine
from metadialog.loggers.base import LoggedRun
from metadialog.loggers.local import LocalLogger
from metadialog.models.rnn import DialogModel
from metadialog.runs.run_directory import RunDirectory
from metadialog.runs.scalars_file import ScalarsFile
from metadialog.schedules.outer import constant
from metadialog.training.distributed import ALONE
from metadialog.training.options import TrainingOptions
from metadialog.training.trainer import Outer, Sinks, Trainer


def step(folder: Path, clip_norm: float | None) -> tuple[Tensor, Tensor]:
    """Take one outer step of gradient descent with a rate of 1; return the changes of weights and learned rates."""
    torch.manual_seed(0)
    model = DialogModel(
        261, cell="gru", embedding_size=4, hidden_size=6, layers=1, dropout=0.0, tied_embedding=False
    ).double()
    learner = MetaSGD(Tools(Learn2LearnEngine()), inner_lr=0.5, inner_steps=2)
    learner.prepare(model)
    learner.learned.double()
    parts = [list(model.parameters()), list(learner.learned.parameters())]
    before = [torch.nn.utils.parameters_to_vector(part).detach().clone() for part in parts]
    optimizer = torch.optim.SGD([*parts[0], *parts[1]], lr=1.0)
    folder.mkdir()
    with ScalarsFile(folder / "metrics.jsonl") as scalars:
        Trainer(
            model,
            learner,
            Outer(optimizer, constant(optimizer, 1, warmup_steps=0)),
            sampler("food", "humor"),
            sampler("emotion").batch(1),
            Sinks(RunDirectory(folder), scalars, LocalLogger(LoggedRun(folder, {}, "x"))),
            ALONE,
            TrainingOptions(steps=1, meta_batch=2, clip_norm=clip_norm, validate_every=1),
        ).run(lambda *_, **__: None)
    after = [torch.nn.utils.parameters_to_vector(part).detach() for part in parts]
    of_model, of_rates = (one - other for one, other in zip(after, before, strict=True))
    return of_model, of_rates


def test_learned_rates_are_clipped_with_the_weights(tmp_path: Path) -> None:
    free_model, free_rates = step(tmp_path / "free", None)
    norm = torch.cat([free_model, free_rates]).norm().item()
    assert free_rates.norm() > 0
    clip_norm = norm / 3
    model, rates = step(tmp_path / "clipped", clip_norm)
    assert torch.cat([model, rates]).norm().item() == pytest.approx(clip_norm, rel=1e-5)
    torch.testing.assert_close(model, free_model / 3, rtol=1e-5, atol=1e-12)
    torch.testing.assert_close(rates, free_rates / 3, rtol=1e-5, atol=1e-12)
