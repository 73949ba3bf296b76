"""Episodes that training never saw, as cases: under their own words and under wrong ones."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robo_reward.goals import Goal, episode_goals
from robo_reward.metrics import auroc
from robo_reward.protocols import References, Views

from .estimators import trivial_estimators
from .evaluate import Case, judge, success_auroc, summary
from .references import AUTO, ReferenceFinder

if TYPE_CHECKING:
    from robo_reward.model import Model

    from .episodes import Episode, EpisodeDataset

type Floats = NDArray[np.float64]

NOBODY = -1
"""The number of no episode."""


class HeldOut:
    """The episodes of a dataset whose truth is known, at the image size of a model."""

    def __init__(
        self,
        dataset: "EpisodeDataset",
        *,
        size: int | None,
        reference: str = AUTO,
        chosen: Sequence[int] | None = None,
    ) -> None:
        """Read what is known of every episode, or of those chosen; pixels are read when judged.

        Raises:
            InputError: If a reference or an episode is asked for that is not there.
        """
        self.dataset, self.size = dataset, size
        numbers = range(len(dataset)) if chosen is None else chosen
        self.episodes = [dataset.episode(i) for i in numbers]
        self.goals = {e.index: episode_goals(e) for e in self.episodes}
        self.finder = ReferenceFinder(dataset, reference, size=size)

    def cases(self) -> list[Case]:
        """Return every episode under its recorded instruction, references of another success."""
        return [
            self._case(e, self.goals[e.index][0], self.finder.find(e.index).references)
            for e in self.episodes
        ]

    def match_cases(self) -> list[Case]:
        """Return every episode under the goal it pursues and, twice, under a wrong one.

        The wrong instruction comes once with the goal pictures of its own goal and once with
        those of the goal that is pursued; episodes that pursue no known goal are left out. The
        pictures of a goal are the ends of its first success, of another one where there is any.
        """
        cases = []
        for episode in self.episodes:
            goals = self.goals[episode.index]
            pursued = next((goal for goal in goals if goal.match == 1.0), None)
            wrong = [goal for goal in goals if goal.match == 0.0]
            if pursued is None or not wrong:
                continue
            rival = wrong[episode.index % len(wrong)]
            for goal, shown in ((pursued, pursued), (rival, rival), (rival, pursued)):
                ends = self._pictures(shown.instructions[0], episode.index)
                cases.append(self._case(episode, goal, ends))
        return cases

    def _pictures(self, text: str, index: int) -> References:
        other = self.finder.success(text, other_than=index)
        own = self.finder.success(text, other_than=NOBODY)
        shown = own if other is None else other
        return References() if shown is None else self.finder.ends(shown)

    def metrics(self, model: "Model") -> dict[str, float]:
        """Return the figures of a model: progress, success and match, on these episodes."""
        judged = judge(model, self.cases())
        cases = [item.case for item in judged]
        figures = summary([item.labels.progress for item in judged], cases)
        reached = [float(item.labels.success_prob.max()) for item in judged]
        figures["success_auroc"] = success_auroc(reached, cases)
        right = [item.labels.valid.mean() for item in judged if item.case.match == 1.0]
        figures["valid_share"] = float(np.mean(right)) if right else float("nan")
        matched = judge(model, self.match_cases())
        scores = [float(item.labels.match_prob.mean()) for item in matched]
        truths = [item.case.match for item in matched]
        figures["match_auroc"] = auroc(scores, truths) if len(truths) > 1 else float("nan")
        return figures

    def baselines(self, query_period_s: float) -> dict[str, dict[str, float]]:
        """Return the figures of what needs no learning, on the same cases.

        Their success score is Φ at the end; no figure for match, they do not read.
        """
        cases = self.cases()
        figures = {}
        for name, estimate in trivial_estimators(query_period_s).items():
            tracks = [estimate(case) for case in cases]
            scores = [track.success_score for track in tracks]
            figures[name] = summary([track.progress for track in tracks], cases)
            figures[name]["success_auroc"] = success_auroc(scores, cases)
        return figures

    def _case(self, episode: "Episode", goal: Goal, references: References) -> Case:
        return Case(
            name=f"episode {episode.index}",
            number=episode.index,
            instruction=goal.instructions[0],
            references=references,
            frames=self._reader(episode),
            fps=episode.fps,
            truth=np.full(episode.length, np.nan) if goal.timed else goal.progress,
            done=_done(episode, goal),
            match=goal.match,
            clean=bool(episode.outcome) and episode.behaviour != "noise",
            behaviour=episode.behaviour or "",
            paraphrases=goal.instructions[1:],
            source=_source(episode, goal),
            rivals=tuple(g for g in self.goals[episode.index] if g.match == 0.0 and g is not goal),
        )

    def _reader(self, episode: "Episode") -> Callable[[int], Iterator[Views]]:
        def read(every: int) -> Iterator[Views]:
            stream = self.dataset.frames(
                episode.index, views=episode.views, size=self.size, stride=every
            )
            return (views for _, views in stream)

        return read


def _done(episode: "Episode", goal: Goal) -> Floats:
    """Return (T,) whether the task is done; between start and end of a recording nobody knows."""
    if not goal.timed or episode.success is not None:
        return goal.success
    done = np.full(episode.length, np.nan)
    done[-1] = goal.success[-1]
    return done


def _source(episode: "Episode", goal: Goal) -> str:
    if episode.truth is not None:
        return "simulator"
    if goal.timed or np.isnan(goal.progress).all():
        return "none: time is not taken for it"
    return "annotated subtasks, time within each"
