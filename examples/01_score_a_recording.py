# /// script
# requires-python = ">=3.12"
# dependencies = ["robo-reward"]
# [tool.uv.sources]
# robo-reward = { path = "..", editable = true }
# ///
r"""Score one recording and print its progress Φ over time.

An episode of a dataset; its references are found as `robo-reward label` finds them:
    python examples/01_score_a_recording.py outputs/demo/held-out --model outputs/demo/model-0

Or a folder with one mp4 per camera, and a folder with start/<view>.png and goal/<view>.png:
    python examples/01_score_a_recording.py recordings/table/episode_001 \
        --model outputs/table-model --instruction "clean the table" --reference pictures
"""

from collections.abc import Iterator
from pathlib import Path

import tyro

from data import Views, open_dataset, video
from data.references import ReferenceFinder, read_directory
from robo_reward import Labels, Model, References, RoboRewardError, load

type Scored = tuple[Labels, float]  # labels of every frame, and frames per second


def videos(folder: Path, size: int) -> Iterator[Views]:
    paths = sorted(folder.glob("*.mp4"))
    count = min(video.header(path).frames for path in paths)
    streams = [video.frames(path, count=count, size=size) for path in paths]
    for images in zip(*streams, strict=True):
        yield {path.stem: image for path, (_, image) in zip(paths, images, strict=True)}


def score_videos(model: Model, folder: Path, instruction: str, reference: str) -> Scored:
    paths = sorted(folder.glob("*.mp4"))
    if not paths or not instruction:
        raise SystemExit(f"{folder} needs <view>.mp4 files, and --instruction what they show")
    size, fps = model.settings.image_size, video.header(paths[0]).fps
    own = References(start=next(videos(folder, size)))  # no goal: it is masked
    shown = own if reference in ("auto", "none") else read_directory(Path(reference))
    return model.label(videos(folder, size), instruction, shown, fps=fps), fps


def score_episode(model: Model, root: Path, number: int, reference: str) -> Scored:
    dataset, size = open_dataset(root), model.settings.image_size
    episode = dataset.episode(number)
    found = ReferenceFinder(dataset, reference, size=size).find(number)
    text = episode.instructions[0]
    print(f"episode {number}: {text!r}, references: {found.source}")
    frames = (views for _, views in dataset.frames(number, views=episode.views, size=size))
    return model.label(frames, text, found.references, fps=episode.fps), episode.fps


def main(
    source: tyro.conf.Positional[Path],
    model: Path,
    episode: int = 0,
    instruction: str = "",
    reference: str = "auto",
) -> None:
    """Score a recording: a LeRobotDataset's episode, or a folder of videos."""
    judge = load(model)
    if (source / "meta/info.json").is_file():
        labels, fps = score_episode(judge, source, episode, reference)
    else:
        labels, fps = score_videos(judge, source, instruction, reference)
    for frame in range(0, len(labels.progress), judge.stride(fps)):  # one line a query
        phi, told = labels.progress[frame], "" if labels.valid[frame] else "  not this task"
        print(f"{frame / fps:7.2f} s  Φ {phi:.2f}  {'█' * round(30 * phi)}{told}")
    print(f"success declared: {'yes' if labels.success.any() else 'no'}")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except RoboRewardError as error:
        raise SystemExit(str(error)) from None
