"""The compact backbone keeps the promises of `Backbone`, and sees where things are."""

from dataclasses import replace

import pytest
import tiny
import torch

from robo_reward.compact import Compact
from robo_reward.config import CompactConfig
from robo_reward.errors import InputError
from robo_reward.protocols import Panel
from robo_reward.testing import check_backbone


def backbone(history: int = 0) -> Compact:
    torch.manual_seed(0)
    return Compact(replace(tiny.SHAPE, history=history)).eval()


@pytest.mark.parametrize("history", [0, 3])
def test_the_compact_backbone_keeps_its_promises(history: int) -> None:
    check_backbone(backbone(history), image_size=tiny.SIZE, history=history)


def test_it_keeps_them_in_bfloat16_too() -> None:
    check_backbone(backbone().bfloat16(), image_size=tiny.SIZE, tolerance=5e-3)


def test_a_moved_spot_moves_the_token() -> None:
    images = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    images[0, 2:5, 2:5] = images[1, 10:13, 10:13] = 255
    tokens = backbone().train().encode(images)
    assert (tokens[0] - tokens[1]).abs().max() > 0.05


def test_exchanged_views_are_not_the_same() -> None:
    made = backbone()
    images = torch.randint(0, 256, (2, 16, 16, 3), generator=torch.Generator().manual_seed(0))
    tokens = made.encode(images.to(torch.uint8))

    def slots(views: tuple[str, str]) -> torch.Tensor:
        panel = Panel(tokens=tokens.expand(1, 2, 2, 1, -1), there=torch.ones(1, 2, 2).bool())
        prefix = made.prefix(["open the drawer"], views, panel)
        return made.read(prefix, torch.tensor([0]), panel)

    gap = (slots(("front", "wrist")) - slots(("wrist", "front"))).abs().max()
    assert gap > 1e-3


def test_one_seed_gives_one_set_of_weights() -> None:
    one, two = backbone().state_dict(), backbone().state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"width": 21}, "width 21 must be a multiple of heads 2"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"heads": 0}, "heads must be at least 1, got 0"),
        ({"image_size": 8}, "at least 16"),
        ({"history": -1}, "history at least 0"),
    ],
)
def test_impossible_shapes_are_refused(wrong: dict[str, int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        replace(tiny.SHAPE, **wrong)


def test_the_default_shape_can_be_built() -> None:
    count = sum(parameter.numel() for parameter in Compact(CompactConfig()).parameters())
    assert 1e6 < count < 5e6
