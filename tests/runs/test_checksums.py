"""A single changed byte in a checkpoint or an exported model is detected."""

import random
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from metadialog.errors import RunError
from metadialog.runs.checksums import check_checksums, remove_checksums, write_checksums
from metadialog.training.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint

OLD = Path(__file__).parents[1] / "fixtures" / "version_0_1_0" / "broken_off" / "checkpoints" / "last"
CPU = torch.device("cpu")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of this version."""
    path = tmp_path / "checkpoints" / "last"
    save_checkpoint(path, load_checkpoint(OLD, CPU))
    return path


def test_a_checkpoint_comes_back_as_it_was(checkpoint: Path) -> None:
    before, after = load_checkpoint(OLD, CPU), load_checkpoint(checkpoint, CPU)
    assert before.keys() == after.keys()
    torch.testing.assert_close(after["model"], before["model"], rtol=0, atol=0)
    assert after["standing"] == before["standing"]


def test_every_changed_byte_of_a_checkpoint_is_noticed(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    draw = random.Random(0)
    places = [*draw.sample(range(len(whole)), 150), *range(len(whole) - 110, len(whole))]
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << draw.randrange(8)
        checkpoint.write_bytes(changed)
        with pytest.raises(RunError, match=r"checkpoints/last: no readable checkpoint: "):
            load_checkpoint(checkpoint, CPU)


def test_a_changed_number_in_an_old_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last"
    shutil.copy(OLD, path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        part = max(archive.infolist(), key=lambda info: info.file_size)
    content[part.header_offset + part.file_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"its checksum is another"):
        load_checkpoint(path, CPU)


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(RunError, match=r"its parts are compressed"):
        load_checkpoint(path, CPU)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"standing": None}, "no standing of a run"),
        ({"standing": {"step": -1, "best_loss": 1.0, "best_step": 0}}, "step is -1; it should be greater"),
        ({"model": {"a": 1}}, "model should hold tensors by name"),
        ({"metrics_position": "far"}, "metrics_position and seed should be whole numbers"),
        ("optimizer", "it lacks optimizer"),
    ],
)
def test_a_checkpoint_of_something_else_costs_one_line(tmp_path: Path, change: object, message: str) -> None:
    state = load_checkpoint(OLD, CPU)
    if isinstance(change, dict):
        state |= change
    else:
        del state[str(change)]
    save_checkpoint(tmp_path / "last", state)
    with pytest.raises(RunError, match=message) as refused:
        read_checkpoint(tmp_path / "last")
    assert "\n" not in str(refused.value)


def test_a_changed_file_is_named_by_the_checksums_beside_it(tmp_path: Path) -> None:
    for name in ("a.bin", "b.json"):
        (tmp_path / name).write_text(name)
    check_checksums(tmp_path)  # there are no checksums
    write_checksums(tmp_path, ["a.bin", "b.json"])
    check_checksums(tmp_path)
    (tmp_path / "b.json").write_text("b.jsom")
    with pytest.raises(RunError, match=r"b\.json: has been changed since it was written"):
        check_checksums(tmp_path)
    remove_checksums(tmp_path)
    check_checksums(tmp_path)
    (tmp_path / "checksums.json").write_text('{"sha256": {"../a": "' + "0" * 64 + '"}}')
    with pytest.raises(RunError, match=r"checksums\.json: no checksums of a model"):
        check_checksums(tmp_path)
