"""The evaluation on held-out topics at the end of a run, with its records, samples and printed summary."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from metadialog.config import build
from metadialog.episodes import Episode
from metadialog.evaluation.adaptation import Evaluator, Labels, Sample
from metadialog.evaluation.protocol import AdaptationProtocol
from metadialog.evaluation.records import record_metadata, to_frame
from metadialog.evaluation.selection import NOTHING, Selection, select
from metadialog.evaluation.summary import summarize
from metadialog.evaluation.together import Each, in_groups
from metadialog.experiment.config import EvaluationConfig
from metadialog.experiment.learner import Learner
from metadialog.experiment.workspace import Workspace
from metadialog.preparation.episodes import held_out, selection_episodes
from metadialog.preparation.topics import Topics
from metadialog.progress import progress
from metadialog.runs.atomic import write_atomically
from metadialog.runs.schemas import TrainingCost
from metadialog.text import counted
from metadialog.training.cost import count_tokens
from metadialog.training.trainer import Sinks

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class FinalEvaluation:
    """An evaluation whose episodes have been drawn.

    Attributes:
        config: config of the run.
        workspace: where to write the results.
        learner: adapts the model.
        topics: topics of the data set.
        protocol: the evaluation protocol.
        episodes: episodes of the held-out topics.
        selection_episodes: episodes of the meta-validation topics on which inner rates and steps are chosen; empty if
            nothing is to be chosen.
    """

    config: EvaluationConfig
    workspace: Workspace
    learner: Learner
    topics: Topics
    protocol: AdaptationProtocol
    episodes: Sequence[Episode]
    selection_episodes: Sequence[Episode]

    @property
    def labels(self) -> Labels:
        """The values that all records share."""
        name, engine, corpus = self.learner.name, self.learner.engine, self.topics.corpus.name
        return Labels(name, engine, corpus, self.config.seed, split="meta_test", language=self.topics.language)

    def run(self, model: nn.Module, sinks: Sinks, step: int, trained: TrainingCost | None) -> "pd.DataFrame":
        """Choose inner rates and steps, evaluate, then write, log and print the results.

        Args:
            model: the trained model.
            sinks: where to write and log results.
            step: number of outer steps taken.
            trained: cost of training; None if it is not known.

        Returns:
            The records.
        """
        began = time.perf_counter()
        selection = self._select(model)
        frame, samples = self._evaluate(model, selection)
        if not self.workspace.team.is_first:
            return frame
        language = self.topics.language
        sinks.run.write_results(frame, record_metadata(self.episodes, language), [asdict(sample) for sample in samples])
        self._write_cost(selection, frame, trained, time.perf_counter() - began)
        sinks.log(step, "meta_test", _mean_losses(frame))
        sinks.logger.log_adaptation(frame)
        sinks.logger.log_samples([_logged(sample) for sample in samples])
        self.workspace.console.print(summarize(frame, samples, self.protocol.report_steps, language))
        return frame

    def _select(self, model: nn.Module) -> Selection:
        """Choose the inner rate and steps for each number of shots if asked to; write and print the choice."""
        protocol, workspace, algorithm = self.protocol, self.workspace, self.learner.algorithm
        if protocol.rates is None or not self.selection_episodes:
            return NOTHING
        device = next(model.parameters()).device
        episodes = [episode.to(device) for episode in self.selection_episodes]
        with self._progress("choosing rates", episodes) as each:
            selection = select(model, algorithm, episodes, protocol.rates, protocol.steps, each, protocol.average)
        if not workspace.team.is_first:
            return selection
        write_atomically(workspace.run.selection, selection.to_json(algorithm.name))
        chosen = [best for shots in protocol.shots if (best := selection.best(shots)) is not None]
        words = (
            f"{counted(c.shots, 'shot')}: rate x {c.rate:g}, {counted(c.inner_step, 'step')} (loss {c.loss:.3f})"
            for c in chosen
        )
        workspace.console.print(f"chosen on meta-validation topics: {'; '.join(words)}", highlight=False)
        return selection

    def _evaluate(self, model: nn.Module, selection: Selection) -> tuple["pd.DataFrame", list[Sample]]:
        """Evaluate the episodes, which are shared among the processes of the run."""
        device, learner = next(model.parameters()).device, self.learner
        episodes = [episode.to(device) for episode in self.episodes]
        evaluator = Evaluator(
            learner.algorithm,
            self.protocol,
            build(self.config.generation),
            learner.tokenizer,
            self.labels,
            selection,
        )
        with self._progress("evaluation", episodes) as each:
            parts = in_groups(model, episodes, lambda some: evaluator.of_group(model, some), each)
        samples = [sample for _, part in parts for sample in part]
        return to_frame([record for part, _ in parts for record in part]), samples

    @contextmanager
    def _progress(self, title: str, episodes: Sequence[Episode]) -> Iterator[Each[Any]]:
        """Yield a function that maps over groups of episodes, which the processes share, and shows progress."""
        team = self.workspace.team
        with progress(self.workspace.console, title, len(episodes)) as report:
            done = 0

            def each(function: Callable[[list[int]], list[Any]], groups: Sequence[list[int]]) -> list[list[Any]]:
                def of_group(indices: list[int]) -> list[Any]:
                    nonlocal done
                    result = function(indices)
                    done += len(indices)
                    report(min(done * team.size, len(episodes)))  # the other processes have done about as many
                    return result

                return team.map(of_group, groups)

            yield each

    def _write_cost(
        self, selection: Selection, records: "pd.DataFrame", trained: TrainingCost | None, seconds: float
    ) -> None:
        """Write the cost of training and of this evaluation, including the choice of rates and steps."""
        content = {
            "meta_train": None if trained is None else trained.model_dump(),
            "evaluation": {
                "episodes": len(self.episodes),
                "tokens": self._tokens(selection, records),
                "seconds": seconds,
            },
        }
        write_atomically(self.workspace.run.cost, json.dumps(content, indent=2) + "\n")

    def _tokens(self, selection: Selection, records: "pd.DataFrame") -> int:
        """Count the tokens of adaptation: once for each inner step, and for each rate of the selection grid."""
        steps = records.groupby("shots")["inner_step"].max().to_dict()  # empty if nothing adapts
        algorithm = self.learner.algorithm

        def of(some: Sequence[Episode]) -> int:
            supports = ((steps[one.shots], algorithm.adapts_to(one)) for one in some)
            return sum(count * count_tokens(support) for count, support in supports if count and support is not None)

        rates = len(self.protocol.rates or []) if selection.grid else 0
        return of(self.episodes) + (rates * of(self.selection_episodes) if rates else 0)


def draw_evaluation(
    config: EvaluationConfig, workspace: Workspace, learner: Learner, topics: Topics
) -> FinalEvaluation:
    """Draw the episodes of an evaluation, and report how many references are truncated.

    Raises:
        DataError: a topic has too few dialogues for an episode.
        ConfigError: a metric of the user's lacks something.
    """
    protocol, tokenizer = build(config.evaluation), learner.tokenizer
    for metric in protocol.own_metrics.values():
        metric.check(topics.split.test)
    episodes = held_out(topics.of(topics.split.test), tokenizer, protocol, config.sampler)
    chosen_on = selection_episodes(topics, tokenizer, protocol, config.sampler)
    evaluation = FinalEvaluation(config, workspace, learner, topics, protocol, episodes, chosen_on)
    _print_cut(evaluation)
    return evaluation


def _print_cut(evaluation: FinalEvaluation) -> None:
    """Print how many references are truncated before they are scored, if any."""
    end = evaluation.learner.tokenizer.end_id
    queries = {(episode.topic, episode.index): episode.query for episode in evaluation.episodes}.values()
    references = sum(len(query.targets) for query in queries)
    whole = sum(int((query.targets == end).any(dim=1).sum()) for query in queries)
    if whole < references:
        limit = evaluation.protocol.max_tokens
        evaluation.workspace.console.print(
            f"references truncated to evaluation.max_tokens={limit}: {references - whole} of {references}",
            highlight=False,
        )


def _mean_losses(records: "pd.DataFrame") -> dict[str, float]:
    """Return the loss after each inner step, mean over episodes, for each number of shots."""
    means = records.groupby(["shots", "inner_step"], as_index=False)["loss"].mean()
    names = (f"loss_{shots}_shots_step_{step}" for shots, step in zip(means["shots"], means["inner_step"], strict=True))
    return dict(zip(names, means["loss"].tolist(), strict=True))


def _logged(sample: Sample) -> dict[str, object]:
    return {
        "context": sample.context,
        "reference": sample.reference,
        "before": sample.before,
        "after": sample.after,
        "topic": sample.topic,
        "inner_step": sample.inner_step,
    }
