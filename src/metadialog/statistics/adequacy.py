"""Checks whether there are enough seeds, topics and episodes."""

MIN_SEEDS = 5
"""Simulated with nearly all variance between seeds, 95 % intervals cover in 86 % to 90 % of cases with 3 seeds, in 92 %
with 5 and in 96 % with 10. See also Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical
precipice"."""
MIN_TOPICS = 6
"""With fewer, no test that swaps topics can reach 0.05 on two sides: 2 / 2**5 = 0.0625."""
MIN_EPISODES = 2
"""Minimum number of episodes per topic; with one, variation between topics and episodes cannot be separated."""


def warnings(seeds: int, topics: int, episodes_of_a_topic: int) -> list[str]:
    """Return a warning for each level that is too small to generalise from.

    Args:
        seeds: smallest number of seeds of an algorithm.
        topics: number of topics.
        episodes_of_a_topic: smallest number of episodes of a topic.
    """
    results = []
    if seeds == 1:
        results.append(
            "One seed: intervals and tests say nothing of other seeds (rule: at least 5), and a difference may be luck."
        )
    elif seeds < MIN_SEEDS:
        results.append(
            f"{seeds} seeds: too few to tell how much depends on the seed (rule: at least {MIN_SEEDS}); intervals may "
            f"be too short where seeds matter most."
        )
    if topics < MIN_TOPICS:
        count = "One topic" if topics == 1 else f"{topics} topics"
        results.append(
            f"{count}: too few to speak of new topics (rule: at least {MIN_TOPICS}, as no test that swaps fewer topics "
            f"can reach p < 0.05)."
        )
    if episodes_of_a_topic < MIN_EPISODES:
        results.append(
            f"A topic with one episode: topics and episodes cannot be told apart (rule: at least {MIN_EPISODES} each)."
        )
    return results
