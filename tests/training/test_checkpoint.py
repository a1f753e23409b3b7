import os
import pickle
from pathlib import Path

import pytest
import torch

from metadialog.errors import RunError
from metadialog.training.checkpoint import load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last"
    state = {"model": {"weight": torch.randn(3, 2)}, "step": 7, "sampler": {"draws": [1, 2]}, "best": 0.25}
    save_checkpoint(path, state)
    loaded = load_checkpoint(path, CPU)
    assert torch.equal(loaded.pop("model")["weight"], state["model"]["weight"])  # type: ignore[index]
    assert loaded == {"step": 7, "sampler": {"draws": [1, 2]}, "best": 0.25}


def test_a_write_that_breaks_off_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "last"
    save_checkpoint(path, {"step": 1})

    class Unwritable:
        def __reduce__(self) -> str:
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(path, {"step": 2, "model": Unwritable()})
    assert load_checkpoint(path, CPU) == {"step": 1}


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"last: there is no checkpoint"):
        load_checkpoint(tmp_path / "last", CPU)


@pytest.mark.parametrize("length", [0, 1, 100, 600])
def test_a_cut_checkpoint_costs_one_line(tmp_path: Path, length: int) -> None:
    path = tmp_path / "last"
    save_checkpoint(path, {"step": 1, "model": {"weight": torch.zeros(100)}})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(RunError, match=r"last: no readable checkpoint") as caught:
        load_checkpoint(path, CPU)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "pwned"),)

    path = tmp_path / "last"
    torch.save({"step": Hostile()}, path)
    with pytest.raises(RunError, match="no readable checkpoint"):
        load_checkpoint(path, CPU)
    path.write_bytes(pickle.dumps({"step": Hostile()}, protocol=2))
    with pytest.raises(RunError, match="no readable checkpoint"):
        load_checkpoint(path, CPU)
    assert not (tmp_path / "pwned").exists()
