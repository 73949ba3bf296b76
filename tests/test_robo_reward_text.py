"""Text as bytes: every text is legal and keeps to itself."""

import pytest
import torch

from robo_reward.testing import HARD_TEXTS
from robo_reward.text import WORDS, ByteText, to_bytes, words


@pytest.fixture(scope="module")
def encoder() -> ByteText:
    torch.manual_seed(0)
    return ByteText(12)


def test_bytes_follow_a_begin_mark_and_are_padded() -> None:
    ids, there = to_bytes([b"ab", "é".encode(), b""])
    assert ids.tolist() == [[256, 97, 98], [256, 195, 169], [256, 257, 257]]
    assert there.tolist() == [[True] * 3, [True] * 3, [True, False, False]]


def test_a_text_is_its_words_after_a_beginning() -> None:
    assert words("put  the\nred") == [b"", b"put", b"the", b"red"]
    assert words("") == [b""]


def test_special_tokens_are_letters_like_any_other() -> None:
    assert words("<image>") == [b"", b"<image>"]


def test_a_run_without_blanks_is_read_in_pieces_of_64_bytes() -> None:
    assert [len(piece) for piece in words("x" * 130)] == [0, 64, 64, 2]


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_any_text_gives_one_finite_token_a_word_up_to_32(encoder: ByteText, text: str) -> None:
    tokens, there = encoder([text])
    assert tokens.shape == (1, min(len(words(text)), WORDS), 12)
    assert bool(there.all())
    assert bool(tokens.isfinite().all())


def test_words_past_the_32nd_still_count(encoder: ByteText) -> None:
    one, two = "go " * 40, "go " * 39 + "stop"
    assert (encoder([one])[0] - encoder([two])[0]).abs().max() > 1e-4


def test_texts_that_differ_in_order_of_words_differ(encoder: ByteText) -> None:
    one, two = encoder(["red on blue"])[0], encoder(["blue on red"])[0]
    assert (one - two).abs().max() > 1e-3


def test_one_other_word_changes_its_own_token_alone(encoder: ByteText) -> None:
    one, two = encoder(["put red down"])[0][0], encoder(["put blue down"])[0][0]
    assert torch.equal(one[[0, 1, 3]], two[[0, 1, 3]])
    assert (one[2] - two[2]).abs().max() > 1e-3


def test_equal_texts_share_one_encoding_in_their_own_places(encoder: ByteText) -> None:
    rows, there = encoder(["b", "a c", "b"])
    assert torch.equal(rows[0], rows[2])
    assert there.tolist() == [[True, True, False], [True] * 3, [True, True, False]]


def test_what_else_is_in_the_batch_changes_not_a_bit(encoder: ByteText) -> None:
    alone = encoder(["push it"])[0]
    beside = encoder(["push it", *HARD_TEXTS])[0]
    assert torch.equal(alone[0], beside[0, :3])
