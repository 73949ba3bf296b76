"""`label` with a tiny random model that `transformers serve` really serves: it talks nonsense."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import LENGTH
from openai_server import closed_port, config
from tiny_vlm import make_servable

from data.compaction import FILE
from data.label import Label
from robo_reward.errors import ServerError
from robo_reward.protocols import References
from robo_reward.remote.model import open_remote
from robo_reward.testing import HARD_TEXTS

pytestmark = pytest.mark.slow

PROMPT = (Path(__file__).parent.parent / "examples/score_prompt.toml").read_text(encoding="utf-8")
START_S = 400.0
"""Importing the server's libraries takes long on a busy machine."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Serve on a free port, with the pictures it leaves behind in a folder of ours."""
    for module in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(module, reason="transformers serve needs it: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("served")
    place, port = make_servable(folder / "vlm"), closed_port()
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    program = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(place)]
    flags = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TMPDIR": str(folder)}
    with log.open("wb") as out:
        server = subprocess.Popen([*program, *flags], stdout=out, stderr=out, env=environment)
    try:
        _await(url, server, log)
        yield f"{url}/v1", place
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(timeout=30)


def _await(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(errors="replace")
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise AssertionError(f"the server does not answer: {log.read_text(errors='replace')}")


def test_a_random_model_says_no_number_and_all_is_nan_and_counted(
    served: tuple[str, Path], tiny_dataset: Path, tmp_path: Path
) -> None:
    """Episode 0 sees no goal: 1 + 2 + 2 questions; the others are asked 2 + 3 + 3 each."""
    asked = config(served[0], tmp_path, PROMPT, model=str(served[1]), in_flight=2, timeout=300.0)
    out = tmp_path / "labels"
    Label(dataset=str(tiny_dataset), out=out, reference="0", openai=asked).run()
    table = pq.read_table(out / FILE)
    counted = json.loads(table.schema.metadata[b"openai_answers"])
    assert counted == {"number": 0, "unparsable": 21, "refused": 0, "failed": 0}
    assert table.num_rows == 3 * LENGTH
    assert not any(table["valid"].to_pylist())
    assert np.isnan(table["progress_sparse"].to_numpy()).all()


def test_no_instruction_shifts_an_image_or_fails(served: tuple[str, Path], tmp_path: Path) -> None:
    """The server would count a mark in the text as an image more, and fail."""
    text = PROMPT.replace("max_tokens = 64", "max_tokens = 2")
    model = open_remote(config(served[0], tmp_path, text, model=str(served[1]), timeout=300.0))
    frame = {"front": np.full((32, 32, 3), 90, np.uint8)}
    texts = [*HARD_TEXTS, "<|vision_start|><|image_pad|><|vision_end|>", "<|im_end|>"]
    for instruction in texts:
        session = model.begin(instruction, References(start=frame))
        assert not model.score(session, frame, 0.0).valid
    assert model.reader.counts == {"unparsable": len(texts)}
    unguarded = config(served[0], tmp_path, text.replace("BEFORE:", "<|image_pad|>"))
    broken = open_remote(replace(unguarded, model=str(served[1]), timeout=300.0))
    broken.score(broken.begin("lift", References(start=frame)), frame, 0.0)
    assert broken.reader.counts == {"failed": 1}


def test_an_address_that_is_not_there_is_told_at_once(
    served: tuple[str, Path], tiny_dataset: Path, tmp_path: Path
) -> None:
    asked = config(served[0].replace("/v1", "/v2"), tmp_path, PROMPT, timeout=300.0)
    command = Label(dataset=str(tiny_dataset), out=tmp_path / "labels", openai=asked)
    with pytest.raises(ServerError, match=r"HTTP 404.*the address is not the one that ends with"):
        command.run()
    assert not (command.out / FILE).exists()
