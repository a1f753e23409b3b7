import pytest

from metadialog.errors import ConfigError
from metadialog.training.launch import RankInfo, first_node, meet, rank_info


def test_torchrun_says_who_is_who() -> None:
    assert rank_info({"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == RankInfo(3, 8, 1)


def test_srun_says_who_is_who() -> None:
    assert rank_info({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0"}) == RankInfo(0, 4, 0)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"},  # a batch script, without srun
    ],
    ids=["by hand", "torchrun with one process", "sbatch"],
)
def test_one_process_is_alone(environment: dict[str, str]) -> None:
    assert rank_info(environment) is None


def test_an_environment_that_contradicts_itself_is_named() -> None:
    with pytest.raises(ConfigError, match="RANK=2: should be below WORLD_SIZE=2"):
        rank_info({"RANK": "2", "WORLD_SIZE": "2"})
    with pytest.raises(ConfigError, match="WORLD_SIZE=many: should be a number"):
        rank_info({"RANK": "2", "WORLD_SIZE": "many"})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("gpu01,gpu02", "gpu01"),
        ("gpu[07-09,12],login", "gpu07"),
        ("rack1-n[3,5]", "rack1-n3"),
        ("a[1-2]b", "a1b"),
    ],
)
def test_the_first_of_slurms_nodes(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_the_processes_of_a_step_meet_where_those_of_another_do_not() -> None:
    here, ports = RankInfo(1, 2, 1), set()
    for job, step in (("17", "0"), ("17", "1"), ("18", "0")):
        environment = {"SLURM_STEP_NODELIST": "gpu[3-4]", "SLURM_JOB_ID": job, "SLURM_STEP_ID": step}
        meet(environment, here)
        assert (environment["MASTER_ADDR"], environment["RANK"], environment["WORLD_SIZE"]) == ("gpu3", "1", "2")
        ports.add(environment["MASTER_PORT"])
    assert len(ports) == 3


def test_what_is_said_of_the_meeting_place_stays() -> None:
    environment = {"MASTER_ADDR": "here", "MASTER_PORT": "1234"}
    meet(environment, RankInfo(0, 2, 0))
    assert (environment["MASTER_ADDR"], environment["MASTER_PORT"]) == ("here", "1234")
