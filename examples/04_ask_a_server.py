# /// script
# requires-python = ">=3.12"
# dependencies = ["robo-reward"]
# [tool.uv.sources]
# robo-reward = { path = "..", editable = true }
# ///
"""Show a reward server the frames of an episode, as a robot's program does, and print its answers.

In one shell the server, which other programs may ask too:
    robo-reward serve --model outputs/demo/model-0 --listen unix:outputs/serve.sock

In another one:
    python examples/04_ask_a_server.py outputs/demo/held-out --server unix:outputs/serve.sock
"""

from pathlib import Path

import tyro

from data import open_dataset
from data.references import ReferenceFinder
from robo_reward import RoboRewardError
from robo_reward.serving import Scored, Stale, Unavailable, connect


def main(
    source: tyro.conf.Positional[Path],
    server: str,
    episode: int = 0,
    deadline: float = 0.5,
) -> None:
    """Ask about every frame of an episode of a LeRobotDataset; each answer has a deadline."""
    dataset = open_dataset(source)
    shown, instruction = dataset.episode(episode), dataset.episode(episode).instructions[0]
    counts = {Scored: 0, Stale: 0, Unavailable: 0}
    with connect(server, deadline_s=deadline) as model:
        size = model.image_size
        references = ReferenceFinder(dataset, "auto", size=size).find(episode).references
        session = model.begin(instruction, references)
        for number, views in dataset.frames(episode, views=shown.views, size=size):
            (answer,) = model.ask([session], [views], [number / shown.fps])
            counts[type(answer)] += 1
            if not isinstance(answer, Scored):
                print(f"{number / shown.fps:7.2f} s  no verdict: {answer.why}")
            elif not answer.held:  # between two queries the last verdict is repeated
                verdict = answer.verdict
                told = "" if verdict.valid else "  not this task"
                print(f"{number / shown.fps:7.2f} s  Φ {verdict.progress:.2f}{told}")
    print(", ".join(f"{count} {kind.__name__}" for kind, count in counts.items()))


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except RoboRewardError as error:
        raise SystemExit(str(error)) from None
