"""Print the tables of "What shaping leaves as it was" of docs/results.md, in Markdown.

Run from the root of the repository: PYTHONPATH=tests .venv/bin/python scripts/shaping_table.py
"""

import numpy as np
from careful_or_slam import gradient, truth
from histories import CLEAN, FOOLED, fired, run
from rollouts import random_rollouts
from tabular import SLACK, Pays, drawn
from test_policies_unsound import GAMMA, shipped, unsound

from policies.algorithms import ALGORITHMS
from policies.config import Limits
from policies.credit import Rules, phi_ppo
from policies.monitors import alarms
from policies.observing import Observed
from policies.rollout import Rollout
from policies.unsound import UNSOUND
from robo_reward.shaping import Floats, advantages, shaping

PROCESSES, BATCHES, RUNS = 1000, 200, 100


def changed() -> None:
    """Print in how many random processes what is paid changes the set of best actions."""
    processes = drawn(PROCESSES, seed=0)
    best = processes.best(processes.reward, GAMMA)

    def share(pays: Pays) -> float:
        other = processes.best(processes.reward + processes.paid(pays), GAMMA) != best
        return float(other.any(axis=(1, 2)).mean())

    print(f"| paid beside the task reward | processes of {PROCESSES} whose best actions change |")
    print(f"|---|---|\n| shaping (best within {SLACK:g}) | {share(shipped):.1%} |")
    for name in UNSOUND:
        print(f"| {name} | {share(unsound(name)):.1%} |")


def with_residual(one: Rollout, paid: Floats, lam: float) -> Floats:
    """Return GAE of task rewards plus ``paid``, with the residual as the critic."""
    ends = one.residual, one.following_residual
    return advantages(one.reward + paid, *ends, one.decisions, gamma=GAMMA, lam=lam)


def identity() -> None:
    """Print how far advantages of shaped rewards are from those of an anchored critic."""
    apart: dict[str, float] = dict.fromkeys(("shaping", "Φ_T := 0 at truncations", "no γ"), 0.0)
    for seed in range(BATCHES):
        for lam in (0.0, 0.5, 0.8, 0.95, 1.0):
            for one in random_rollouts(seed):
                now, following, given = one.potential, one.following, one.decisions
                sound = shaping(now, following, given, gamma=GAMMA)
                dropped = shaping(now, following, given, gamma=GAMMA, bootstraps=False)
                plain = np.where(given.terminated, 0.0, following) - now
                right = phi_ppo([one], Rules(gamma=GAMMA, lam=lam)).advantage
                for name, paid in zip(apart, (sound, dropped, plain), strict=True):
                    error = np.abs(with_residual(one, paid, lam) - right).max()
                    apart[name] = max(apart[name], float(error))
    print(
        "\n| rewards with critic f, against task rewards with critic Φ + f | largest error of A |"
    )
    print("|---|---|")
    for name, error in apart.items():
        print(f"| {name} | {error:.1e} |")


def signs() -> None:
    """Print which way every algorithm pulls in the choice of `careful_or_slam`."""
    print(f"\n| pull to the careful way, in truth {truth():+.3f} | λ = 1 | λ = .8 |\n|---|---|---|")
    for name, algorithm in ALGORITHMS.items():
        pulls = (gradient(algorithm.credit, lam) for lam in (1.0, 0.8))
        print(f"| `{name}` | {' | '.join(f'{pull:+.3f}' for pull in pulls)} |")


def alarmed() -> None:
    """Print in which share of synthetic runs which alarm was raised."""
    limits = Limits()

    def watch(so_far: list[Observed]) -> list[str]:
        return [alarm.name for alarm in alarms(so_far, limits)]

    print(f"\n| run | any alarm, of {RUNS} | which |\n|---|---|---|")
    for kind in (*CLEAN, *FOOLED):
        raised = [fired(run(kind, seed), watch) for seed in range(RUNS)]
        names = sorted(set().union(*raised))
        each = ", ".join(f"{name} {sum(name in one for one in raised)}" for name in names)
        print(f"| {kind} | {sum(map(bool, raised))} | {each or '–'} |")


if __name__ == "__main__":
    changed()
    identity()
    signs()
    alarmed()
