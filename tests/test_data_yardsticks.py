"""Public yardsticks, on small directories that look like theirs."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import tiny
from conftest import write_video

from data.evaluating import Eval
from data.heldout import HeldOut
from data.yardsticks import Yardstick, graded, open_yardstick
from robo_reward.checkpoint import ModelConfig, save
from robo_reward.errors import DatasetError, InputError, RoboRewardError
from robo_reward.ranking import FAILURE, PARTIAL, SUCCESS

pytestmark = pytest.mark.usefixtures("one_thread")


def ramp(length: int, top: int = 200) -> list[np.ndarray]:
    return [np.full((32, 48, 3), top * n // (length - 1), np.uint8) for n in range(length)]


def robo_dopamine(root: Path) -> Path:
    names = ["libero/a", "libero/b", "egodex/c"]
    for name in names:
        cameras = ["cam_high"] if "egodex" in name else ["cam_high", "cam_left_wrist"]
        for camera in cameras:
            folder = root / name / camera
            folder.mkdir(parents=True)
            for number, image in enumerate(ramp(25)):
                cv2.imwrite(str(folder / f"frame_{number:06d}.png"), image)
    told = {"sample_path_list": names, "sample_path_task": ["stack", "stack", "fold"]}
    (root / "libero_test_100.json").write_text(json.dumps(told))
    (root / "summary.json").write_text("[]")
    return root


def roboreward(root: Path) -> Path:
    lines = []
    for reward in (1, 3, 5):
        name = f"bridge/{reward}.mp4"
        write_video(root / "test" / name, ramp(12, 50 * reward))
        lines.append(json.dumps({"file_name": name, "task": "stack", "reward": reward, "x": 0}))
    (root / "test/metadata.jsonl").write_text("\n".join(lines) + "\n\n")
    return root


def rbm_eval(root: Path) -> Path:
    folder = root / "usc_koch"
    (folder / "processed_dataset").mkdir(parents=True)
    (folder / "frames").mkdir()
    rows: list[dict[str, Any]] = []
    for number, quality in enumerate(("failure", "suboptimal", "successful")):
        name = f"trajectory_{number}.npz"
        np.savez_compressed(folder / "frames" / name, frames=np.stack(ramp(8, 100 * number)))
        rows.append(
            {
                "id": f"t{number}",
                "task": "stack",
                "frames": f"/elsewhere/processed/usc_koch/frames/{name}",
                "quality_label": quality,
                "partial_success": 0.5,
            }
        )
    table = pa.Table.from_pylist(rows)
    path = folder / "processed_dataset/data-00000-of-00001.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return root


MAKERS = {
    "robo-dopamine-bench": robo_dopamine,
    "roboreward-bench": roboreward,
    "rbm-eval": rbm_eval,
}


def opened(layout: str, root: Path, **choice: Any) -> Yardstick:
    return open_yardstick(layout, str(MAKERS[layout](root)), **choice)


def cases(yardstick: Yardstick, reference: str = "auto") -> list[Any]:
    held_out = HeldOut(yardstick, size=16, reference=reference)
    return [graded(case, yardstick.samples[n]) for n, case in enumerate(held_out.cases())]


def test_robo_dopamine_bench_holds_successes_of_several_cameras(tmp_path: Path) -> None:
    yardstick = opened("robo-dopamine-bench", tmp_path)
    assert yardstick.views == ("cam_high", "cam_left_wrist")
    assert [len(yardstick.episode(n).views) for n in range(3)] == [2, 2, 1]
    found = cases(yardstick)
    assert [case.outcome for case in found] == [SUCCESS] * 3
    assert np.isnan(found[0].truth).all()
    assert found[0].fps == 30.0
    shown = list(found[2].frames(12))
    assert [sorted(views) for views in shown] == [["cam_high"]] * 3
    assert shown[2]["cam_high"].shape == (16, 16, 3)


def test_references_come_from_another_sample_of_the_task_or_its_own_ends(tmp_path: Path) -> None:
    yardstick = opened("robo-dopamine-bench", tmp_path)
    auto = cases(yardstick)
    assert [sorted(case.references.goal) for case in auto] == [
        ["cam_high", "cam_left_wrist"], ["cam_high", "cam_left_wrist"], [],
    ]  # fmt: skip
    own = cases(yardstick, "own-last-frame")
    assert own[2].references.goal["cam_high"].mean() == 200


def test_some_views_of_a_yardstick(tmp_path: Path) -> None:
    yardstick = opened("robo-dopamine-bench", tmp_path, views=("cam_left_wrist",))
    assert (len(yardstick), yardstick.views) == (2, ("cam_left_wrist",))
    with pytest.raises(DatasetError, match="has the views cam_high, cam_left_wrist"):
        open_yardstick("robo-dopamine-bench", str(tmp_path), views=("top",))


def test_roboreward_bench_grades_the_end(tmp_path: Path) -> None:
    found = cases(opened("roboreward-bench", tmp_path))
    assert [case.truth[-1] for case in found] == [0.0, 0.5, 1.0]
    assert all(np.isnan(case.truth[:-1]).all() for case in found)
    assert [case.outcome for case in found] == [FAILURE, PARTIAL, SUCCESS]
    assert [case.done[-1] for case in found] == [0.0, 0.0, 1.0]
    assert found[1].name == "bridge/3.mp4"


def test_rbm_eval_knows_the_outcome_and_nothing_else(tmp_path: Path) -> None:
    yardstick = opened("rbm-eval", tmp_path)
    found = cases(yardstick)
    assert [case.outcome for case in found] == [FAILURE, PARTIAL, SUCCESS]
    assert [case.name for case in found] == [f"usc_koch/t{n}" for n in range(3)]
    assert np.isnan(found[2].truth).all()
    assert len(list(found[0].frames(1))) == 8, "every frame is asked about"
    assert yardstick.fingerprint == open_yardstick("rbm-eval", str(tmp_path)).fingerprint


@pytest.mark.parametrize("layout", MAKERS)
def test_a_model_is_measured_on_every_yardstick(layout: str, tmp_path: Path) -> None:
    settings = tiny.model().settings
    config = ModelConfig(backbone=tiny.SHAPE, settings=settings)
    save(tmp_path / "model", tiny.network(), config)
    root = MAKERS[layout](tmp_path / "yardstick")
    Eval(
        dataset=(str(root),),
        layout=layout,  # type: ignore[arg-type]
        model=tmp_path / "model",
        out=tmp_path / "out",
        draws=5,
    ).run()
    told = json.loads((tmp_path / "out/eval.json").read_text())
    figures = {name: figure["values"]["clock"]["value"] for name, figure in told["figures"].items()}
    assert told["episodes"] == 3
    if layout == "robo-dopamine-bench":
        assert (figures["voc_forward"], figures["voc_reversed"]) == pytest.approx((1.0, -1.0))
        assert figures["concordance"] is None
    else:
        assert figures["concordance"] == 0.5
        assert told["tau_a_ceiling"] == 1.0
    if layout == "roboreward-bench":
        assert figures["grade_mae"] == pytest.approx((4 + 2 + 0) / 3)


def damaged(layout: str, root: Path, what: str) -> Path:
    MAKERS[layout](root)
    if what == "empty":
        for path in (*root.glob("*.json"), *root.glob("*/metadata.jsonl"), *root.rglob("*.arrow")):
            path.unlink()
    elif what == "outside":
        told = {"sample_path_list": ["../x"], "sample_path_task": ["t"]}
        (root / "libero_test_100.json").write_text(json.dumps(told))
    elif what == "lengths":
        next((root / "libero/a/cam_high").iterdir()).unlink()
    elif what == "reward":
        (root / "test/metadata.jsonl").write_text('{"file_name": "a", "task": "t", "reward": 9}')
    elif what == "json":
        (root / "test/metadata.jsonl").write_text("{")
    elif what == "npz":
        next(root.rglob("*.npz")).unlink()
    else:
        next(root.rglob("*.arrow")).write_bytes(b"no arrow")
    return root


@pytest.mark.parametrize(
    ("layout", "what", "says"),
    [
        ("robo-dopamine-bench", "empty", "lacks <set>.json"),
        ("roboreward-bench", "empty", "metadata.jsonl"),
        ("rbm-eval", "empty", "processed_dataset"),
        ("robo-dopamine-bench", "outside", "lies outside of it"),
        ("robo-dopamine-bench", "lengths", "views differ in length"),
        ("roboreward-bench", "reward", "reward 1 to 5"),
        ("roboreward-bench", "json", "is not JSON"),
        ("rbm-eval", "npz", "neither there nor in"),
        ("rbm-eval", "arrow", "cannot be read"),
    ],
)
def test_a_damaged_yardstick_is_refused_by_name(
    layout: str, what: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=says):
        cases(open_yardstick(layout, str(damaged(layout, tmp_path, what))))


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    yardstick = opened("roboreward-bench", tmp_path)
    wrong: list[tuple[type[RoboRewardError], Any]] = [
        (InputError, lambda: yardstick.episode(3)),
        (DatasetError, lambda: open_yardstick("rbm-eval", str(tmp_path / "nowhere"))),
        (DatasetError, lambda: Yardstick(tmp_path, [])),
    ]
    for error, ask in wrong:
        with pytest.raises(error):
            ask()
