"""The arm plays an episode again while nothing else moves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.evaluate import Case
from data.heldout import HeldOut
from data.lerobot_dataset import open_dataset
from data.probe_changes import at_queries
from data.probes import Probe
from robo_reward.model import query_stride
from sim import render
from sim.beds import find_bed
from sim.collect import Collect
from sim.evals import OBJECT_FROZEN, probes
from sim.render import RenderError

PERIOD = 0.4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evals") / "out"
    Collect(
        out=out, episodes=2, image_size=64, mix="expert=1", storage="images", workers=1, replay=0
    ).run()
    return out


@pytest.fixture(scope="module")
def probe(dataset: Path) -> Probe:
    return probes(dataset)[OBJECT_FROZEN]


@pytest.fixture(scope="module")
def plain(dataset: Path) -> Case:
    case = HeldOut(open_dataset(dataset), size=64).cases()[1]
    every = query_stride(PERIOD, case.fps)
    return at_queries(case, list(case.frames(every)), every)


def changed(probe: Probe, case: Case) -> Case:
    made = probe.change(case, np.random.default_rng(0))
    assert made is not None
    return made


def test_the_truth_stays_low_though_the_arm_does_all(probe: Probe, plain: Case) -> None:
    made = changed(probe, plain)
    assert plain.truth[-1] == 1.0
    assert len(made.truth) == len(plain.truth)
    assert made.truth.max() < 0.7
    assert made.truth[-1] < 0.3
    assert not made.done.any()


def test_the_pictures_are_those_of_the_dataset_until_something_would_move(
    probe: Probe, plain: Case
) -> None:
    before, after = list(plain.frames(1)), list(changed(probe, plain).frames(1))
    assert len(before) == len(after)
    gaps = [
        max(float(np.abs(a[v].astype(float) - b[v]).mean()) for v in a)
        for a, b in zip(after, before, strict=True)
    ]
    assert max(gaps[:3]) < 1.0, "the arm is on its way, nothing is touched"
    assert gaps[-1] > 1.0, "the cube is not in the bin"


def test_the_arm_moves(probe: Probe, plain: Case) -> None:
    frames = list(changed(probe, plain).frames(1))
    moved = np.abs(frames[0]["front"].astype(float) - frames[len(frames) // 2]["front"]).mean()
    assert moved > 1.0


@pytest.mark.parametrize("changes", [{"number": -1}, {"number": 2}, {"instruction": "sing a song"}])
def test_other_episodes_and_other_words_are_left_out(
    probe: Probe, plain: Case, changes: dict[str, Any]
) -> None:
    assert probe.change(replace(plain, **changes), np.random.default_rng(0)) is None


def test_datasets_of_others_have_no_such_probe(tiny_dataset: Path) -> None:
    assert probes(tiny_dataset) == {}


def test_where_nothing_draws_the_probe_is_left_out_and_said_so(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise RenderError("no off-screen rendering here")

    monkeypatch.setattr(render, "require_backend", broken)
    assert probes(dataset) == {}
    assert "object_frozen is left out: no off-screen" in capsys.readouterr().out


@pytest.mark.parametrize("robot", ["panda", "so101"])
def test_an_arm_is_put_where_it_is_told(robot: str) -> None:
    env = find_bed("pick_to_bin", robot=robot).make(image_size=32, pixels=False)
    env.reset(seed=0)
    world = env.world
    joints, jaw, tool = world.joints() + 0.1, world.jaw() / 2, world.tool()
    others = np.delete(world.data.qpos, [*world._joints, *world._fingers])
    world.pose(joints, jaw)
    assert world.joints() == pytest.approx(joints)
    assert world.jaw() == pytest.approx(jaw)
    assert np.linalg.norm(world.tool() - tool) > 0.01
    assert (np.delete(world.data.qpos, [*world._joints, *world._fingers]) == others).all()
