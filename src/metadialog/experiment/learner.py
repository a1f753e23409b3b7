"""The parts that learn, each built once: the algorithm with its tools, the tokenizer, and the start of training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metadialog.algorithms.base import Algorithm, Tools
from metadialog.algorithms.warm import WarmStarted
from metadialog.config import build
from metadialog.experiment.config import LearningConfig
from metadialog.starts.start import Start
from metadialog.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Learner:
    """An algorithm with its tokenizer and start.

    Attributes:
        algorithm: the algorithm, with its engine, inner rule and objectives.
        start: starting point of the outer loop.
        tokenizer: tokenizer of the model.
    """

    algorithm: Algorithm
    start: Start
    tokenizer: Tokenizer

    @property
    def name(self) -> str:
        """The name in records and tables: that of the algorithm, and of its start."""
        return f"{self.algorithm.name}{self.start.suffix}"

    @property
    def engine(self) -> str:
        """The name of the engine in records."""
        return self.algorithm.tools.engine.name

    def settle_engine(self, cache: Path, agree: Callable[[Callable[[], str]], str]) -> None:
        """Set where an engine that chooses among others stores its choice, and how the processes agree on it.

        Args:
            cache: the cache folder.
            agree: returns, in each process of the run, what the function returns in the first one.
        """
        settle = getattr(self.algorithm.tools.engine, "settle", None)
        if settle is not None:
            settle(cache, agree)


def make_learner(config: LearningConfig, tokenizer: Tokenizer) -> Learner:
    """Build the learner of a config.

    Args:
        config: options of adaptation.
        tokenizer: tokenizer of the model.

    Raises:
        ConfigError: its parts are incompatible.
    """
    tools = Tools(build(config.engine), build(config.inner), build(config.objective, tokenizer))
    algorithm: Algorithm = build(config.algorithm, tools)
    start: Start = build(config.start)
    return Learner(WarmStarted(algorithm, start.steps) if start.steps else algorithm, start, tokenizer)
