"""``robo-reward eval`` from a dataset and a model to figures, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from conftest import change_info, data_file, rewrite, write_dataset

from data import eval_cases
from data.evaluating import Eval, chosen_probes
from data.probes import probes_for
from robo_reward.checkpoint import ModelConfig, save
from robo_reward.errors import CheckpointError, InputError, OutputError, RoboRewardError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "tiny"
    settings = tiny.model().settings
    save(place, tiny.network(), ModelConfig(backbone=tiny.SHAPE, settings=settings, training={}))
    return place


@pytest.fixture(scope="module")
def command(
    model: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("eval") / "out"
    return {"dataset": (str(tiny_dataset),), "model": model, "out": out, "draws": 20}


@pytest.fixture(scope="module")
def told(command: dict[str, Any]) -> dict[str, Any]:
    Eval(**command).run()
    found: dict[str, Any] = json.loads((command["out"] / "eval.json").read_text())
    return found


def test_it_tells_figures_probes_and_where_they_come_from(told: dict[str, Any]) -> None:
    assert told["episodes"] == 3
    assert told["outcomes"] == {"failure": 0, "partial": 1, "success": 2}
    assert told["model_fingerprint"]
    values = told["figures"]["mae"]["values"]
    assert set(values) == {
        "model", "clock", "constant_hop", "pixel_distance", "embedding_distance", "truth",
    }  # fmt: skip
    assert values["truth"]["value"] == 0.0
    assert 0 < values["model"]["value"] < 1
    assert {"frozen", "without_front", "without_wrist"} < set(told["probes"])


def test_each_episode_is_told_and_the_page_is_there(
    told: dict[str, Any], command: dict[str, Any]
) -> None:
    assert [one["name"] for one in told["per_episode"]] == [f"episode {n}" for n in range(3)]
    assert set(told["per_episode"][0]["probes"]) == set(told["probes"])
    assert "<h1>Evaluation" in (command["out"] / "eval.html").read_text()
    log = [json.loads(line) for line in (command["out"] / "eval.jsonl").read_text().splitlines()]
    assert [line["episode"] for line in log] == ["episode 0", "episode 1", "episode 2"]


def test_the_same_command_tells_the_same(
    told: dict[str, Any], command: dict[str, Any], tmp_path: Path
) -> None:
    place = tmp_path / "elsewhere" / "figures.json"
    Eval(**command | {"out": tmp_path}, json=place).run()
    again = json.loads(place.read_text())
    assert again == told


def test_some_episodes_and_some_probes(command: dict[str, Any], tmp_path: Path) -> None:
    Eval(**command | {"out": tmp_path}, episodes=(2, 0, 2), probes=("frozen",)).run()
    found = json.loads((tmp_path / "eval.json").read_text())
    assert found["episodes"] == 2
    assert set(found["probes"]) == {"frozen"}
    assert found["pairs"] == {}


def test_no_probes_and_a_single_episode(
    command: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Eval(**command | {"out": tmp_path}, episodes=(1,), probes=()).run()
    assert json.loads((tmp_path / "eval.json").read_text())["probes"] == {}
    assert "1 episodes, 0 probes: none" in capsys.readouterr().out


def test_videos_are_measured_as_images_are(
    told: dict[str, Any], command: dict[str, Any], tiny_video_dataset: Path, tmp_path: Path
) -> None:
    changes = {"dataset": (str(tiny_video_dataset),), "out": tmp_path, "probes": ()}
    Eval(**command | changes).run()
    found = json.loads((tmp_path / "eval.json").read_text())
    for name in ("mae", "ccc"):
        one, two = (from_["figures"][name]["values"]["model"]["value"] for from_ in (found, told))
        assert one == pytest.approx(two, abs=0.05)


def test_a_dry_run_writes_nothing(command: dict[str, Any], tmp_path: Path) -> None:
    Eval(**command | {"out": tmp_path / "new"}, dry_run=True).run()
    assert not (tmp_path / "new").exists()


def test_figures_are_not_overwritten_unasked(command: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "eval.json").touch()
    with pytest.raises(OutputError, match="--overwrite"):
        Eval(**command | {"out": tmp_path}).run()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"episodes": ()}, InputError, "names no episode"),
        ({"draws": 0}, InputError, "--draws must be at least 1"),
        ({"episodes": (7,)}, InputError, "has no episode 7"),
        ({"probes": ("mirror",)}, InputError, "no probe mirror; there are: frozen, reversed"),
        ({"model": Path("nowhere")}, CheckpointError, "nowhere"),
        ({"reference": "9"}, InputError, "--reference 9"),
        ({"dataset": ()}, InputError, "--dataset names nothing"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    command: dict[str, Any],
    tmp_path: Path,
    changes: dict[str, Any],
    error: type[RoboRewardError],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        Eval(**command | {"out": tmp_path} | changes).run()


def test_time_is_not_taken_for_truth(command: dict[str, Any], tmp_path: Path) -> None:
    """A recorded success whose progress nobody knows has no error, but an order."""

    root = write_dataset(tmp_path / "untold", "images")
    rewrite(data_file(root), lambda table: table.drop_columns(["truth.progress", "truth.goals"]))

    def forget(info: dict[str, Any]) -> None:
        for name in ("truth.progress", "truth.goals"):
            del info["features"][name]

    change_info(root, forget)
    Eval(**command | {"dataset": (str(root),), "out": tmp_path / "out"}).run()
    figures = json.loads((tmp_path / "out/eval.json").read_text())["figures"]
    assert figures["mae"]["values"]["clock"]["value"] is None
    assert figures["voc_forward"]["values"]["clock"]["value"] == pytest.approx(1.0)


def test_all_probes_are_chosen_by_default() -> None:
    every = probes_for(("front",))
    assert chosen_probes(every, None) is every
    assert chosen_probes(every, ()) == {}


def test_an_invariance_probe_brings_its_partner() -> None:
    every = probes_for(("front",))
    assert list(chosen_probes(every, ("grain", "frozen"))) == ["frozen", "shuffled", "grain"]


class Point:
    """An entry point of another package."""

    def load(self) -> Any:
        sticker = probes_for(("front",))["sticker"]
        return lambda root: {root.name: replace(sticker, name=root.name)}


def test_other_packages_offer_probes(
    command: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval_cases, "entry_points", lambda group: [Point()])
    Eval(**command | {"out": tmp_path}, probes=("tiny",)).run()
    assert set(json.loads((tmp_path / "eval.json").read_text())["probes"]) == {"tiny"}


def test_several_datasets_are_one_evaluation_with_each_by_itself(
    command: dict[str, Any],
    tiny_dataset: Path,
    tiny_video_dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    several = {"dataset": (str(tiny_dataset), str(tiny_video_dataset)), "out": tmp_path}
    Eval(**command | several, episodes=(0, 1), probes=()).run()
    told = json.loads((tmp_path / "eval.json").read_text())
    assert (told["dataset"], told["episodes"]) == ("2 datasets", 4)
    assert told["datasets"] == list(several["dataset"])
    names = [tiny_dataset.name, tiny_video_dataset.name]
    assert list(told["by_dataset"]["datasets"]) == names
    assert f"{names[1]} (2)" in capsys.readouterr().out
    assert f"{names[1]} (2)" in (tmp_path / "eval.html").read_text()
