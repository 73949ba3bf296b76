"""Text as bytes: every text is legal and keeps to itself."""

import pytest
import torch

from robo_reward.testing import HARD_TEXTS
from robo_reward.text import ByteText, encode_unique, to_bytes


@pytest.fixture(scope="module")
def encoder() -> ByteText:
    torch.manual_seed(0)
    return ByteText(12, 4)


def test_bytes_follow_a_begin_mark_and_are_padded() -> None:
    ids, there = to_bytes(["ab", "é", ""])
    assert ids.tolist() == [[256, 97, 98], [256, 195, 169], [256, 257, 257]]
    assert there.tolist() == [[True] * 3, [True] * 3, [True, False, False]]


def test_special_tokens_are_letters_like_any_other() -> None:
    ids, _ = to_bytes(["<image>"])
    assert ids[0, 1:].tolist() == list(b"<image>")


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_any_text_gives_as_many_finite_tokens(encoder: ByteText, text: str) -> None:
    tokens = encoder([text])
    assert tokens.shape == (1, 4, 12)
    assert bool(tokens.isfinite().all())


def test_padding_changes_nothing(encoder: ByteText) -> None:
    alone = encoder(["push"])
    beside = encoder(["push", "a much longer instruction than push"])
    assert torch.allclose(alone[0], beside[0], atol=1e-6)


def test_texts_that_differ_in_order_of_words_differ(encoder: ByteText) -> None:
    one, two = encoder(["red on blue"]), encoder(["blue on red"])
    assert (one - two).abs().max() > 1e-3


def test_equal_texts_share_one_encoding_in_their_own_places(encoder: ByteText) -> None:
    rows = encode_unique(encoder, ["b", "a", "b"])
    assert torch.equal(rows[0], rows[2])
    assert torch.equal(rows[1:2], encoder(["a"]))


def test_what_else_is_in_the_batch_changes_not_a_bit(encoder: ByteText) -> None:
    one = encode_unique(encoder, ["push", "pull"])
    two = encode_unique(encoder, ["push", *HARD_TEXTS])
    assert torch.equal(one[0], two[0])
