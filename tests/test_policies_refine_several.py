"""`robo-reward refine` in two processes: one run, that goes on bit for bit and ends as one."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from launching import Ended, launch
from policy_fixtures import tabletop_smolvla
from safetensors.torch import load_file
from test_policies_refine import command, lines
from test_policies_refine import policy as policy  # a fixture
from test_policies_refine_lerobot import command as lerobot_command

from policies.refine import Refine
from policies.storing import load_policy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SCRIPT = """
import json, pickle
from policies import refining
from policies.playing import Player
from robo_reward import cli
from robo_reward.errors import InputError

with open(f"{place}/given", "rb") as file:
    command, stop, fails = pickle.load(file)
update = refining.Refinement._update
played = []

def watched(run, log):
    if run.state.updates == stop:
        raise KeyboardInterrupt
    if run.state.updates == 1 and number == fails:
        raise InputError("no disk")
    update(run, log)

def playing(player, choose, starts, *more):
    played.extend((start.seed, start.group) for start in starts)
    return play(player, choose, starts, *more)

refining.Refinement._update = watched
play, Player.play = Player.play, playing
cli.choose = lambda *_: command
try:
    cli.main([])
finally:
    with open(f"{place}/played.{number}", "w") as file:
        json.dump(played, file)
"""


def run(given: Refine, place: Path, *, stop: int = -1, fails: int = -1) -> list[Ended]:
    place.mkdir(exist_ok=True)
    (place / "given").write_bytes(pickle.dumps((given, stop, fails)))
    return launch(SCRIPT, place, deadline=600.0)


def states(*outs: Path) -> list[dict[str, torch.Tensor]]:
    return [load_file(out / "state.safetensors") for out in outs]


def alike(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_two_processes_make_one_run_that_goes_on_bit_for_bit(policy: Path, tmp_path: Path) -> None:
    whole, halves = (command(policy, tmp_path / name) for name in ("whole", "halves"))
    whole, halves = (replace(one, peer_deadline=120.0, keep_rollouts=2) for one in (whole, halves))
    first, second = run(whole, tmp_path / "a")
    assert (first.status, second.status) == (0, 0), (first, second)
    assert "2 processes: each plays its share of the rollouts" in first.out
    assert not second.out
    updates = [line for line in lines(whole.out) if "success" in line]
    assert [line["rollouts"] for line in updates] == [4, 8, 12]
    assert [n for n, line in enumerate(lines(whole.out)) if "evaluation" in line]
    played = [json.loads((tmp_path / "a" / f"played.{n}").read_text()) for n in range(2)]
    assert [len(part) for part in played] == [9, 9]  # 6 rollouts, and one of each evaluation
    assert not {tuple(one) for one in played[0]} & {tuple(one) for one in played[1]}

    stopped = run(halves, tmp_path / "b", stop=2)
    assert [one.status for one in stopped] == [130, 130], stopped
    assert [one.status for one in run(halves, tmp_path / "b")] == [0, 0]
    assert alike(*states(whole.out, halves.out))
    assert len(list((whole.out / "rollouts").iterdir())) == 2
    replace(halves, rollouts=16).run()  # one process may go on with it
    assert [line["rollouts"] for line in lines(halves.out) if "success" in line][-1] == 16


def test_first_starts_are_those_of_one_process(policy: Path, tmp_path: Path) -> None:
    given = command(policy, tmp_path / "out", rollouts=4, evaluate=1, peer_deadline=120.0)
    run(given, tmp_path / "a")
    replace(given, out=tmp_path / "alone").run()
    kept = [state["reached.0"] for state in states(given.out, tmp_path / "alone")]
    assert kept[0].shape == kept[1].shape
    played = [json.loads((tmp_path / "a" / f"played.{n}").read_text()) for n in range(2)]
    seeds = [seed for part in played for seed, _ in part if seed < 500_000]
    assert seeds == [100_000, 100_001, 100_002, 100_003]


def test_an_error_of_one_process_ends_all_and_is_told_once(policy: Path, tmp_path: Path) -> None:
    given = command(policy, tmp_path / "out", peer_deadline=120.0)
    first, second = run(given, tmp_path / "a", fails=1)
    assert (first.status, second.status) == (2, 2), (first, second)
    assert first.err.strip().endswith("process 1: no disk")
    assert "no disk" not in second.err


def test_an_error_of_all_is_told_once(policy: Path, tmp_path: Path) -> None:
    given = command(policy, tmp_path / "out", algorithm="grpo", peer_deadline=120.0)
    first, second = run(given, tmp_path / "a")
    assert (first.status, second.status) == (2, 2), (first, second)
    assert "none of 2 groups holds both a success and a failure" in first.err
    assert "none of 2 groups" not in second.err


def test_processes_that_do_not_begin_alike_are_refused(policy: Path, tmp_path: Path) -> None:
    given = command(policy, tmp_path / "out", peer_deadline=120.0)
    other = "import dataclasses\ncommand = dataclasses.replace(command, gamma=0.9 + number / 20)\n"
    script = SCRIPT.replace("\nupdate =", "\n" + other + "update =")
    place = tmp_path / "a"
    place.mkdir()
    (place / "given").write_bytes(pickle.dumps((given, -1, -1)))
    first, second = launch(script, place)
    assert (first.status, second.status) == (2, 2), (first, second)
    assert "the processes differ in gamma: give all the same flags" in first.err


def test_a_smolvla_is_refined_by_two(tmp_path: Path) -> None:
    policy = tabletop_smolvla(tmp_path / "made")
    given = lerobot_command(policy, tmp_path / "out", peer_deadline=300.0)
    ended = run(given, tmp_path / "a")
    assert [one.status for one in ended] == [0, 0], ended
    begun, made = load_policy(policy, device="cpu"), load_policy(given.out / "policy", device="cpu")
    before, after = (found.policy.state_dict() for found in (begun, made))  # type: ignore[attr-defined]
    assert [name for name in before if not torch.equal(before[name], after[name])]
