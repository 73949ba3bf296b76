"""Print what the scripted experts reach, for docs/results.md, as a table in Markdown.

Run from the root of the repository: .venv/bin/python scripts/expert_table.py [ROBOT] [all]
"""

import sys
from collections import Counter

from robo_reward.errors import InputError
from sim.env import TabletopEnv
from sim.experts import behaviours
from sim.rollouts import run_episode
from sim.tasks import TASKS, make_task
from sim.variety import ALL, VARIETY

SEEDS, FEWER = 100, 12


def row(env: TabletopEnv) -> str:
    """Return the line of one task."""
    played = [run_episode(env, "expert", seed) for seed in range(SEEDS)]
    done = sum(episode.columns["failure_mode"] == "none" for episode in played)
    steps = sum(len(episode.rows) - 1 for episode in played) / SEEDS
    modes: Counter[str] = Counter()
    shares = []
    for behaviour in behaviours(env.rules)[1:]:
        ends = [run_episode(env, behaviour, seed).columns["failure_mode"] for seed in range(FEWER)]
        modes.update(mode for mode in ends if mode != "none")
        shares.append(f"{behaviour} {ends.count('none')}")
    reached = ", ".join(f"{mode} {count}" for mode, count in sorted(modes.items()))
    return f"| {env.task} | {done} | {steps:.0f} | {', '.join(shares)} | {reached} |"


def main() -> None:
    """Print the table of a robot, the Panda if none is named."""
    robot = sys.argv[1] if len(sys.argv) > 1 else "panda"
    variety = ALL if "all" in sys.argv else VARIETY
    print(f"| task | expert, of {SEEDS} | steps | others, of {FEWER} | failures |")
    print("|---|---|---|---|---|")
    for task in TASKS:
        try:
            make_task(task, robot)
        except InputError:
            continue
        options = {"robot": robot, "variety": variety, "pixels": False}
        print(row(TabletopEnv(task, terminate_on_success=False, **options)), flush=True)


if __name__ == "__main__":
    main()
