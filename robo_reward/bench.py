"""``robo-reward bench``: a group of commands, found through entry points."""


class Bench:
    """Measure speed, each benchmark as a ratio of two ways of doing the same work in one run."""

    group = "robo_reward.benches"
