"""Policies on disk: what is kept, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_policies_compact import policy, situation

from policies.storing import CONFIG, About, load_policy, save_policy
from robo_reward.errors import CheckpointError, InputError
from robo_reward.testing import FakePolicy, check_policy

ABOUT = About(
    replan_steps=2,
    fps=20.0,
    images={"front": (96, 96), "wrist": (64, 80)},
    state_names=("x", "y", "z"),
    action_names=("dx", "grip"),
    robot="panda",
    task="pick_to_bin",
    instructions=("push", "open the drawer"),
    training={"steps": 3, "loss": float("nan")},
)


def test_a_stored_policy_comes_back_as_it_was(tmp_path: Path) -> None:
    made = policy(seed=3)
    made.action_mean.copy_(torch.tensor([0.5, -1.0]))
    told = save_policy(made, tmp_path / "p", ABOUT)
    found = load_policy(tmp_path / "p", device="cpu")
    assert (found.kind, found.fingerprint) == ("compact", told)
    assert found.about == replace(ABOUT, training={"steps": 3, "loss": None})
    seen = situation()
    assert np.array_equal(found.policy.act(seen), made.act(seen))
    check_policy(found.policy, seen)
    _, trace = made.sample(seen, np.random.default_rng(0))
    for mine, theirs in zip(made.score(seen, trace), found.policy.score(seen, trace), strict=True):
        assert torch.equal(mine, theirs)


def test_the_fingerprint_is_that_of_weights_and_shape_alone(tmp_path: Path) -> None:
    first = save_policy(policy(), tmp_path / "a", ABOUT)
    assert save_policy(policy(), tmp_path / "b", replace(ABOUT, robot="so101")) == first
    assert save_policy(policy(seed=1), tmp_path / "c", ABOUT) != first
    assert save_policy(policy(noise=0.4), tmp_path / "d", ABOUT) != first


def test_another_policy_takes_the_place_of_the_first_and_leaves_no_file(tmp_path: Path) -> None:
    save_policy(policy(), tmp_path, ABOUT)
    told = save_policy(policy(seed=1), tmp_path, ABOUT)
    assert load_policy(tmp_path).fingerprint == told
    assert len(list(tmp_path.iterdir())) == 2


def test_a_writer_killed_between_the_files_leaves_the_old_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import policies.storing as storing

    told = save_policy(policy(), tmp_path, ABOUT)
    write = storing.write_atomically

    def killed(path: Path, content: bytes) -> None:
        if path.name == CONFIG:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(storing, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        save_policy(policy(seed=1), tmp_path, ABOUT)
    assert load_policy(tmp_path).fingerprint == told


def change(**values: Any) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        stored = json.loads((place / CONFIG).read_text())
        (place / CONFIG).write_text(json.dumps(stored | values))

    return damage


def cut_off(place: Path) -> None:
    path = next(place.glob("model-*"))
    path.write_bytes(path.read_bytes()[:-1])


def without_weights(place: Path) -> None:
    next(place.glob("model-*")).unlink()


def other_shape(place: Path) -> None:
    stored = json.loads((place / CONFIG).read_text())
    change(config=stored["config"] | {"width": 16})(place)


def unknown_key(place: Path) -> None:
    stored = json.loads((place / CONFIG).read_text())
    change(config=stored["config"] | {"mood": "red"})(place)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda place: (place / CONFIG).unlink(), "is no policy: there is no policy.json"),
        (lambda place: (place / CONFIG).write_text("{"), "policy.json is damaged"),
        (lambda place: (place / CONFIG).write_text("[1]"), "policy.json is damaged"),
        (change(format=99), "has format 99 .* this version reads format 1"),
        (change(preprocessing="crop"), "with preprocessing 'crop'"),
        (change(kind="oracle"), "there is no policy 'oracle', only compact"),
        (change(about={"fps": 20}), "does not describe a compact policy"),
        (unknown_key, "does not describe a compact policy .*mood"),
        (other_shape, "does not fit the policy"),
        (without_weights, "cannot be read"),
        (cut_off, "is not the file that policy.json was written with"),
    ],
)
def test_what_is_damaged_is_refused(
    tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    save_policy(policy(), tmp_path, ABOUT)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=told):
        load_policy(tmp_path)


def test_what_is_no_policy_of_ours_or_not_finite_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a FakePolicy cannot be stored; policies are: compact"):
        save_policy(FakePolicy(3, 2), tmp_path, ABOUT)
    made = policy()
    made.value[0].weight.data[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"value\.0\.weight is not finite"):
        save_policy(made, tmp_path, ABOUT)
    assert not list(tmp_path.iterdir())
