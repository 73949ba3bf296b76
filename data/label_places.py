"""The directory that labels are written to: tried out before the work, and cleared on request."""

import os
import shutil
from pathlib import Path

from robo_reward.errors import InputError, OutputError

from .places import try_out, written

LAUNCHERS = (("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS"))
"""Where launchers say which process this is, and of how many: torchrun, Slurm."""
ROW_BYTES = 160
"""Disk that a row takes at most while it is labelled: in its unit and in the sidecar."""


def check_place(out: Path, *, overwrite: bool, world: int = 1) -> None:
    """Check that labels may be written to a directory.

    Raises:
        OutputError: If it holds labels that were not begun by this program, and none may be
            replaced; or it cannot be written.
        InputError: If one of several processes is to replace labels.
    """
    from .compaction import FILE
    from .label_plan import PLAN

    if overwrite and world > 1:
        raise InputError(
            "--overwrite cannot be one of several processes' own decision; remove the directory "
            "first, then start them without it"
        )
    if (out / FILE).exists() and not (out / PLAN).exists() and not overwrite:
        raise OutputError(f"{out / FILE} exists: --overwrite replaces it, or choose another --out")
    try_out(out)


def check_room(out: Path, frames: int) -> None:
    """Check that the disk has room for the labels of so many frames.

    Raises:
        OutputError: If it does not.
    """
    place = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free, needed = shutil.disk_usage(place).free, ROW_BYTES * frames
    if free < needed:
        raise OutputError(
            f"{out}: labels of {frames} frames take up to {needed / 1e6:.0f} MB and "
            f"{free / 1e6:.0f} MB are free; free some space or choose another place"
        )


def begin_anew(out: Path) -> None:
    """Forget what was begun in a directory; a finished sidecar stays until the next is whole.

    Raises:
        OutputError: If somebody is at work there, or it cannot be removed.
    """
    from .compaction import MANIFEST, clear
    from .label_plan import PLAN
    from .label_store import DirectoryStore, is_dead
    from .leases import FOLDER, holders

    for unit, lease in holders(DirectoryStore(out)).items():
        if not is_dead(lease.process):
            raise OutputError(
                f"{lease.process} is at work on {unit} in {out}: end it first, or remove "
                f"{out / FOLDER} if it runs no more"
            )
    with written(out):
        (out / MANIFEST).unlink(missing_ok=True)
        clear(out)
        (out / PLAN).unlink(missing_ok=True)  # last: no unit may be left to another plan


def place_in_world(rank: int | None, world: int | None) -> tuple[int, int]:
    """Return which process of how many this is: as told, as a launcher says, or the only one.

    Raises:
        InputError: If that is not said in full, or cannot be.
    """
    if rank is None and world is None:
        for of_rank, of_world in LAUNCHERS:
            if of_rank in os.environ and of_world in os.environ:
                told = os.environ[of_rank], os.environ[of_world]
                if not all(number.isdecimal() for number in told):
                    raise InputError(f"{of_rank}={told[0]} of {of_world}={told[1]}: no numbers")
                rank, world = map(int, told)
                break
        else:
            return 0, 1
    if rank is None or world is None or not 0 <= rank < world:
        raise InputError(
            f"--rank {rank} of --world {world}: give both, with a rank from 0 to world − 1"
        )
    return rank, world
