"""From episodes to a `Plan`: which frames, references, instructions and pairs a step has.

Deterministic: it depends on the goals, the configuration and the generator alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .belief import UNKNOWN, drawn_belief
from .config import at_least
from .errors import InputError
from .goals import Goal
from .hiding import hide
from .history import remembered
from .packing import Key, Plan
from .sampling import sample_frames, sample_pairs
from .targets import hop, time_to_go

type Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How training steps are drawn (design of the stratification: `robo_reward.sampling`)."""

    episodes: int = 9
    """Episodes a step."""
    frames: int = 10
    """Frames encoded of each."""
    prefixes: int = 4
    """Instruction-and-reference draws an episode."""
    pairs: int = 4
    """Pairs formed under each."""
    other_goal: float = 0.3
    """Probability of judging by another goal of the scene whose truth is known; where the data
    hold no foreign instruction, the probability of one is added to it."""
    foreign: float = 0.15
    """Probability of an instruction of another task, whose truth here is unknown."""
    other_picture: float = 0.2
    """Probability that the goal pictures show another goal of the scene than the words."""
    swap: float = 0.75
    """Probability that a reference comes from another episode of the same task."""
    drop_start: float = 0.1
    """Probability of no start reference."""
    drop_goal: float = 0.15
    """Probability of no goal reference."""
    drop_views: float = 0.2
    """Probability that views are dropped; then each is, with the same probability."""

    drop_history: float = 0.2
    """Probability that nothing of what was before is shown, in models with a history."""
    drop_belief: float = 0.25
    """Probability that nothing of earlier verdicts is told, in models with a belief."""
    own_belief: float = 0.5
    """Probability that the pairs of a prefix are told the network's own earlier verdicts, where the
    frames are there that these need; else what is told is made up from the truth."""
    unseen: float = 0.04
    """Probability that *before* or *after* shows nothing: black, an even colour, or noise."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        least = {"episodes": 1, "frames": 2, "prefixes": 1, "pairs": 1}
        for name, value in asdict(self).items():
            if name in least:
                at_least(least[name], f"sampling {name}", value)
            elif not 0.0 <= value <= 1.0:
                raise InputError(f"sampling {name} is a probability in [0, 1], got {value}")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the draws need to know of one episode."""

    goals: tuple[Goal, ...]
    """Its goals, the recorded one first."""
    usable: Ints
    """Frames that may be drawn, sorted (withheld ones left out)."""
    period: int
    """Query period in frames."""
    present: NDArray[np.bool_]
    """(V,) the views that it has."""
    source: int = 0
    """Number of its dataset: references never come from another one."""
    chance: float = 1.0
    """How likely it is drawn, beside others."""
    fps: float = math.nan
    """Frames per second; NaN: nothing is learnt of seconds."""


