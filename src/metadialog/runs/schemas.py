"""The schemas of the JSON files of run and sweep directories, and functions that read them.

Unknown keys are ignored, so that later versions may add some; `format` marks incompatible versions.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from metadialog.runs.reading import MIB, read_json, read_json_lines

FORMAT = 1
"""Format version of run and sweep directories; files without the key are of version 0.1.0, which is 1."""

SCALARS_LIMIT = 2048 * MIB

Count = Annotated[int, Ge(0), Le(2**63)]
Amount = Annotated[float, Ge(0)]
Finite = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore", frozen=True)
# A grid or a metric may contain NaN, for a diverged loss.
AnyNumber = ConfigDict(strict=True, extra="ignore", frozen=True)


class Versioned(BaseModel):
    """Base class of files with a format version."""

    model_config = Finite
    format: Annotated[int, Ge(1)] = FORMAT

    @field_validator("format")
    @classmethod
    def _is_known(cls, version: int) -> int:
        if version > FORMAT:
            raise ValueError(f"should be at most {FORMAT} for this version: a later one has written it")
        return version


class Status(Versioned):
    """`status.json`."""

    status: Literal["running", "finished", "failed", "pruned", "interrupted"]
    reason: str | None = None
    command: str | None = None
    started: str | None = None
    ended: str | None = None
    seeds: dict[str, int | None] = Field(default_factory=dict)
    git_revision: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)


class ScalarLine(BaseModel):
    """A line of `metrics.jsonl`."""

    model_config = Finite
    step: Count
    split: str
    name: str
    value: float | None
    time: float


class TrainingCost(BaseModel):
    """The cost of meta-training.

    Attributes:
        steps: number of outer steps.
        tokens: number of tokens of support and query sets, counted for each gradient pass, without padding.
        seconds: time of the outer steps without validation, summed over all parts of a resumed run.
        peak_bytes: peak memory of the process since the beginning of training, minus the memory in use then: resident,
            or torch's on a GPU. 0 on systems that do not record it (without `/proc` like Linux, and without a GPU).
        flops: floating-point operations of the matrix products, as executed by this algorithm with this engine: some
        steps are counted (`is_counted`), and the others are estimated in proportion to `expected_flops`.
        dialogues: number of distinct dialogues that were drawn.
        counted_flops: operations of the counted steps since the algorithm last changed its passes.
        counted_expected: `expected_flops` of the same steps.
        engines: the engine that `engine=auto` has chosen for each kind of inner loop; a resumed run keeps it.
    """

    model_config = Finite
    steps: Count = 0
    tokens: Count = 0
    seconds: Amount = 0.0
    peak_bytes: Count = 0
    flops: Amount = 0.0
    dialogues: Count = 0
    counted_flops: Amount = 0.0
    counted_expected: Amount = 0.0
    engines: dict[str, str] = Field(default_factory=dict)


class EvaluationCost(BaseModel):
    """The cost of an evaluation."""

    model_config = Finite
    episodes: Count = 0
    tokens: Count = 0
    seconds: Amount = 0.0


class Costs(Versioned):
    """`cost.json`."""

    meta_train: TrainingCost | None
    evaluation: EvaluationCost | None = None


class SelectionPoint(BaseModel):
    """A point of the grid of inner rates and steps."""

    model_config = AnyNumber
    shots: Count
    rate: Annotated[float, Gt(0)]
    inner_step: Count
    loss: float


class SelectionFile(BaseModel):
    """`selection.json`."""

    model_config = AnyNumber
    episodes: Count
    grid: Annotated[list[SelectionPoint], Len(0, 1_000_000)]
    algorithm: str | None = None
    average: Literal["episodes", "tokens"] = "episodes"


class SampleLine(BaseModel):
    """A line of `samples.jsonl`."""

    model_config = Finite
    topic: str
    episode: Count
    shots: Count
    inner_step: Count
    context: str
    reference: str
    before: str
    after: str


class PrunerSettings(BaseModel):
    """Settings of the pruner."""

    model_config = Finite
    kind: Literal["median", "none"]
    trials: Count
    step: Count


class TrialFile(Versioned):
    """`trial.json`: the trial and study of a run."""

    storage: str
    study: str
    trial: Count
    pruner: PrunerSettings


class TrialRecord(Versioned):
    """A line of `trials.jsonl`."""

    number: Count
    state: Literal["finished", "pruned", "failed", "interrupted", "running", "missing"]
    value: float | None
    directory: str
    overrides: list[str]
    reason: str | None = None
    seconds: float | None = None

    @field_validator("directory")
    @classmethod
    def _is_inside(cls, name: str) -> str:
        parts = Path(name).parts
        if not parts or ".." in parts or Path(name).is_absolute():
            raise ValueError("should be a folder within the sweep's directory")
        return name


def _names_its_class(node: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node.get("_target_"), str):
        raise ValueError("should name a class in `_target_`")
    return node


Node = Annotated[dict[str, Any], AfterValidator(_names_its_class)]


class Adaptation(BaseModel):
    """How a saved model was adapted, if that is repeated when it is loaded."""

    model_config = Finite
    steps: Annotated[int, Ge(0), Le(10**6)]
    rate: Annotated[float, Gt(0), Le(1e6)]


class ModelConfig(BaseModel):
    """The config of an exported model."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow", frozen=True)
    model: Node
    algorithm: Node
    inner: Node
    objective: Node
    sampler: Node
    dtype: Literal["float32", "float64"]
    frozen: list[str] = Field(default_factory=list)
    generation: Node = Field(default_factory=dict)
    adaptation: Adaptation | None = None


