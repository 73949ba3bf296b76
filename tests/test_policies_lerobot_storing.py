"""LeRobot's policies by the one way in which any policy is loaded and stored."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_fixtures import stored_policy
from test_policies_storing import ABOUT, change
from tiny_lerobot import make_act, make_smolvla, situation

from policies.lerobot_storing import digest
from policies.storing import CONFIG, load_policy, remove_policy, save_policy
from robo_reward.errors import CheckpointError, InputError, OutputError
from robo_reward.testing import check_policy

MINE = replace(ABOUT, images={"front": (32, 32), "wrist": (32, 32)}, training={})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_smolvla(tmp_path_factory.mktemp("whole") / "vla")


@pytest.fixture
def stored(whole: Path, tmp_path: Path) -> Path:
    """One that was stored with all that is known of it."""
    save_policy(load_policy(whole, device="cpu").policy, tmp_path / "p", MINE)  # type: ignore[arg-type]
    return tmp_path / "p"


def test_what_lerobot_wrote_tells_sizes_and_no_names(whole: Path) -> None:
    found = load_policy(whole, device="cpu")
    assert found.kind == "smolvla"
    about = found.about
    assert (about.named, about.fps, about.robot, about.task) == (False, None, "", "")
    assert (about.state_names, about.action_names) == (("0", "1", "2"), ("0", "1"))
    assert about.images == {"front": (32, 32), "wrist": (32, 32)}
    assert about.replan_steps == found.policy.chunk == 3


def test_a_stored_one_comes_back_with_all_that_is_known_of_it(
    whole: Path, stored: Path, tmp_path: Path
) -> None:
    begun, found = load_policy(whole, device="cpu"), load_policy(stored, device="cpu")
    assert (found.kind, found.about) == ("smolvla", MINE)
    assert np.array_equal(found.policy.act(situation()), begun.policy.act(situation()))
    check_policy(found.policy, situation(), draws=16)
    with torch.no_grad():
        found.policy.value[0].weight.add_(1.0)  # type: ignore[attr-defined]
    told = save_policy(found.policy, stored, replace(MINE, robot="so101"))  # type: ignore[arg-type]
    again = load_policy(stored, device="cpu")
    assert (again.about.robot, again.fingerprint) == ("so101", told)
    assert told != begun.fingerprint
    assert not [path for path in tmp_path.iterdir() if path.name != "p"]


def test_a_fingerprint_is_that_of_weights_and_not_of_names(stored: Path) -> None:
    told = load_policy(stored, device="cpu").fingerprint
    (stored / CONFIG).unlink()
    assert load_policy(stored, device="cpu").fingerprint == told
    (stored / "eval.json").write_text("{}")
    assert load_policy(stored, device="cpu").fingerprint == told


def test_what_no_file_holds_is_drawn_alike_and_disturbs_no_other_draw(whole: Path) -> None:
    torch.manual_seed(3)
    one = load_policy(whole, device="cpu").policy.state_dict()  # type: ignore[attr-defined]
    after = torch.rand(4)
    two = load_policy(whole, device="cpu").policy.state_dict()  # type: ignore[attr-defined]
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    torch.manual_seed(3)
    assert torch.equal(torch.rand(4), after)


def test_a_checkpoint_of_lerobots_training_is_found(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "000020/pretrained_model")
    assert load_policy(tmp_path / "000020", device="cpu").kind == "smolvla"


def test_a_killed_writer_leaves_the_old_policy(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import policies.storing as storing

    found = load_policy(stored, device="cpu")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(storing, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        save_policy(found.policy, stored, replace(MINE, robot="other"))  # type: ignore[arg-type]
    again = load_policy(stored, device="cpu")
    assert (again.fingerprint, again.about) == (found.fingerprint, MINE)
    stored.rename(stored.with_name(f"p.old-{2**22 + 1}"))
    assert load_policy(stored, device="cpu").fingerprint == found.fingerprint


def test_what_is_damaged_is_refused(stored: Path) -> None:
    kept = (stored / CONFIG).read_text()
    change(about={"fps": 20})(stored)
    with pytest.raises(CheckpointError, match="does not describe a smolvla policy"):
        load_policy(stored)
    (stored / CONFIG).write_text(kept)
    path = stored / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_steps": 2}))
    with pytest.raises(CheckpointError, match=r"other files than policy\.json was written with"):
        load_policy(stored)
    (stored / CONFIG).unlink()
    assert load_policy(stored, device="cpu").kind == "smolvla"
    path.unlink()
    with pytest.raises(CheckpointError, match=r"is no policy: there is no policy\.json"):
        load_policy(stored)


def test_what_is_not_there_or_not_finite_is_refused(stored: Path) -> None:
    with pytest.raises(InputError, match="neither a directory nor a model that can be had"):
        load_policy("nobody/has-this")
    found = load_policy(stored, device="cpu").policy
    before = digest(stored)
    with torch.no_grad():
        found.value[0].weight[0, 0] = float("inf")  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"value\.0\.weight is not finite"):
        save_policy(found, stored, MINE)  # type: ignore[arg-type]
    assert digest(stored) == before


def test_only_a_policy_is_replaced_or_removed(stored: Path, tmp_path: Path) -> None:
    found = load_policy(stored, device="cpu").policy
    ours = stored_policy(tmp_path / "ours")
    with pytest.raises(OutputError, match="is no LeRobot policy, so it is not replaced"):
        save_policy(found, ours, MINE)  # type: ignore[arg-type]
    (ours / "config.json").write_text("{}")
    remove_policy(ours)
    assert [path.name for path in ours.iterdir()] == ["config.json"], "of something else"
    (stored / "log.jsonl").touch()
    remove_policy(stored)
    assert [path.name for path in stored.iterdir()] == ["log.jsonl"]


def test_larger_square_images_are_averaged_to_those_it_learnt_from(tmp_path: Path) -> None:
    found = load_policy(make_act(tmp_path / "act"), device="cpu").policy
    seen = situation()
    twice = {n: v.repeat(2, axis=1).repeat(2, axis=2) for n, v in seen.views.items()}
    assert np.array_equal(found.act(replace(seen, views=twice)), found.act(seen))
    wide = {n: v.repeat(2, axis=2) for n, v in seen.views.items()}
    with pytest.raises(InputError, match="images of 32x32 in view front, got 32x64"):
        found.act(replace(seen, views=wide))
