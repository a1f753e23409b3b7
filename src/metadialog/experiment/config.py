"""The options of the commands that train or use a model, typed: what `conf/<command>.yaml` names in `_target_`.

A field whose type is `Node` is the config node of one part; the class that it names in its own `_target_` is the
schema of what is in it. Nothing heavy is imported here, as every command line is checked against these classes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import AfterValidator

Node = dict[str, Any]


def _device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name) is None:
        raise ValueError("should be auto, cpu, cuda, one of several GPUs such as cuda:1, or mps")
    return name


Device = Annotated[str, AfterValidator(_device)]
"""Where to compute; `auto` is a CUDA GPU where there is one."""
Seed = Annotated[int, Ge(0), Lt(2**32)]
"""As numpy takes it."""
Threads = Annotated[int, Ge(1), Le(1024)]
Directory = Annotated[str, MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class LearningConfig:
    """How a topic is adapted to.

    Attributes:
        algorithm: the algorithm.
        start: what the outer loop starts from.
        inner: the inner loop's update rule.
        objective: what the two levels minimise.
        engine: the engine.
    """

    algorithm: Node
    start: Node
    inner: Node
    objective: Node
    engine: Node

    @classmethod
    def of(cls, nodes: Mapping[str, Any]) -> Self:
        """Return the config of this type that a composed config holds; what else is in it is left out."""
        return cls(**{field.name: nodes[field.name] for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class ModelConfig(LearningConfig):
    """What a model is adapted to, and where that is computed.

    Attributes:
        dataset: the data set.
        sampler: the sampler of episodes, which says how exchanges are made.
        generation: the generation of replies.
        device: to compute on.
        cache: the folder that downloads and prepared data are kept in; None for the usual one.
    """

    command: ClassVar[str]

    dataset: Node
    sampler: Node
    generation: Node
    device: Device
    cache: str | None


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(ModelConfig):
    """What decides how held-out topics are evaluated, the same for `train` and `evaluate`.

    Attributes:
        split: the split of the data set's topics.
        evaluation: the protocol on held-out topics.
        logger: the logger.
        seed: of the initialisation, of dropout and of the training episodes; it stands in the records.
        threads: CPU threads; None for one a core.
    """

    split: Node
    evaluation: Node
    logger: Node
    seed: Seed
    threads: Threads | None

    @property
    def seeds(self) -> dict[str, int]:
        """The seeds of a run by what they are for."""
        return {"seed": self.seed, "evaluation": self.evaluation["seed"]}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(EvaluationConfig):
    """`metadialog train`: meta-train a model, and evaluate it.

    Attributes:
        tokenizer: the tokenizer.
        model: the model.
        embedding: what its token embedding starts from.
        optimizer: the outer optimizer.
        schedule: its schedule.
        training: the outer loop.
        dtype: of the parameters.
        resume: the run directory to go on with; None for a new run.
    """

    command: ClassVar[str] = "train"

    tokenizer: Node
    model: Node
    embedding: Node
    optimizer: Node
    schedule: Node
    training: Node
    dtype: Literal["float32", "float64"]
    resume: Annotated[str, MinLen(1)] | None

    @property
    def seeds(self) -> dict[str, int]:
        """The seeds of a run by what they are for."""
        return {"seed": self.seed, "split": self.split.get("seed", 0), "evaluation": self.evaluation["seed"]}


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(EvaluationConfig):
    """`metadialog evaluate`: evaluate a finished run again.

    Attributes:
        run: the directory of the finished run.
    """

    command: ClassVar[str] = "evaluate"

    run: Directory


@dataclass(frozen=True, kw_only=True)
class PredictConfig(ModelConfig):
    """`metadialog predict`: answer a test specification with a finished run.

    Attributes:
        run: the directory of the finished run.
        specification: path of the test specification.
    """

    command: ClassVar[str] = "predict"

    run: Directory
    specification: Directory
