"""Ray actors as a crew: the same episodes, lost actors, and a refinement that they play."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_fixtures import BLIND, SEEING, TASK, played_in, starts, stored_policy, wave
from safetensors.torch import load_file

from policies.config import LearnerConfig, StartConfig
from policies.playing import Player
from policies.refine import Refine
from robo_reward.errors import InputError, ServerError
from sim import crew_ray
from sim.chunks import ChunkedEnv
from sim.crew_ray import Cluster
from sim.vector import SimVectorEnv
from sim.workforce import WorkerError


def chunk(steps: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.9, 0.9, (steps, 5)).astype(np.float32)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "refine.jsonl").read_text().splitlines()]


def command(place: Path, out: str, **how: Any) -> Refine:
    policy = place / "policy"
    settings: dict[str, Any] = {
        "policy": policy if policy.is_dir() else stored_policy(policy, ("front",)),
        "env": TASK,
        "out": place / out,
        "reward": "truth",
        "rollouts": 8,
        "max_steps": 16,
        "envs": 3,
        "evaluate": 2,
        "starts": StartConfig(rollouts=4, group=2, restarts=0.4),
        "learner": LearnerConfig(minibatch=32, epochs=1, warmup=0),
    }
    return Refine(**settings | how)


def test_actors_play_the_same_and_those_that_are_lost_cost_their_episodes(
    cluster: Cluster,
) -> None:
    import ray

    with played_in(SEEING, 3) as player:
        expected = player.play(wave, starts(1, 2, 3, 4))
    env = ChunkedEnv(SEEING, 3, workers=cluster, max_steps=20, deadline=60.0)
    try:
        found = Player(env, replan=4, gamma=0.9).play(wave, starts(1, 2, 3, 4))
        for one, two in zip(expected, found, strict=True):
            for name in ("state", "chunks", "reward", "truth"):
                assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
            assert one.views.keys() == two.views.keys()
            assert all(one.views[name].tobytes() == two.views[name].tobytes() for name in one.views)
        env.begin({0: 1, 1: 2, 2: 3})
        ray.kill(env._workers[0].actor)  # type: ignore[attr-defined]
        _, told = env.advance({row: chunk(4) for row in range(3)})
        assert [len(told[row].rewards) for row in range(3)] == [0, 0, 4]
        assert [told[row].truncated for row in range(3)] == [True, True, False]
        reason = told[1].info["worker_error"]
        assert reason.startswith("the Ray actor of environments 0 to 1 (process ")
        assert "on 127.0.0.1) died (The actor is dead because it was killed by" in reason
        os.kill(env.pids()[-1], signal.SIGKILL)
        _, told = env.advance({2: chunk(4)})
        assert told[2].info["lost"]
        assert "environments 2 to 2" in told[2].info["worker_error"]
        env.begin({0: 1, 1: 2, 2: 3})
        _, told = env.advance({row: chunk(4) for row in range(3)})
        assert [len(told[row].rewards) for row in range(3)] == [4, 4, 4]
        assert env.lost_episodes == 3
    finally:
        env.close()


def test_a_run_with_actors_is_the_run_without_bit_for_bit_and_survives_a_killed_one(
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command(tmp_path, "plain", workers=0).run()
    command(tmp_path, "ray", launcher="ray", workers=2).run()
    assert "2 Ray actors" in capsys.readouterr().out
    one, two = (load_file(tmp_path / out / "state.safetensors") for out in ("plain", "ray"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    calls, send = [], ChunkedEnv.send

    def deadly(self: ChunkedEnv, chunks: Any) -> Any:
        calls.append(len(chunks))
        if len(calls) == 6:  # the second decision of the first update
            os.kill(self.pids()[0], signal.SIGKILL)
        return send(self, chunks)

    monkeypatch.setattr(ChunkedEnv, "send", deadly)
    command(tmp_path, "killed", launcher="ray", workers=2).run()
    updates = [line for line in lines(tmp_path / "killed") if "seconds_wall" in line]
    assert [line["rollouts"] for line in updates] == [4, 8]
    assert [line["lost"] for line in updates] == [2.0, 0.0]
    assert "LOST: the Ray actor of environments 0 to 1" in capsys.readouterr().out
    assert [line for line in lines(tmp_path / "killed") if "process_lost" in line]


@pytest.mark.slow
def test_an_actor_that_does_not_answer_or_does_not_start_is_named(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = SimVectorEnv(BLIND, 2, workers=cluster, deadline=2.0)
    late = SimVectorEnv(BLIND, 1, workers=cluster, deadline=0.5)
    try:
        env.reset(seed=0)
        with monkeypatch.context() as patch:
            patch.setattr(crew_ray, "START_S", 0.5)
            with pytest.raises(WorkerError, match=r"to 0 did not start within 1 s \(0 CPUs are"):
                late.reset(seed=0)
        os.kill(env.pids()[0], signal.SIGSTOP)
        *_, infos = env.step(np.repeat(chunk(1), 2, axis=0))
        assert "gave no answer within 2 s; it was replaced" in infos["worker_error"][0]
        taken = env.call("snapshot")[0]
        states = env.restore({1: taken})[0]["agent_pos"]
        assert np.array_equal(states[0], states[1])
    finally:
        late.close()
        env.close()


@pytest.mark.slow
def test_another_program_plays_in_a_cluster_that_is_there(cluster: Cluster, tmp_path: Path) -> None:
    import ray

    command(tmp_path, "plain", workers=0).run()
    where = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    code = "import test_sim_crew_ray as t, pathlib, sys; "
    code += "t.command(pathlib.Path(sys.argv[1]), 'ray', launcher='ray').run()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=where | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"2 Ray actors, cluster {where['RAY_ADDRESS']}" in done.stdout
    one, two = (load_file(tmp_path / out / "state.safetensors") for out in ("plain", "ray"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1:1", r"at 127.0.0.1:1 \(.*refused\); give host:port"),
        ("ray://127.0.0.1:10001", r"\(this is not host:port\)"),
    ],
)
def test_a_cluster_that_is_not_there_is_told(
    address: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ServerError, match=why):
        Cluster(address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ServerError, match=why):
        Cluster()


def test_more_actors_than_cpus_are_refused(cluster: Cluster) -> None:
    with pytest.raises(InputError, match=r"3 Ray actors need as many CPUs, and .* has 2"):
        Cluster(workers=3)
    with pytest.raises(InputError, match="workers is 0; with Ray it must be 1 or more"):
        Cluster(workers=0)


def test_ray_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(InputError, match=r"pip install 'robo-reward\[ray\]'"):
        command(tmp_path, "run", launcher="ray").run()
    assert not (tmp_path / "run").exists()


def test_an_address_is_for_ray_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--ray-address is for --launcher ray"):
        command(tmp_path, "run", ray_address="127.0.0.1:6379")
