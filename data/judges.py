"""The model that a command is to ask: a checkpoint on disk, or one on a server."""

from pathlib import Path
from typing import TYPE_CHECKING

from robo_reward.config import OpenAIConfig
from robo_reward.errors import InputError

if TYPE_CHECKING:
    from robo_reward.model import QueryModel


def open_judge(
    model: Path | None, openai: OpenAIConfig, *, device: str | None = None
) -> "QueryModel":
    """Return the model that is named, ready to be asked.

    Args:
        model: A checkpoint, or None.
        openai: A remote model, or no address.
        device: Where a checkpoint computes; None: a GPU if there is one, else the CPU.

    Raises:
        RoboRewardError: If none or two are named, or the one that is cannot be asked.
    """
    if not openai.url and openai != OpenAIConfig():
        raise InputError("--openai.* says how a remote model is asked; say where by --openai.url")
    if (model is not None) == bool(openai.url):
        named = "both are named" if model else "none is named"
        raise InputError(f"give --model (a directory) or --openai.url (a server): {named}")
    if model is None:
        from robo_reward.remote.model import open_remote

        return open_remote(openai)
    from robo_reward.checkpoint import load

    return load(model, device=device)