class PairSampler:
    """Draws training steps from episodes whose goals are known."""

    def __init__(
        self,
        known: Mapping[int, Known],
        config: SamplingConfig,
        *,
        history: int = 0,
        belief: bool = False,
    ) -> None:
        """Prepare the draws.

        Args:
            known: What is known of each episode, by its number.
            config: Probabilities and sizes.
            history: Slots that show earlier queries, see `robo_reward.history`.
            belief: Whether earlier verdicts are told, see `robo_reward.belief`.
        """
        if not known:
            raise InputError("there is no episode to train on; give a dataset with episodes")
        self.known, self.config = known, config
        self.history, self.belief = history, belief
        self.episodes = np.array(sorted(known))
        self.chances = _chances([known[episode].chance for episode in self.episodes.tolist()])
        self.done: dict[tuple[int, str], list[Key]] = {}
        self.begun: dict[tuple[int, str], list[Key]] = {}
        for episode, facts in known.items():
            for goal in facts.goals:
                self._index(episode, facts, goal)
        self.texts = {g.instructions[0]: g for facts in known.values() for g in facts.goals}
        self.foreign = {episode: self._foreign(facts) for episode, facts in known.items()}

    def _index(self, episode: int, facts: Known, goal: Goal) -> None:
        usable, text = facts.usable, (facts.source, goal.instructions[0])
        if usable[0] == 0 and (goal.match == 1.0 or np.isnan(goal.match)):
            self.begun.setdefault(text, []).append((episode, int(usable[0])))
        finished = usable[(goal.success[usable] == 1.0) & (goal.match == 1.0)]
        self.done.setdefault(text, []).extend((episode, int(f)) for f in finished[-3:])

    def _foreign(self, facts: Known) -> list[str]:
        """Return the instructions that mean no goal of an episode, in whatever words."""
        here = {text for goal in facts.goals for text in goal.instructions}
        return sorted(
            text for text, goal in self.texts.items() if here.isdisjoint(goal.instructions)
        )

    def plan(self, rng: np.random.Generator) -> Plan:
        """Return the plan of one step."""
        plan = Plan()
        count = self.config.episodes
        again = count > len(self.episodes)
        chosen = rng.choice(self.episodes, size=count, replace=again, p=self.chances)
        for episode in chosen.tolist():
            facts = self.known[episode]
            frames = sample_frames(facts.usable, self.config.frames, facts.period, rng)
            for _ in range(self.config.prefixes):
                self.add_prefix(plan, episode, frames, rng)
        hide(plan, self.config.unseen, rng)
        return plan

    def add_prefix(self, plan: Plan, episode: int, frames: Ints, rng: np.random.Generator) -> None:
        """Add an instruction with its references to a plan, and pairs of ``frames`` under it."""
        goal, picture = self._draw_goal(episode, rng)
        facts = self.known[episode]
        begun = self.begun.get((facts.source, goal.instructions[0]), [])
        start = self._reference(begun, episode, plan, rng)
        shown = self._reference(self.done.get((facts.source, picture), []), episode, plan, rng)
        start = None if rng.random() < self.config.drop_start else start
        shown = None if rng.random() < self.config.drop_goal else shown
        number = len(plan.instructions)
        plan.instructions.append(goal.instructions[rng.integers(len(goal.instructions))])
        plan.start.append(plan.frame(start))
        plan.goal.append(plan.frame(shown))
        plan.visible.append(self._draw_views(facts.present, rng))
        forgets = self.history > 0 and rng.random() < self.config.drop_history
        first = None if forgets or facts.usable[0] > 0 else 0
        progress = goal.progress[frames]
        before, after = sample_pairs(
            progress, frames.astype(np.float64), self.config.pairs, facts.period, rng
        )
        replay = frames if self.belief and rng.random() < self.config.own_belief else frames[:0]
        plan.replays.append([plan.frame((episode, frame)) for frame in replay.tolist()])
        plan.replay_beliefs.append(self._belief(goal, facts, int(frames[0]), rng))
        hops = np.where(before == after, 0.0, hop(progress[before], progress[after]))
        seconds = time_to_go(goal.success, facts.fps)
        for p, q, step in zip(frames[before], frames[after], hops, strict=True):
            slots = remembered(
                frames[:0] if forgets else frames,
                int(q),
                first=first,
                period=facts.period,
                history=self.history,
            )
            seen = [plan.frame(None if slot is None else (episode, slot)) for slot in slots]
            pair = (number, plan.frame((episode, int(p))), plan.frame((episode, int(q))), seen)
            plan.pairs.append(pair)
            plan.beliefs.append(self._belief(goal, facts, int(q), rng))
            plan.own.append(_step(replay, int(q) - facts.period))
            phi, success = float(goal.progress[q]), float(goal.success[q])
            from_start = phi if start is not None else np.nan
            from_goal = phi - 1.0 if shown is not None else np.nan
            left = float(seconds[q])
            plan.targets.append((float(step), from_start, from_goal, success, goal.match, left))

    def _draw_goal(self, episode: int, rng: np.random.Generator) -> tuple[Goal, str]:
        """Return the goal to judge by, and the text of the goal that the pictures show."""
        own, *others = self.known[episode].goals
        here = {goal.instructions[0] for goal in (own, *others)}
        foreign = self.foreign[episode]
        draw, picture_draw = rng.random(2)
        goal = own
        if foreign and draw < self.config.foreign:
            goal = _unknown(self.texts[foreign[rng.integers(len(foreign))]], len(own.progress))
        elif others and draw < self.config.foreign + self.config.other_goal:
            goal = others[rng.integers(len(others))]
        rivals = sorted(here - {goal.instructions[0]})
        if rivals and picture_draw < self.config.other_picture:
            return goal, rivals[rng.integers(len(rivals))]
        return goal, goal.instructions[0]

    def _belief(
        self, goal: Goal, facts: Known, after: int, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Return what was judged before *after*; a goal of unknown truth is believed as the own.

        So that what is believed does not give away which instruction is foreign.
        """
        if not self.belief or rng.random() < self.config.drop_belief:
            return UNKNOWN
        unknown = math.isnan(goal.progress[after])
        believed = facts.goals[0] if unknown else goal
        return drawn_belief(believed.progress, after, facts.period, rng)

    def _reference(
        self, known: list[Key], episode: int, plan: Plan, rng: np.random.Generator
    ) -> Key | None:
        """Return one of the frames known to show a start or end; None if there is none.

        Two that the step already encodes serve all its episodes: encoding is what costs.
        """
        own = [key for key in known if key[0] == episode]
        other = [key for key in known if key[0] != episode]
        encoded = [key for key in other if key in plan.frames]
        other = encoded if len(encoded) > 1 else other
        pool = other if other and (not own or rng.random() < self.config.swap) else own
        return pool[rng.integers(len(pool))] if pool else None

    def _draw_views(
        self, present: NDArray[np.bool_], rng: np.random.Generator
    ) -> NDArray[np.bool_]:
        """Return (V,) which views are shown; at least one that the episode has."""
        visible: NDArray[np.bool_] = np.ones(len(present), dtype=np.bool_)
        if rng.random() < self.config.drop_views:
            visible = rng.random(len(present)) >= self.config.drop_views
            if not (visible & present).any():
                there = np.flatnonzero(present)
                visible[there[rng.integers(len(there))]] = True
        return visible


def _step(replay: Ints, frame: int) -> int:
    """Return the step of a replay that judges a frame, −1 where none does."""
    return next(iter(np.flatnonzero(replay == frame).tolist()), -1)


def _chances(weights: Sequence[float]) -> NDArray[np.float64] | None:
    """Return probabilities, or None where all are alike: the draws are then the simpler ones."""
    values = np.asarray(weights, dtype=np.float64)
    return None if np.all(values == values[0]) else values / values.sum()


def _unknown(goal: Goal, length: int) -> Goal:
    """Return the targets of a foreign instruction: nothing is known but that it is not it."""
    nothing = np.full(length, np.nan)
    return Goal(instructions=goal.instructions, progress=nothing, success=nothing, match=0.0)
