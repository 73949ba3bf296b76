"""Several processes share a step: what each gets, and that together it is the whole step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from test_robo_reward_hf_training import batch, network
from tiny_vlm import make_tiny_vlm

from data.resuming import check_shareable, keep_base
from data.train import Train
from robo_reward.batch import TARGETS, PairBatch
from robo_reward.config import HfConfig, LossWeights
from robo_reward.errors import InputError
from robo_reward.losses import known_targets, loss_terms, total
from robo_reward.network import ProgressNetwork
from robo_reward.processes import ALONE, Processes, launched, spread_like, whole

pytestmark = pytest.mark.usefixtures("one_thread")


def shown(given: PairBatch, pair: int) -> dict[str, Any]:
    """Return what a pair is made of, whatever the numbers of frames, images and prefixes are."""

    def frame(number: int) -> Any:
        images = [] if number < 0 else given.frames[number].tolist()
        return [None if one < 0 else (given.images[one].sum(), given.jitter[one]) for one in images]

    prefix = given.prefix[pair]
    return {
        "instruction": given.instructions[prefix],
        "visible": given.visible[prefix].tolist(),
        "start": frame(given.start[prefix]),
        "goal": frame(given.goal[prefix]),
        "before": frame(given.before[pair]),
        "after": frame(given.after[pair]),
        "history": [frame(number) for number in given.history[pair]],
        "replay": [frame(number) for number in given.replay[prefix]],
        "told": repr([given.belief[pair], given.replay_belief[prefix], given.own[pair]]),
        "targets": repr([float(getattr(given, name)[pair]) for name in TARGETS]),
    }


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parts_hold_every_pair_once_and_all_that_it_is_made_of(count: int) -> None:
    given = tiny.batch(history=2, pairs=14, replay=True)
    parts = [given.share(number, count) for number in range(count)]
    assert sum(map(len, parts)) == len(given)
    found = sorted(repr(shown(part, pair)) for part in parts for pair in range(len(part)))
    assert found == sorted(repr(shown(given, pair)) for pair in range(len(given)))


def test_a_part_holds_no_image_that_it_does_not_show() -> None:
    given = tiny.batch()
    for number in range(3):
        part = given.share(number, 3)
        assert len(part.instructions) == 1
        assert set(np.unique(part.frames)) - {-1} == set(range(len(part.images)))
        assert len(part.images) <= len(given.images)


def test_a_step_cannot_be_shared_by_more_processes_than_it_has_prefixes() -> None:
    with pytest.raises(InputError, match=r"3 prefixes cannot be shared by 4 processes; raise --sa"):
        tiny.batch().share(0, 4)


def test_every_process_reads_equally_often_whoever_is_told_something() -> None:
    """With weights that are spread over the processes, each reading is one they make together."""
    from test_robo_reward_belief import network as believing

    given, made = tiny.batch(pairs=14, replay=True), believing()
    counts = []
    for number in range(3):
        calls: list[int] = []
        hook = made.hop_heads[0].register_forward_hook(lambda *_, seen=calls: seen.append(1))
        tiny.forward(made, given.share(number, 3))
        hook.remove()
        counts.append(len(calls))
    assert counts == [5, 5, 5]


def test_parts_are_told_what_the_whole_step_would_be_told() -> None:
    from test_robo_reward_belief import network as believing

    given, made = tiny.batch(pairs=14, replay=True), believing()
    whole_hops = tiny.forward(made, given).hops
    for number in range(3):
        mine = np.flatnonzero(given.prefix == number)
        got = tiny.forward(made, given.share(number, 3)).hops
        assert torch.allclose(got, whole_hops[mine], atol=1e-5)


def gradients(made: ProgressNetwork, given: PairBatch, known: list[float] | None) -> None:
    """Add the gradients of a batch; ``known`` targets of the whole step weigh a part's terms."""
    terms = loss_terms(made(given, torch.from_numpy(given.images)), given)
    if known is not None:
        shares = zip(terms, known_targets(given, terms), known, strict=True)
        terms = {name: terms[name] * (own / max(every, 1.0)) for name, own, every in shares}
    total(terms, LossWeights()).backward()


def test_the_gradients_of_the_parts_add_up_to_those_of_the_step(tmp_path: Path) -> None:
    place = make_tiny_vlm(tmp_path / "vlm", "qwen3_vl", scale=4.0)
    made, given = network(place), batch(0)
    given.hop_start[given.prefix == 0] = np.nan  # so that the parts know unequally much
    terms = loss_terms(made(given, torch.from_numpy(given.images)), given)
    known = known_targets(given, terms)
    assert known[0] == 16 + 16 + (given.prefix == 1).sum()
    gradients(made, given, None)
    expected = {n: p.grad.clone() for n, p in made.named_parameters() if p.grad is not None}
    made.zero_grad()
    for number in range(2):
        gradients(made, given.share(number, 2), known)
    scale = max(float(grad.abs().max()) for grad in expected.values())
    for name, parameter in made.named_parameters():
        if name in expected:
            assert parameter.grad is not None
            assert float((parameter.grad - expected[name]).abs().max()) <= 1e-5 * scale, name


def test_without_a_launcher_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert launched() is ALONE
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert launched() is ALONE
    assert ALONE.first
    assert ALONE.total([1.0, 2.5]) == [1.0, 2.5]
    assert ALONE.loss_scale == 1.0


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"ACCELERATE_USE_DEEPSPEED": "true"}, "without DeepSpeed and Megatron-LM"),
        ({"ACCELERATE_USE_MEGATRON_LM": "true"}, "without DeepSpeed and Megatron-LM"),
        ({"ACCELERATE_USE_FSDP": "true"}, "FSDP 1 is not supported; add --fsdp_version 2"),
    ],
)
def test_other_ways_to_be_several_are_refused(
    told: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=says):
        launched()


def test_only_the_first_process_prints(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(2):
        with Processes(number=number, count=2).quiet():
            print("process", number)
    assert capsys.readouterr().out == "process 0\n"


def test_a_whole_tensor_stays_as_it_is() -> None:
    tensor = torch.ones(3)
    assert whole(tensor) is tensor
    assert spread_like(tensor, torch.zeros(3)) is tensor


def test_the_compact_network_is_not_shared(train_command: Train) -> None:
    check_shareable(train_command, ALONE)
    with pytest.raises(InputError, match=r"pretrained backbones alone \(--hf.base\): the compact"):
        check_shareable(train_command, Processes(count=2))


def test_frozen_weights_are_kept_by_one_process_and_known_to_all(tmp_path: Path) -> None:
    base = str(make_tiny_vlm(tmp_path / "vlm", "qwen3_vl"))
    from robo_reward.checkpoint import build
    from robo_reward.hf.storing import frozen_digest, frozen_file

    made = build(HfConfig(base=base, image_size=32, dtype="fp32"))
    keep_base(made, tmp_path / "last", write=False)
    assert not (tmp_path / "last").exists()
    keep_base(made, tmp_path / "last", write=True)
    assert frozen_file(tmp_path / "last", frozen_digest(made)).is_file()
