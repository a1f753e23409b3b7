"""Fixtures: records with known variances between seeds, topics and episodes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

Records = Callable[..., pd.DataFrame]


@pytest.fixture
def simulated() -> Records:
    """Return a function that draws records of one algorithm: losses around `mean`, with varying words and tokens."""

    def draw(
        rng: np.random.Generator,
        sizes: tuple[int, int, int] = (3, 5, 4),
        spreads: tuple[float, float, float, float] = (0.1, 0.5, 0.3, 0.2),
        mean: float = 3.0,
        tokens: tuple[int, int] = (20, 60),
    ) -> pd.DataFrame:
        seeds, topics, episodes = sizes
        by_seed, by_topic, by_episode, rest = (rng.normal(0, spread, size) for spread, size in zip(
            spreads, [(seeds, 1, 1), (1, topics, 1), (1, topics, episodes), sizes], strict=True
        ))  # fmt: skip
        losses = mean + by_seed + by_topic + by_episode + rest
        index = pd.MultiIndex.from_product([range(seeds), [f"t{n}" for n in range(topics)], range(episodes)])
        frame = pd.DataFrame(
            {"loss": losses.ravel()}, index=index.set_names(["seed", "topic", "episode"])
        ).reset_index()
        counts = rng.integers(*tokens, size=topics * episodes, endpoint=True)
        return frame.assign(
            algorithm="a", shots=1, inner_step=0, tokens=np.tile(counts, seeds), words=np.tile(counts // 2, seeds)
        )

    return draw
