# /// script
# requires-python = ">=3.12"
# dependencies = ["robo-reward"]
# [tool.uv.sources]
# robo-reward = { path = "..", editable = true }
# ///
r"""Label a dataset from Python, and print the episodes that most deserve a look.

    python examples/02_label_a_dataset.py outputs/demo/held-out \
        --model outputs/demo/model-0 --out outputs/demo-labels

The same as `robo-reward label` followed by the head of `robo-reward report`, with the labels at
hand as arrays.
"""

from pathlib import Path

import numpy as np
import tyro

import robo_reward
from data import open_dataset
from data.compaction import references_used
from data.label_places import begin_anew
from data.label_share import write_labels
from data.references import ReferenceFinder
from data.report import read_labels
from data.report_curves import labelled_episodes


def main(
    source: tyro.conf.Positional[Path],
    model: Path,
    out: Path,
    reference: str = "auto",
    show: int = 5,
    overwrite: bool = False,
) -> None:
    """Label a LeRobotDataset; nothing is written into it.

    Args:
        source: The dataset's directory.
        model: A checkpoint, or the directory of a training run.
        out: Directory for progress.parquet.
        reference: As for 'robo-reward label'.
        show: How many episodes to print.
        overwrite: Replace labels that are there.
    """
    dataset, judge = open_dataset(source), robo_reward.load(model)
    finder = ReferenceFinder(dataset, reference, size=judge.settings.image_size)
    if overwrite:
        begin_anew(out)
    path = write_labels(dataset, judge, finder, out)
    for origin, shown in references_used(out).items():
        print(f"references of {len(shown)} episodes: {origin}")

    ranked = labelled_episodes(dataset, read_labels(out), None)  # the most suspicious first
    print(f"\nthe most suspicious of {len(ranked)} episodes:")
    for one in ranked[:show]:
        reasons = "; ".join(one.suspicion.reasons) or "nothing stands out"
        print(f"  episode {one.episode.index:4d}  {one.suspicion.score:.2f}  {reasons}")

    rising = []  # share of queries at which Φ rises
    for one in ranked:
        phi = one.curves["progress_sparse"][:: judge.stride(one.episode.fps)]
        steps = np.diff(phi[np.isfinite(phi)])
        rising.append(float((steps > 0).mean()) if len(steps) else 0.0)
    print(f"\nΦ rises at {np.mean(rising):.0%} of the queries; for LeRobot to weigh the samples of")
    print("imitation learning by how much Φ rises after them (RA-BC), train with")
    print(f"  --sample_weighting.type=rabc --sample_weighting.progress_path={path}")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except robo_reward.RoboRewardError as error:
        raise SystemExit(str(error)) from None
