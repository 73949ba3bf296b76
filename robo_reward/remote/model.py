"""A remote model as a `ProgressModel`, and its identity."""

import hashlib
import json
from collections.abc import Sequence

from ..config import OpenAIConfig
from ..errors import InputError
from ..model import ModelSettings, QueryModel
from .client import Client, make_client
from .prompt import Prompt, read_prompt
from .reader import COUNTED, RemoteReader


class RemoteModel(QueryModel):
    """The `ProgressModel` over a server that answers in text; see `open_remote`.

    It says nothing of success, match and confidence: they are NaN.
    """

    reader: RemoteReader

    def __init__(self, config: OpenAIConfig, client: Client, prompt: Prompt) -> None:
        self.config = config
        reader = RemoteReader(
            client,
            prompt,
            model=config.model,
            longest_side=config.longest_side,
            in_flight=config.in_flight,
            give_up_after=config.give_up_after,
        )
        settings = ModelSettings(image_size=None, query_period_s=config.query_period)
        super().__init__(reader, settings, fingerprint=_fingerprint(config, client, prompt))

    def check_views(self, views: Sequence[str]) -> None:
        """Check that the prompt file calls no view by name that is not there.

        Raises:
            InputError: If it does.
        """
        unknown = sorted(self.reader.prompt.views - set(views))
        if unknown:
            raise InputError(
                f"the prompt file {self.config.prompt} shows the view {unknown[0]}, but there are "
                f"{', '.join(views)}; name one of those"
            )

    def about(self) -> dict[str, str]:
        """Return host, model and hash of the prompt file."""
        return {
            "openai_host": self.reader.client.host,
            "openai_model": self.config.model,
            "openai_prompt_sha256": self.reader.prompt.sha256,
        }

    def counted(self) -> dict[str, dict[str, int]]:
        """Return how many requests had which end."""
        return {"openai_answers": {kind: self.reader.counts[kind] for kind in COUNTED}}

    def remarks(self) -> list[str]:
        """Return how many requests had which end, with an example of those without a number."""
        counts = self.reader.counts
        told = ", ".join(f"{counts[kind]} {kind}" for kind in COUNTED[1:])
        lines = [f"answers: {counts.total()}, of which a number: {counts['number']} ({told})"]
        if self.reader.example:
            lines.append(f"one that was none: {self.reader.example[:200]!a}")
        return lines


def open_remote(config: OpenAIConfig) -> RemoteModel:
    """Return the remote model that a configuration names, after checking that it can be asked.

    Raises:
        InputError: If one of these is missing, or the address or the prompt file is wrong.
        ServerError: If the server is absent or refuses us.
    """
    if not (config.url and config.model and config.prompt):
        raise InputError(
            "a remote model needs --openai.url (its server), --openai.model (its name there) and "
            "--openai.prompt (what it is asked; examples/score_prompt.toml is a prompt file)"
        )
    prompt = read_prompt(config.prompt)
    client = make_client(config.url, timeout_s=config.timeout)
    client.check()
    return RemoteModel(config, client, prompt)


def _fingerprint(config: OpenAIConfig, client: Client, prompt: Prompt) -> str:
    """Return server, model, and a hash of what else decides on a label."""
    asked = [prompt.sha256, config.query_period, config.longest_side]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    return f"openai:{client.host}/{config.model}#{digest}"
