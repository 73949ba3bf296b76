"""The published way of asking for progress, and ours without caches: whole prompts, one at a time.

The published recipe is that of Robo-Dopamine's general reward model (arXiv 2512.23703): a task,
two reference images of one camera, three views before, three views after, then long fixed rules;
three such questions a frame, whose views before are those of the last query, of the start and of
the goal. Its words are ours here, as long as the published ones. What it is spared: text is not
generated (the score is read from our slots and heads), and images come resized.
"""

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from .bench_label import TASK, MadeUp

if TYPE_CHECKING:
    from robo_reward.hf.backbone import HfBackbone
    from robo_reward.hf.prompt import Template
    from robo_reward.network import ProgressNetwork, Readout
    from robo_reward.protocols import Views

type Floats = NDArray[np.float64]

OPENING = f"""You judge robots. Task: {TASK}.
References: two images of the front camera, one of a start of this task and one of its goal. They \
show what to look for; the episode that is judged may have begun and ended otherwise. Then come \
three cameras at an earlier moment, called before, and the same three at a later moment, called \
after: one that looks from the front, and one at each wrist. Compare after with before."""
RULES = """
The goal is to say how much closer to its end the task is after than it was before.
How to score:
- Imagine the whole way from the start to the goal as one hundred parts, in the order in which \
they have to be done, and find the place of before and of after on this way.
- If after is nearer to the goal than before, the score is positive: the share of what was still \
to be done before that has been done since. All of it done is plus one hundred.
- If after is further from the goal than before, the score is negative: the share of what had \
been done before that has been lost since. All of it lost is minus one hundred.
- If nothing that counts for the task has changed, the score is zero, however much has moved.
- Small real changes deserve small scores; do not round them to zero, nor up to a whole step.
What to look at:
1. The task. Only what the task names counts: the right object, the right place, the right order. \
Skilful work on another object is no progress at all.
2. Completeness. A step that has been begun is not a step that has been done. An object that is \
held above its place has not been put there, and one that slipped is as far away as where it lies.
3. What each camera can tell. Whether something is grasped or touched is seen best from the \
wrist, so believe the wrist there, even against the front; where things stand on the table is \
seen best from the front. If any of the cameras shows that a step has failed, it has failed.
4. What does not matter. Light, shadows, blur, things in the background, other objects on the \
table and the pose of an arm that does nothing must not change the score.
5. Doubt. If the views contradict each other, or do not show enough to decide, then the score is \
zero; never guess from how long such a task usually takes.
6. Other ways. The references show one way of doing the task. Another order, grasp or path that \
leads to the same end is as good, and is scored by what it leaves to be done.
How to answer: with one line and nothing else, a sign and a whole number of at most three digits \
followed by a percent sign, between the words that open and close a score. Neither explain the \
number nor repeat the question. An example of such a line, for an object that has been brought \
a third of the way to where it belongs: score plus thirty-three percent, end of score."""


class WholePrompts:
    """Asks about one frame of an episode at a time, encoding every image anew."""

    def __init__(self, network: "ProgressNetwork", episode: MadeUp) -> None:
        """Write the prompts, whose text is the same for every frame."""
        from robo_reward.hf.prompt import RULES as OUR_RULES
        from robo_reward.hf.prompt import START_GOAL, joined

        self.network, self.episode = network, episode
        self.backbone = cast("HfBackbone", network.backbone)
        self.names = tuple(sorted(episode.frames[0]))
        words, writer = self.backbone.words, self.backbone.writer
        device = self.backbone.slots.device
        said = words(OUR_RULES, len(OUR_RULES)) + words(TASK, self.backbone.config.text_tokens)
        references = writer.shown(self.names[:1], START_GOAL, by_view=True)
        moments = writer.shown(self.names, ("before", "after"), by_view=False)
        rules = writer.text(words(RULES, len(RULES)))
        opening = writer.text(words(OPENING, len(OPENING)))
        self.recipe: Template = joined([opening, references, moments, rules]).to(device)
        ends = writer.shown(self.names, START_GOAL, by_view=True)
        self.own: Template = joined([writer.text(said), ends, moments]).to(device)

    def ours(self, query: int) -> Floats:
        """Return (5,) three hops, success and match by our prompt, without a cache."""
        references = self.episode.references
        before = self.episode.frames[max(query - 1, 0)]
        shown = (references.start, references.goal, before, self.episode.frames[query])
        images = np.stack([views[name] for views in shown for name in self.names])
        read = self._read(self.own, images)
        match, success = read.match.double().sigmoid(), read.success.double().sigmoid()
        scores = np.array([*_hops(read), float(success), float(match)])
        scores[0] *= query > 0  # nothing came before the first
        return scores

    def published(self, query: int) -> Floats:
        """Return (3,) hops from the last query, the start and the goal: a prompt for each."""
        references, frames = self.episode.references, self.episode.frames
        anchors = (frames[max(query - 1, 0)], references.start, references.goal)
        return np.array(
            [self._hop(number, before, frames[query]) for number, before in enumerate(anchors)]
        )

    def _hop(self, number: int, before: "Views", after: "Views") -> float:
        references, front = self.episode.references, self.names[0]
        shown = [references.start[front], references.goal[front]]
        shown += [views[name] for views in (before, after) for name in self.names]
        return float(_hops(self._read(self.recipe, np.stack(shown)))[number])

    def _read(self, prompt: "Template", images: NDArray[np.uint8]) -> "Readout":
        import torch

        with torch.inference_mode():
            pixels = torch.from_numpy(images).to(self.backbone.slots.device)
            return self.network.heads(self.backbone.whole(prompt, pixels))


def _hops(read: "Readout") -> Floats:
    from robo_reward.bins import expectation

    return np.asarray(expectation(read.hops[0].double().cpu()).numpy())


def texts() -> tuple[str, ...]:
    """Return all that both ways say, but for the names of views."""
    from robo_reward.hf import prompt

    roles = tuple(f" {role}: " for role in (*prompt.START_GOAL, "before", "after"))
    return (prompt.RULES, TASK, OPENING, RULES, *roles)
