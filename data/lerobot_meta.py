"""The metadata of a LeRobotDataset v3.0, read without LeRobot: files, tasks, episodes."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robo_reward.errors import DatasetError
from robo_reward.lerobot_rows import OWN_FILE, own_facts, read_json

from .media import inside
from .recordings import is_recording_directory

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
"""What names of datasets on the hub look like; no part of one may be or hold two dots in a row."""
FIELD = re.compile(r"\{(chunk_index|file_index)(:0?\d{1,2}d?)?\}|\{video_key\}")
"""What may stand in braces in the names of a dataset's files."""
CONVERTER = "python -m lerobot.scripts.convert_dataset_v21_to_v30"


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What the ``meta`` folder of a dataset says."""

    root: Path
    """The dataset's directory."""
    info: dict[str, Any]
    """``meta/info.json``."""
    tasks: dict[int, str]
    """``task_index`` → task text."""
    episodes: pa.Table
    """One row per episode, in order, without statistics."""
    own: dict[str, Any]
    """``meta/robo_reward.json``; empty where a dataset was made by others."""

    def files(self, camera: str | None) -> list[Path]:
        """Return the files, relative to the root, of a video feature or (None) of the data.

        Raises:
            DatasetError: If one of them would lie outside the dataset.
        """
        kind, prefix = ("data", "data") if camera is None else ("video", f"videos/{camera}")
        chunks = self.episodes[f"{prefix}/chunk_index"].to_pylist()
        numbers = self.episodes[f"{prefix}/file_index"].to_pylist()
        template = _template(self.root, f"{kind}_path", self.info.get(f"{kind}_path"))
        found: dict[tuple[int, int], Path] = {}
        for chunk, number in zip(chunks, numbers, strict=True):
            if (chunk, number) not in found:
                if not isinstance(chunk, int) or not isinstance(number, int):
                    raise DatasetError(
                        f"meta/episodes of {self.root} names file {number} in chunk {chunk}, which "
                        "are no numbers; copy the dataset again"
                    )
                text = template.format(chunk_index=chunk, file_index=number, video_key=camera)
                inside(self.root, self.root / text)
                found[chunk, number] = Path(text)
        return [found[place] for place in zip(chunks, numbers, strict=True)]


def locate(source: str | Path) -> Path:
    """Return the local directory of a dataset, downloading it if ``source`` is a hub id.

    Raises:
        DatasetError: If there is neither such a directory nor such a dataset on the hub.
    """
    root = Path(source)
    if root.exists():
        return root
    if not HUB_ID.fullmatch(str(source)) or ".." in str(source):
        raise DatasetError(
            f"there is no dataset directory {source}; name a LeRobotDataset, or a hub id user/name"
        )
    return _download(str(source))


