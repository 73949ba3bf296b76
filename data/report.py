"""The command ``report``: a page to look at labels, the most suspicious episodes first."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robo_reward.errors import DatasetError, InputError, OutputError
from robo_reward.files import write_atomically

from .compaction import FILE

if TYPE_CHECKING:
    import pyarrow as pa

LABELS_FILE = FILE


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one HTML file to look at labels: curves, pictures, the most suspicious first.

    The file opens by a double click, needs no network, and can be sent as it is.

    Example: robo-reward report --dataset outputs/demo/data --labels outputs/demo/labels
    --out report.html
    """

    dataset: Path
    """Folder of the dataset that was labelled."""
    labels: Path
    """Folder that 'robo-reward label' wrote: it holds progress.parquet."""
    out: Path
    """The HTML file to make."""
    views: tuple[str, ...] = ()
    """Cameras to show; none: all that the dataset has."""
    episodes: tuple[int, ...] | None = None
    """Numbers of the episodes to show; all that have labels if not given."""
    overwrite: bool = False
    """Replace the file if it exists."""
    image_size: int = 160
    """Side of the pictures in pixels, 32 to 640."""
    max_media: int = 100
    """How many episodes get pictures, the most suspicious first."""
    media_mb: float = 40.0
    """What all pictures may take in MB; they are made coarser where they would take more."""
    dry_run: bool = False
    """Say what would be done, and stop."""

    def run(self) -> None:
        """Check what can be checked first, then build the page and write it."""
        from robo_reward.console import progress_bar

        from .lerobot_dataset import open_dataset
        from .report_curves import check_labels
        from .report_page import build_report

        self._check()
        table = read_labels(self.labels)
        dataset = open_dataset(self.dataset, views=self.views or None)
        check_labels(dataset, table, str(self.labels / LABELS_FILE))
        wanted = len(set(self.episodes)) if self.episodes else len(table["episode_index"].unique())
        if self.dry_run:
            print(f"would show {wanted} episodes, {min(wanted, self.max_media)} with pictures")
            return
        sizes: list[int] = []
        with progress_bar("report", min(wanted, self.max_media), "episodes") as bar:

            def on_media(size: int) -> None:
                sizes.append(size)
                bar(1, f"{sum(sizes) / 1e6:.1f} MB")

            page = build_report(
                dataset,
                table,
                episodes=self.episodes,
                image_size=self.image_size,
                max_media=self.max_media,
                media_mb=self.media_mb,
                on_media=on_media,
            )
        write_page(page, self.out)
        size, pictures = self.out.stat().st_size / 1e6, sum(sizes) / 1e6
        print(f"{self.out}: episodes: {wanted}, with pictures: {len(sizes)}; ", end="")
        print(f"{size:.1f} MB, of which {pictures:.1f} MB pictures")

    def _check(self) -> None:
        if self.episodes == ():
            raise InputError("--episodes names no episode; give numbers, or leave it out for all")
        if not 32 <= self.image_size <= 640:
            raise InputError(f"--image-size {self.image_size} is not between 32 and 640 pixels")
        if self.max_media < 0:
            raise InputError(f"--max-media {self.max_media} is negative; 0 means no pictures")
        if not 0 < self.media_mb <= 1000:
            raise InputError(f"--media-mb {self.media_mb} is not between 0 and 1000 MB")
        if self.out.is_dir():
            raise OutputError(f"--out {self.out} is a folder; name an HTML file in it")
        if self.out.exists() and not self.overwrite:
            raise OutputError(f"{self.out} exists; give --overwrite to replace it")


def read_labels(folder: Path) -> "pa.Table":
    """Return the table of labels in a folder.

    Raises:
        DatasetError: If there is none, or it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / LABELS_FILE
    if not path.is_file():
        raise DatasetError(
            f"{folder} holds no {LABELS_FILE}, so there is nothing to show; give --labels the "
            "folder that 'robo-reward label' wrote, and let it finish"
        )
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} cannot be read ({error}); run 'robo-reward label' again into a new folder"
        ) from error


def write_page(page: str, path: Path) -> None:
    """Write a file whole or not at all.

    Raises:
        OutputError: If the place cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page.encode())
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}); choose another --out, or make room there"
        ) from error
