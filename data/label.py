"""``robo-reward label``: the progress of every frame of a dataset, as a parquet sidecar."""

import json
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.config import OpenAIConfig
from robo_reward.console import RunLog, progress_bar
from robo_reward.errors import OutputError
from robo_reward.files import replacing
from robo_reward.shaping import check_discount

from .places import try_out, written
from .references import AUTO

if TYPE_CHECKING:
    import pyarrow as pa

    from robo_reward.model import Labels, QueryModel

    from .episodes import Episode, EpisodeDataset
    from .references import ReferenceFinder

FILE, LOG = "progress.parquet", "progress.jsonl"
GAMMA = 0.99
"""Discount per row of the column ``reward``, unless told."""
_FROM_LABELS = {
    "progress_sparse": "progress",
    "progress_forward": "forward",
    "progress_backward": "backward",
    "progress_incremental": "incremental",
    "confidence": "confidence",
    "progress_lower": "lower",
    "success_prob": "success_prob",
    "match_prob": "match_prob",
}
_ONLY_VALID = {"progress_sparse", "progress_lower", "time_to_go"}
"""Columns that say nothing where the behaviour does not match the instruction."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """Label every frame of a dataset with its progress, beside the dataset, never in it.

    Example: robo-reward label --dataset outputs/sim --model outputs/model --out outputs/labels
    """

    dataset: str
    """LeRobotDataset v3.0: a directory or a hub id."""
    model: Path | None = None
    """Checkpoint directory, or the directory of a training run."""
    out: Path
    """Directory for progress.parquet and its log, progress.jsonl."""
    reference: str = AUTO
    """auto (ends of the first other successful episode of the task), an episode number, a
    directory with start/<view>.png and goal/<view>.png, none, or own-last-frame (non-causal)."""
    views: tuple[str, ...] = ()
    """Cameras to look at; none: all that the dataset has."""
    gamma: float = GAMMA
    """Discount per row of the column reward: the learner's own."""
    overwrite: bool = False
    """Replace labels that are there."""
    dry_run: bool = False
    """Say what would be done, and stop."""
    openai: OpenAIConfig = field(default_factory=OpenAIConfig)
    """A remote model in place of ``--model``: give ``--openai.url``."""

    def run(self) -> None:
        """Label, and print where the labels are.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        check_discount("--gamma", self.gamma)
        path = check_place(self.out, overwrite=self.overwrite)
        from .judges import open_judge
        from .lerobot_dataset import open_dataset
        from .references import ReferenceFinder

        dataset = open_dataset(self.dataset, views=self.views or None)
        model = open_judge(self.model, self.openai)
        model.check_views(dataset.views)
        finder = ReferenceFinder(dataset, self.reference, size=model.settings.image_size)
        rows = sum(dataset.episode(i).length for i in range(len(dataset)))
        print(f"{len(dataset)} episodes, {rows} frames of {', '.join(dataset.views)}")
        if self.dry_run:
            return
        for source, shown in write_labels(dataset, model, finder, path, gamma=self.gamma).items():
            print(f"references of {len(shown)} episodes: {source}")
        for remark in model.remarks():
            print(remark)
        print(f"labels: {path}")
        print(
            "to weigh LeRobot training with them: --sample_weighting.type=rabc "
            f"--sample_weighting.progress_path={path}"
        )


def check_place(out: Path, *, overwrite: bool) -> Path:
    """Return the file to write, after checking that it may be written.

    Raises:
        OutputError: If it exists without ``overwrite``, or cannot be written.
    """
    path = out / FILE
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: --overwrite replaces it, or choose another --out")
    try_out(out)
    return path


def label_episode(
    dataset: "EpisodeDataset", model: "QueryModel", finder: "ReferenceFinder", episode: "Episode"
) -> "Labels":
    """Return the labels of an episode.

    Only the frames that are queried are resized and kept; the others are decoded and dropped.
    """
    import numpy as np

    every = model.stride(episode.fps)
    stream = dataset.frames(
        episode.index, views=episode.views, size=model.settings.image_size, stride=every
    )
    return model.label_queries(
        (views for _, views in stream),
        episode.instructions[0],
        finder.find(episode.index).references,
        query=np.arange(episode.length) // every,
    )


def write_labels(
    dataset: "EpisodeDataset",
    model: "QueryModel",
    finder: "ReferenceFinder",
    path: Path,
    *,
    gamma: float = GAMMA,
) -> dict[str, list[int]]:
    """Write the sidecar, one row group an episode; return who was shown which references.

    The file appears whole or not at all; a log grows beside it, a line an episode. Memory does
    not grow with the dataset, but for the references of each further instruction.

    Args:
        dataset: The episodes.
        model: Who judges them.
        finder: Who says what start and goal look like.
        path: The file.
        gamma: Discount per row of the column ``reward``.

    Raises:
        RoboRewardError: If an episode cannot be read or the file not written.
    """
    import pyarrow.parquet as pq

    used = references_used(dataset, finder)
    schema = _schema(model.further)
    with (
        written(path),
        closing(RunLog(path.with_name(LOG))) as log,
        replacing(path) as partial,
        pq.ParquetWriter(partial, schema, store_schema=False) as writer,
        progress_bar("label", len(dataset), "episodes") as bar,
    ):
        for index in range(len(dataset)):
            episode = dataset.episode(index)
            labels = label_episode(dataset, model, finder, episode)
            writer.write_table(_table(episode, labels, schema, gamma))
            log.write(
                episode=index,
                frames=episode.length,
                references=finder.source(index),
                valid_share=float(labels.valid.mean()),
                last_progress=float(labels.progress[-1]),
            )
            bar(1)
        about = _metadata(dataset, model, finder, used)
        writer.add_key_value_metadata(about | {"gamma": repr(gamma)})
    return used


def references_used(dataset: "EpisodeDataset", finder: "ReferenceFinder") -> dict[str, list[int]]:
    """Return source of references → the episodes that are shown it, in order."""
    used: dict[str, list[int]] = {}
    for index in range(len(dataset)):
        used.setdefault(finder.source(index), []).append(index)
    return used


def ranges(numbers: list[int]) -> str:
    """Return rising numbers as text, runs of them shortened: 0-2,4."""
    starts = [n for i, n in enumerate(numbers) if i == 0 or numbers[i - 1] != n - 1]
    ends = [n for i, n in enumerate(numbers) if i + 1 == len(numbers) or numbers[i + 1] != n + 1]
    runs = zip(starts, ends, strict=True)
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _metadata(
    dataset: "EpisodeDataset",
    model: "QueryModel",
    finder: "ReferenceFinder",
    used: dict[str, list[int]],
) -> dict[str, str]:
    return {
        "model_fingerprint": model.fingerprint,
        "reward_model_path": f"robo-reward:{model.fingerprint}",
        "dataset_fingerprint": dataset.fingerprint,
        "views": ", ".join(dataset.views),
        "references": finder.choice,
        "references_used": json.dumps({source: ranges(shown) for source, shown in used.items()}),
        "causal": "no" if finder.looks_ahead else "yes",
        "reward": "gamma * potential after the row - potential; add what the task pays",
        "decoder": "pyav",
        "code_version": version("robo-reward"),
        **model.about(),
    }


def _schema(further: tuple[str, ...]) -> "pa.Schema":
    """Return the columns: those of every model, and ``further`` that this one fills."""
    import pyarrow as pa

    numbers = [(name, pa.int64()) for name in ("index", "episode_index", "frame_index")]
    values = [(name, pa.float32()) for name in (*_FROM_LABELS, "reward", *further)]
    return pa.schema([*numbers, *values, ("valid", pa.bool_())])


def _table(episode: "Episode", labels: "Labels", schema: "pa.Schema", gamma: float) -> "pa.Table":
    """Return the rows of an episode; where the verdict is invalid, Φ, bound and time are NaN."""
    import numpy as np
    import pyarrow as pa

    from .rewards import ends_done, row_rewards

    frames = np.arange(episode.length, dtype=np.int64)
    done = ends_done(episode)
    columns: dict[str, Any] = {
        "index": episode.first_row + frames,
        "episode_index": np.full(episode.length, episode.index, dtype=np.int64),
        "frame_index": frames,
        "reward": row_rewards(labels.progress, labels.valid, done=done, gamma=gamma).astype("f4"),
    }
    told = [name for name in schema.names if name not in columns]
    columns |= {name: getattr(labels, _FROM_LABELS.get(name, name)) for name in told}
    for name in _ONLY_VALID & columns.keys():
        columns[name] = np.where(labels.valid, columns[name], np.nan).astype(np.float32)
    return pa.table(columns, schema=schema)