def _download(repo_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from lerobot.datasets.dataset_metadata import LeRobotDatasetMetadata
    from lerobot.datasets.utils import BackwardCompatibilityError, ForwardCompatibilityError
    from lerobot.utils.constants import HF_LEROBOT_HUB_CACHE

    try:
        revision = LeRobotDatasetMetadata(repo_id).revision
        folder = snapshot_download(
            repo_id, repo_type="dataset", revision=revision, cache_dir=HF_LEROBOT_HUB_CACHE
        )
    except BackwardCompatibilityError as error:
        raise DatasetError(_outdated(repo_id, "older than v3.0")) from error
    except (OSError, ValueError, RuntimeError, ForwardCompatibilityError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DatasetError(
            f"there is no directory {repo_id}, and the hub did not give a dataset of that name "
            f"({reason}); check the name and the network"
        ) from error
    return Path(folder)


def _template(root: Path, name: str, template: Any) -> str:
    """Return the pattern of a dataset's file names, if nothing but numbers and a key go into it."""
    rest = FIELD.sub("", template) if isinstance(template, str) else "{"
    if "{" in rest or "}" in rest:
        raise DatasetError(
            f"{root}/meta/info.json has no {name} that can be filled in, but {template!r}; write "
            "the dataset again with LeRobot"
        )
    return str(template)


def _outdated(source: str | Path, version: str) -> str:
    where = "" if isinstance(source, str) else f" --root={source} --push-to-hub=false"
    name = source if isinstance(source, str) else f"local/{source.name}"
    return (
        f"{source} is a LeRobotDataset {version}, and v3.0 is needed; convert it with: "
        f"{CONVERTER} --repo-id={name}{where}"
    )


def read_metadata(root: Path) -> Metadata:
    """Return the metadata of a local dataset.

    Raises:
        DatasetError: If the directory is no LeRobotDataset v3.0, or its metadata is damaged.
    """
    for path in (*root.glob("meta/*"), *root.glob("meta/episodes/*/*")):
        inside(root, path)
    info = _read_info(root)
    own = own_facts(root)
    tasks = _read_parquet(root / "meta/tasks.parquet")
    texts = next((name for name in tasks.column_names if name != "task_index"), None)
    if texts is None:
        raise DatasetError(f"{root}/meta/tasks.parquet has no task texts; write the dataset again")
    indices = tasks["task_index"].to_pylist()
    episodes = _read_episodes(root, int(info["total_episodes"]))
    return Metadata(
        root=root,
        info=info,
        tasks=dict(zip(indices, tasks[texts].to_pylist(), strict=True)),
        episodes=episodes,
        own=own,
    )


def _read_info(root: Path) -> dict[str, Any]:
    path = root / "meta/info.json"
    if not path.is_file():
        if root.is_dir() and is_recording_directory(root):
            raise DatasetError(
                f"{root} holds raw recordings; convert them with: "
                f"robo-reward import {root} --out outputs/{root.resolve().name}"
            )
        raise DatasetError(
            f"{root} is not a LeRobotDataset: it has no meta/info.json; name the folder above meta/"
        )
    info = read_json(path)
    version = str(info.get("codebase_version", "of unknown version"))
    if version.startswith(("v1", "v2")):
        raise DatasetError(_outdated(root, version))
    needed = ("fps", "features", "total_episodes", "data_path")
    absent = [key for key in needed if key not in info]
    if not version.startswith("v3") or absent:
        lacking = f" and lacks {', '.join(absent)}" if absent else ""
        raise DatasetError(f"{path} is {version}{lacking}; write it with LeRobot 0.6 (v3.0)")
    return info


def _read_episodes(root: Path, total: int) -> pa.Table:
    paths = sorted((root / "meta/episodes").glob("chunk-*/file-*.parquet"))
    if not paths or total == 0:
        raise DatasetError(f"{root} holds no episodes; record some, or finalize() the dataset")
    tables = [_read_parquet(path, leave_out="stats/") for path in paths]
    table = pa.concat_tables(tables, promote_options="permissive").sort_by("episode_index")
    if table["episode_index"].to_pylist() != list(range(total)):
        raise DatasetError(
            f"{root}/meta/episodes lists {table.num_rows} episodes, but info.json claims {total}; "
            "the dataset was not finalized or a file is missing: copy or record it again"
        )
    return table


def _read_parquet(path: Path, *, leave_out: str = "\n") -> pa.Table:
    with parquet_errors(path):
        file = pq.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if not name.startswith(leave_out)]
        return file.read(columns=names).replace_schema_metadata(None)


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn a damaged or absent parquet file, read inside, into one sentence.

    Raises:
        DatasetError: In place of what pyarrow or the file system raised.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DatasetError(f"there is no {path}; copy the dataset again") from error
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); copy the dataset again") from error


def fingerprint(meta: Metadata, cameras: list[str]) -> str:
    """Return the sha256 of a dataset's metadata and of its files' names and sizes.

    It is the same on every machine, and changes with any edit that LeRobot's tools make.

    Args:
        meta: The metadata.
        cameras: All features that are kept as video.

    Raises:
        DatasetError: If a data or video file is missing.
    """
    digest = hashlib.sha256()
    small = [Path("meta/info.json"), Path("meta/tasks.parquet"), OWN_FILE]
    small += sorted(p.relative_to(meta.root) for p in meta.root.glob("meta/episodes/*/*.parquet"))
    for name in small:
        if (meta.root / name).is_file():
            digest.update(f"{name.as_posix()}\0".encode() + (meta.root / name).read_bytes())
    files = {name for camera in (None, *cameras) for name in meta.files(camera)}
    for name in sorted(files):
        path = meta.root / name
        if not path.is_file():
            raise DatasetError(f"{meta.root} lacks its file {name}; copy the dataset again")
        digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()
