"""The command ``review``: a page to look at labels, correct them, and write a new version."""

import re
from dataclasses import dataclass
from pathlib import Path

from robo_reward.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Review:
    """Look at labels in the browser, correct them, and write a new version of them.

    The page is served on this machine alone, and opens by an address that works once. The
    labels themselves, and the dataset, are never changed.

    Example: robo-reward review --dataset outputs/demo/data --labels outputs/demo/labels
    """

    dataset: Path
    """Folder of the dataset that was labelled."""
    labels: Path
    """Folder that 'robo-reward label' wrote, or one of the versions in it (versions/0002)."""
    views: tuple[str, ...] = ()
    """Cameras to show; none: all that the dataset has."""
    reviewer: str = "reviewer"
    """Who reviews: letters, digits, - and _. Each has a draft of their own."""
    port: int = 0
    """Port on 127.0.0.1; 0: a free one."""

    def run(self) -> None:
        """Serve the page until Ctrl-C.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", self.reviewer):
            raise InputError(
                f"--reviewer {self.reviewer!r} is part of a file name: give up to 40 letters, "
                "digits, - and _"
            )
        if not 0 <= self.port <= 65535:
            raise InputError(f"--port {self.port} is not between 0 and 65535; 0 finds a free one")
        from .lerobot_dataset import open_dataset
        from .review_frames import FramePictures
        from .review_places import newest
        from .review_server import listen, serve
        from .review_session import Session

        dataset = open_dataset(self.dataset, views=self.views or None)
        session = Session(dataset, self.labels, self.reviewer)
        try:
            with listen(self.port) as heard:
                last = newest(session.version.labels)
                print(f"version {session.version.number} of {session.version.labels}: ", end="")
                print(f"{len(session.found)} episodes; draft {session.draft.path}")
                if last.number != session.version.number:
                    print(f"there is a later version: --labels {last.folder} goes on from it")
                serve(session, FramePictures(dataset), heard)
            left = session.changed()
            print(f"ended; {left} decisions are in the draft {session.draft.path}, ", end="")
            print("not in a version yet" if left else "nothing is left to write")
        finally:
            session.draft.close()