class ExchangesConfig(BaseModel):
    """How dialogues are encoded as exchanges, from the node `sampler` of a model's config."""

    model_config = Finite
    context_turns: Annotated[int, Ge(1), Le(2**31)]
    max_tokens: Annotated[int, Ge(4), Le(2**31)]
    loss_on: Literal["response", "all"]


class CheckpointStanding(BaseModel):
    """The progress of training, in a checkpoint."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    step: Count
    best_loss: float
    best_step: Count


class Checksums(Versioned):
    """`checksums.json`: the SHA-256 of the files in its directory, by name."""

    sha256: dict[Annotated[str, Field(pattern=r"^[\w][\w.-]*$")], Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]]


class ConfigSource(BaseModel):
    """A folder or package on Hydra's search path."""

    model_config = AnyNumber
    path: str
    provider: str


class SweepFile(Versioned):
    """`sweep.json`."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="allow", frozen=True)
    arguments: list[str]
    hydra: list[str]
    config_sources: list[ConfigSource]
    folder: str
    space: list[str] | None = None
    options: dict[str, str] | None = None


Choice = Annotated[str, Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$")]
"""A name within a config group, not a path outside of it."""


class HydraRuntime(BaseModel):
    """Hydra's information about the process."""

    model_config = AnyNumber
    choices: dict[Annotated[str, Field(pattern=r"^[\w@/.-]+$")], Choice | None]
    cwd: str = ""
    config_sources: list[ConfigSource] = Field(default_factory=list)


class HydraOverrides(BaseModel):
    """The overrides of the user."""

    model_config = AnyNumber
    hydra: list[str] = Field(default_factory=list)
    task: list[str] = Field(default_factory=list)


class HydraNode(BaseModel):
    """The `hydra` node of Hydra's settings."""

    model_config = AnyNumber
    runtime: HydraRuntime
    overrides: HydraOverrides = Field(default_factory=HydraOverrides)


class HydraSettings(BaseModel):
    """`.hydra/hydra.yaml`, and `multirun.yaml`."""

    model_config = AnyNumber
    hydra: HydraNode


def read_status(path: Path) -> Status:
    """Read `status.json`.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json(path, Status, MIB, "status of a run")


def read_costs(path: Path) -> Costs:
    """Read `cost.json`.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json(path, Costs, MIB, "cost of a run")


def read_selection(path: Path) -> SelectionFile:
    """Read `selection.json`.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json(path, SelectionFile, 64 * MIB, "choice of inner rates and steps")


def read_scalars(path: Path) -> list[ScalarLine]:
    """Read `metrics.jsonl`; an incomplete last line is ignored.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json_lines(path, ScalarLine, SCALARS_LIMIT, "scalar of a run", torn_end=True)


def read_samples(path: Path) -> list[SampleLine]:
    """Read `samples.jsonl`.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json_lines(path, SampleLine, 2048 * MIB, "sample of a run")


def read_trial(path: Path) -> TrialFile:
    """Read `trial.json`.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json(path, TrialFile, MIB, "trial of a study")


def read_trials(path: Path) -> list[TrialRecord]:
    """Read `trials.jsonl`.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json_lines(path, TrialRecord, 512 * MIB, "record of a trial")


def read_sweep(path: Path) -> dict[str, Any]:
    """Read `sweep.json`.

    Raises:
        RunError: it is missing or damaged.
    """
    return read_json(path, SweepFile, 64 * MIB, "description of a sweep").model_dump()
