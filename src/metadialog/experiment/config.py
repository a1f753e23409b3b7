"""Typed options of the commands that train or evaluate a model; `conf/<command>.yaml` names them in `_target_`.

A field of type `Node` is the config node of one part; its schema is the class that the node names in its own
`_target_`. Nothing heavy is imported here, as every command line is checked against these classes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import AfterValidator


def _chosen(node: dict[str, Any]) -> dict[str, Any]:
    if "_target_" not in node:
        raise ValueError("should be a choice of its group by name; its options come after that")
    return node


Node = Annotated[dict[str, Any], AfterValidator(_chosen)]


def _device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name) is None:
        raise ValueError("should be auto, cpu, cuda, one of several GPUs such as cuda:1, or mps")
    return name


Device = Annotated[str, AfterValidator(_device)]
"""Device to compute on; `auto` is a CUDA GPU if there is one."""
Seed = Annotated[int, Ge(0), Lt(2**32)]
"""Seed in the range that numpy accepts."""
Threads = Annotated[int, Ge(1), Le(1024)]
Directory = Annotated[str, MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class LearningConfig:
    """How a topic is adapted to.

    Attributes:
        algorithm: the algorithm.
        start: starting point of the outer loop.
        inner: the inner loop's update rule.
        objective: losses that the inner and the outer loop minimise.
        engine: the engine.
    """

    algorithm: Node
    start: Node
    inner: Node
    objective: Node
    engine: Node

    @classmethod
    def of(cls, nodes: Mapping[str, Any]) -> Self:
        """Return the part of a composed config that has this type; other keys are ignored."""
        return cls(**{field.name: nodes[field.name] for field in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class ModelConfig(LearningConfig):
    """The data and the device of an adaptation.

    Attributes:
        dataset: the data set.
        sampler: the sampler of episodes, which defines how exchanges are encoded.
        generation: how replies are generated.
        device: device to compute on.
        cache: folder of downloads and prepared data; None for the default.
    """

    command: ClassVar[str]

    dataset: Node
    sampler: Node
    generation: Node
    device: Device
    cache: str | None


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(ModelConfig):
    """Options of the evaluation on held-out topics, shared by `train` and `evaluate`.

    Attributes:
        split: the split of the data set's topics.
        evaluation: the protocol on held-out topics.
        logger: the logger.
        seed: seed of the initialisation, of dropout and of the training episodes; written to the records.
        threads: number of CPU threads; None for one per core.
    """

    split: Node
    evaluation: Node
    logger: Node
    seed: Seed
    threads: Threads | None

    @property
    def seeds(self) -> dict[str, int]:
        """The seeds of a run by purpose."""
        return {"seed": self.seed, "evaluation": self.evaluation["seed"]}


@dataclass(frozen=True, kw_only=True)
class TrainConfig(EvaluationConfig):
    """`metadialog train`: meta-train a model, and evaluate it.

    Attributes:
        tokenizer: the tokenizer.
        model: the model.
        embedding: initialisation of the token embedding.
        optimizer: the outer optimizer.
        schedule: learning rate schedule of the outer optimizer.
        training: the outer loop.
        dtype: data type of the parameters.
        resume: the run directory to resume; None for a new run.
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
        """The seeds of a run by purpose."""
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
    """`metadialog predict`: predict the turns of a test specification with a finished run.

    Attributes:
        run: the directory of the finished run.
        specification: path to the test specification.
    """

    command: ClassVar[str] = "predict"

    run: Directory
    specification: Directory
