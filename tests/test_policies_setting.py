"""What a run plays with: a reward model of this task and cameras, references, a fit policy."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from policy_fixtures import TASK, stored_policy
from serving import Running, running

from policies.config import LearnerConfig, Limits, StartConfig
from policies.refine import Refine
from policies.refining import Refinement
from policies.scoring import Judged
from robo_reward.checkpoint import ModelConfig, build, save
from robo_reward.config import CompactConfig
from robo_reward.errors import DatasetError, InputError, ServerError
from robo_reward.model import ModelSettings
from robo_reward.serving.judge import open_model
from sim.beds import find_bed

VIEWS = ("front", "side", "wrist")


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_policy(tmp_path_factory.mktemp("policy"), ("front",))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    for role in ("start", "goal"):
        (place / role).mkdir()
        for number, view in enumerate(VIEWS):
            image = np.full((16, 16, 3), 40 * number, np.uint8)
            cv2.imwrite(str(place / role / f"{view}.png"), image)
    return place


def model(place: Path, **training: Any) -> str:
    shape = CompactConfig(image_size=16, width=20, depth=1, heads=2, channels=4)
    settings = ModelSettings(image_size=16, query_period_s=0.2)
    save(place, build(shape), ModelConfig(backbone=shape, settings=settings, training=training))
    return str(place)


def words() -> list[str]:
    rules = find_bed(TASK).rules
    return [rules.wordings(goal)[0] for goal in rules.goals]


def command(policy: Path, out: Path, **how: Any) -> Refine:
    settings: dict[str, Any] = {
        "policy": policy,
        "env": TASK,
        "out": out,
        "rollouts": 4,
        "max_steps": 12,
        "envs": 2,
        "workers": 0,
        "evaluate": 1,
        "starts": StartConfig(rollouts=4, group=1),
        "learner": LearnerConfig(minibatch=32, epochs=1),
    }
    return Refine(**settings | how)


def test_a_reward_model_judges_the_rollouts(policy: Path, pictures: Path, tmp_path: Path) -> None:
    reward = model(tmp_path / "model", instructions=words(), views=list(VIEWS))
    run = command(policy, tmp_path / "run", reward=reward, references=str(pictures))
    run.run()
    lines = [json.loads(text) for text in (tmp_path / "run/refine.jsonl").read_text().splitlines()]
    (update,) = [line for line in lines if "potential_end" in line]
    assert 0.0 < update["potential_end"] < 1.0
    assert update["seconds_reward"] > 0.0
    about = json.loads((tmp_path / "run/policy/policy.json").read_text())["about"]
    assert about["training"]["refined"]["reward_fingerprint"]


def updates(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(text) for text in (run / "refine.jsonl").read_text().splitlines()]
    return [line for line in lines if "potential_end" in line]


def test_a_served_model_judges_as_one_from_disk(
    policy: Path, pictures: Path, tmp_path: Path
) -> None:
    place = model(tmp_path / "model", instructions=words(), views=list(VIEWS))
    asked = {"references": str(pictures)}
    command(policy, tmp_path / "local", reward=place, **asked).run()
    served = open_model(Path(place), device="cpu", bf16=False)
    with running(served) as server:
        far = command(policy, tmp_path / "far", reward=server.address, **asked)
        far.run()
        assert server.count("answers_total", kind="scored") > 4
    (mine,), (theirs,) = updates(tmp_path / "local"), updates(tmp_path / "far")
    assert theirs["potential_end"] == pytest.approx(mine["potential_end"], abs=1e-6)
    assert theirs["missing"] == 0
    about = json.loads((tmp_path / "far/policy/policy.json").read_text())["about"]
    refined = about["training"]["refined"]
    assert (refined["reward"], refined["reward_fingerprint"]) == (
        server.address,
        served.fingerprint,
    )
    with pytest.raises(ServerError, match="no reward server listens at"):
        replace(far, rollouts=8).run()
    assert len(updates(tmp_path / "far")) == 1


def test_a_server_that_is_lost_ends_the_run_and_the_same_command_goes_on(
    policy: Path, pictures: Path, tmp_path: Path
) -> None:
    place = model(tmp_path / "model", instructions=words(), views=list(VIEWS))
    listen = f"unix:{tmp_path}/s"
    asked = command(
        policy,
        tmp_path / "run",
        reward=listen,
        references=str(pictures),
        deadline=2.0,
        starts=StartConfig(rollouts=2, group=1),
    )
    served = open_model(Path(place), device="cpu", bf16=False)

    def one_update() -> bool:
        return (tmp_path / "run/refine.jsonl").is_file() and bool(updates(tmp_path / "run"))

    with running(served, listen=listen) as server:
        watch = threading.Thread(target=stop_when, args=(server, one_update), daemon=True)
        watch.start()
        with pytest.raises(ServerError, match="no reward server listens at unix:"):
            replace(asked, rollouts=200).run()
        watch.join(20.0)
    done = len(updates(tmp_path / "run"))
    with running(served, listen=listen):
        replace(asked, rollouts=2 * done + 2).run()
    told = updates(tmp_path / "run")
    assert [line["rollouts"] for line in told] == [2 * n for n in range(1, done + 2)]


def stop_when(server: Running, so: Callable[[], bool]) -> None:
    """Stop a server as soon as something is so."""
    end = time.monotonic() + 60.0
    while not so() and time.monotonic() < end:
        time.sleep(0.01)
    server.call(server.engine.stop)


def test_a_served_model_of_something_else_is_refused(
    policy: Path, pictures: Path, tmp_path: Path
) -> None:
    place = model(tmp_path / "model", instructions=["fold the towel"])
    with running(open_model(Path(place), device="cpu", bf16=False)) as server:
        asked = command(policy, tmp_path / "run", reward=server.address, references=str(pictures))
        with pytest.raises(InputError, match="trained on 1 instructions, and 'press the red"):
            asked.run()
        with pytest.raises(InputError, match="give a reward model's directory, or leave"):
            replace(asked, refresh_every=1)


def test_images_are_as_large_as_anybody_needs(policy: Path, pictures: Path, tmp_path: Path) -> None:
    blind = stored_policy(tmp_path / "blind")
    reward = model(tmp_path / "model", instructions=words())
    asked = {"reward": reward, "references": str(pictures)}
    with Refinement(command(blind, tmp_path / "run", **asked)) as run:
        assert run.setting.image_size == 16
        assert isinstance(run.setting.scorer, Judged)
    with Refinement(command(blind, tmp_path / "run", reward="truth")) as run:
        assert run.setting.image_size == 0


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"instructions": ["fold the towel"]}, "trained on 1 instructions, and 'press the red"),
        ({"views": ["top"]}, "was trained on top; press_button shows front, side, wrist"),
    ],
)
def test_a_model_of_something_else_is_refused(
    policy: Path, pictures: Path, tmp_path: Path, training: dict[str, Any], message: str
) -> None:
    reward = model(tmp_path / "model", **training)
    with pytest.raises(InputError, match=message):
        command(policy, tmp_path / "run", reward=reward, references=str(pictures)).run()


@pytest.mark.parametrize(
    ("validation", "expected"),
    [({"failures": 8.0, "failures_claimed": 1.0}, 0.2), ({"failures": 0.0}, None), (None, None)],
)
def test_how_often_failures_fooled_a_model_in_its_validation_is_what_monitors_expect(
    policy: Path, pictures: Path, tmp_path: Path, validation: Any, expected: float | None
) -> None:
    reward = model(tmp_path / "model", instructions=words(), validation=validation)
    asked = {"reward": reward, "references": str(pictures)}
    with Refinement(command(policy, tmp_path / "run", **asked)) as run:
        assert run.limits.false_positive_rate == expected
        assert ("expects 20% of failures to fool it" in run.plan()) == (expected is not None)
    given = command(policy, tmp_path / "run", monitors=Limits(false_positive_rate=0.5), **asked)
    with Refinement(given) as run:
        assert run.limits.false_positive_rate == 0.5


def test_the_truth_is_never_fooled_and_of_no_model_nothing_is_known(
    policy: Path, tmp_path: Path
) -> None:
    for reward, rate in (("truth", 0.0), ("sparse", None)):
        asked = command(policy, tmp_path / "run", reward=reward, algorithm="ppo")
        with Refinement(asked) as run:
            assert run.limits.false_positive_rate == rate


def test_references_must_be_given_and_there(policy: Path, tmp_path: Path) -> None:
    reward = model(tmp_path / "model", instructions=words())
    with pytest.raises(InputError, match="a reward model is shown start and goal"):
        command(policy, tmp_path / "run", reward=reward).run()
    with pytest.raises(DatasetError, match="no-such-place"):
        command(policy, tmp_path / "run", reward=reward, references="no-such-place").run()


def test_a_dataset_without_a_success_of_the_instruction_is_no_reference(
    policy: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    reward = model(tmp_path / "model", instructions=words())
    asked = command(policy, tmp_path / "run", reward=reward, references=str(tiny_dataset))
    with pytest.raises(InputError, match="has no success under 'press the red button'"):
        asked.run()
    assert not (tmp_path / "run").exists()
