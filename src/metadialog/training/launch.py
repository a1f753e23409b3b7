"""The rank of this process, from the environment variables of torchrun and SLURM. Imports nothing heavy."""

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from metadialog.errors import ConfigError

# Range of ports at which the processes of a SLURM step meet; jobs on one node need different ones.
_FIRST_PORT = 20_000
_PORTS = 20_000


@dataclass(frozen=True, slots=True)
class RankInfo:
    """A process among those of one run.

    Attributes:
        rank: number of the process, from 0.
        size: number of processes.
        local_rank: number of the process among those on its machine.
    """

    rank: int
    size: int
    local_rank: int

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0


def rank_info(environment: Mapping[str, str] = os.environ) -> RankInfo | None:
    """Return the rank of this process; None if it is the only one.

    SLURM's variables count only if `srun` started the processes, as they are set in batch scripts too.

    Raises:
        ConfigError: the environment contradicts itself.
    """
    for rank, size, local in (
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    ):
        if rank in environment and size in environment:
            ranks = [_number(environment, name) for name in (rank, size, local)]
            if ranks[0] >= ranks[1]:
                raise ConfigError(f"{rank}={ranks[0]}: should be below {size}={ranks[1]}; start with torchrun or srun")
            return RankInfo(*ranks) if ranks[1] > 1 else None
    return None


def meet(environment: MutableMapping[str, str], here: RankInfo) -> None:
    """Set the address at which the processes of a SLURM step meet, as torchrun does, unless it is set."""
    if "MASTER_ADDR" not in environment:
        nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_NODELIST") or "127.0.0.1"
        environment["MASTER_ADDR"] = first_node(nodes)
    if "MASTER_PORT" not in environment:
        job, step = (_number(environment, name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
        environment["MASTER_PORT"] = str(_FIRST_PORT + (job * 7 + step) % _PORTS)
    environment["RANK"], environment["WORLD_SIZE"] = str(here.rank), str(here.size)


def first_node(nodes: str) -> str:
    """Return the first host of a SLURM host list: for `gpu[07-09,12],login` that is `gpu07`."""
    result = re.match(r"([^,\[]*)(?:\[([^\],-]+)[^\]]*\])?([^,\[]*)", nodes)
    return "".join(part or "" for part in result.groups()) if result else nodes


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "0")
    if not value.isdigit():
        raise ConfigError(f"{name}={value}: should be a number; torchrun and srun set it")
    return int(value)
