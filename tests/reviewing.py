"""Labels of the tiny dataset, and a review of them that runs in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from test_data_report import labels_for

from data.lerobot_dataset import open_dataset
from data.rewards import row_rewards

SERVE = """
import sys
from pathlib import Path
from data.review import Review
Review(dataset=Path(sys.argv[1]), labels=Path(sys.argv[2]), reviewer=sys.argv[3]).run()
"""


def write_labels(folder: Path, root: Path, **metadata: str) -> Path:
    """Write labels of a dataset as 'label' does: Φ = t / 11 in all episodes, but .4 t / 11 in 2."""
    dataset = open_dataset(root)
    episodes = [dataset.episode(number) for number in range(len(dataset))]
    ramp = np.linspace(0, 1, 12, dtype=np.float32)
    curves = {one.index: ramp * np.float32(0.4 if one.index == 2 else 1) for one in episodes}
    table = labels_for(episodes, curves)
    told = {"dataset_fingerprint": dataset.fingerprint, "gamma": "0.9", **metadata}
    valid = np.ones(12, np.bool_)
    rewards = [row_rewards(curves[n], valid, done=False, gamma=0.9) for n in curves]
    table = table.append_column("reward", pa.array(np.concatenate(rewards).astype(np.float32)))
    folder.mkdir(parents=True)
    with pq.ParquetWriter(
        folder / "progress.parquet", table.schema.remove_metadata(), store_schema=False
    ) as writer:
        for number in range(len(episodes)):
            writer.write_table(table.slice(12 * number, 12).replace_schema_metadata(None))
        writer.add_key_value_metadata(told)
    return folder


@dataclass
class Serving:
    """A review that is being served."""

    process: subprocess.Popen[str]
    address: str
    """With its token."""
    lines: list[str] = field(default_factory=list)
    """What it printed before."""

    @property
    def base(self) -> str:
        """The address without the token."""
        return self.address.partition("/?")[0]

    @contextmanager
    def enter(self) -> Iterator[httpx.Client]:
        """Give the client that used the token."""
        with httpx.Client(base_url=self.base, timeout=30) as client:
            answer = client.get(self.address)
            assert answer.status_code == 200, answer.text
            yield client

    def end(self) -> str:
        """End it as Ctrl-C does; return what else it printed."""
        self.process.send_signal(2)
        told, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return told


@contextmanager
def serving(root: Path, labels: Path, reviewer: str = "me") -> Iterator[Serving]:
    """Serve a review of labels, and kill it in the end if it still runs."""
    command = [sys.executable, "-c", SERVE, str(root), str(labels), reviewer]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            found = re.match(r"open (http://127\.0\.0\.1:\d+/\?token=\S+)", line)
            if found:
                yield Serving(process, found[1], lines)
                return
        raise AssertionError(f"no address in {lines}")
    finally:
        process.kill()
        process.communicate(timeout=30)
