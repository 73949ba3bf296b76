"""`robo-reward serve` as a process: hangs, kills, signals, reloads, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import tiny
import torch
from certificates import certificate
from tiny_vlm import make_tiny_vlm

from robo_reward.checkpoint import ModelConfig, build, load, save
from robo_reward.config import HfConfig
from robo_reward.errors import CheckpointError, InputError, NoVerdictError, ServerError
from robo_reward.model import ModelSettings
from robo_reward.serving import Scored, Unavailable, connect
from robo_reward.serving.child import Child, started
from robo_reward.serving.command import Serve
from robo_reward.serving.judge import open_model

TEXT = "close the drawer"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def store(place: Path, seed: int = 0, **training: Any) -> Path:
    settings = ModelSettings(image_size=tiny.SIZE, query_period_s=0.1)
    config = ModelConfig(backbone=tiny.SHAPE, settings=settings, training=training)
    save(place, tiny.network(seed), config)
    return place


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("model"), views=list(tiny.VIEWS))


def served(model: Path, *flags: str, **how: Any) -> Any:
    return started(model, *flags, environment=ONE_THREAD, **how)


def until(so: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)


def gap(child: Child, model: Path) -> float:
    """How far a server's verdicts are from those of a model loaded here."""
    local, frames = load(model, device="cpu"), tiny.episode(4)
    mine = local.begin(TEXT, tiny.references())
    with connect(child.address, deadline_s=20.0) as asking:
        theirs = asking.begin(TEXT, tiny.references())
        gaps = [
            abs(local.score(mine, frame, n).progress - asking.score(theirs, frame, n).progress)
            for n, frame in enumerate(frames)
        ]
    return max(gaps)


def test_a_server_answers_as_its_checkpoint_does_and_ends_when_told(
    model: Path, tmp_path: Path
) -> None:
    listen = f"unix:{tmp_path}/s"
    with served(model, "--metrics-port", "0", listen=listen) as child:
        assert gap(child, model) < 1e-6
        text = httpx.get(child.metrics, trust_env=False).text
        assert 'robo_reward_answers_total{kind="scored"} 4.0' in text
        health = httpx.get(child.metrics.replace("/metrics", "/health"), trust_env=False)
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        assert httpx.get(child.metrics.replace("metrics", "x"), trust_env=False).status_code == 404
        stranger = httpx.get(child.metrics, headers={"Host": "other.example"}, trust_env=False)
        assert (stranger.status_code, stranger.text) == (421, "ask for 127.0.0.1\n")
        child.process.terminate()
        assert child.process.wait(30.0) == 0
        assert "Traceback" not in child.log.read_text()
    assert not (tmp_path / "s").exists()


def test_a_server_that_hangs_gives_no_answer_within_the_deadline_and_goes_on(model: Path) -> None:
    frames = tiny.episode(4)
    with served(model) as child, connect(child.address, deadline_s=20.0) as asking:
        session = asking.begin(TEXT, tiny.references())
        asking.score(session, frames[0], 0.0)
        os.kill(child.process.pid, signal.SIGSTOP)
        try:
            asked = [[frame] for frame in frames[1:3]]
            late = [asking.ask([session], one, [1.0], deadline_s=0.3)[0] for one in asked]
            assert all(isinstance(one, Unavailable) for one in late)
            with pytest.raises(ServerError, match="does not answer"):
                connect(child.address, begin_s=0.3)
        finally:
            os.kill(child.process.pid, signal.SIGCONT)
        (answer,) = asking.ask([session], [frames[3]], [5.0])
        assert isinstance(answer, Scored)


def test_a_server_that_is_killed_gives_no_answer_and_its_socket_is_taken_over(
    model: Path, tmp_path: Path
) -> None:
    listen, frames = f"unix:{tmp_path}/s", tiny.episode(2)
    with served(model, listen=listen) as child:
        asking = connect(child.address, deadline_s=20.0)
        session = asking.begin(TEXT, tiny.references())
        child.process.kill()
        child.process.wait(30.0)
        (answer,) = asking.ask([session], [frames[0]], [0.0])
        assert isinstance(answer, Unavailable)
        with pytest.raises(NoVerdictError):
            asking.score(session, frames[1], 1.0)
    assert (tmp_path / "s").is_socket()
    with served(model, listen=listen) as child, asking:
        fresh = asking.begin(TEXT, tiny.references())
        assert 0.0 <= asking.score(fresh, frames[0], 0.0).progress <= 1.0


HANGS = """
import sys, threading
from pathlib import Path
from robo_reward.fake_model import FakeProgressModel
from robo_reward.serving import engine, judge
from robo_reward.serving.command import Serve

class Hangs(FakeProgressModel):
    def score_many(self, *asked):
        threading.Event().wait()

about = {"fingerprint": "x", "period_s": 0.1, "image_size": 4, "training": {}}
judge.open_model = lambda place, **how: judge.Loaded(model=Hangs(), about=about, place=place)
engine.GRACE_S = 0.2
Serve(model=Path("m"), listen=sys.argv[1]).run()
"""


def test_a_pass_that_hangs_does_not_keep_a_server_that_is_to_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    command = [sys.executable, "-c", HANGS, f"unix:{path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"serving m")
            with connect(f"unix:{path}", deadline_s=0.2) as asking:
                session = asking.begin(TEXT, tiny.references())
                (answer,) = asking.ask([session], [tiny.episode(1)[0]], [0.0])
                assert isinstance(answer, Unavailable)
                process.terminate()
                _, said = process.communicate(timeout=30.0)
        finally:
            process.kill()
    assert process.returncode == 1
    assert b"the pass that ran did not end" in said
    assert not path.exists()


def test_a_hangup_reads_the_checkpoint_again(tmp_path: Path) -> None:
    place = store(tmp_path / "model", seed=0)
    other = store(tmp_path / "other", seed=1)
    first, second = load(place).fingerprint, load(other).fingerprint
    with served(place) as child:
        with connect(child.address) as asking:
            assert asking.fingerprint == first
            (place / "config.json").write_text("broken")
            child.process.send_signal(signal.SIGHUP)
            until(lambda: "the old model stays" in child.log.read_text())
            assert asking.health()["fingerprint"] == first
            shutil.rmtree(place)
            shutil.copytree(other, place)
            child.process.send_signal(signal.SIGHUP)
            until(lambda: asking.health()["fingerprint"] == second)
        assert gap(child, other) < 1e-6


def test_beyond_plain_sockets_it_takes_the_token_and_the_certificate(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBO_REWARD_TOKEN", raising=False)
    cert, key = certificate(tmp_path)
    token, wrong = tmp_path / "token", tmp_path / "wrong"
    token.write_text("secret\n")
    wrong.write_text("other\n")
    flags = ("--token-file", str(token), "--cert", str(cert), "--key", str(key))
    with served(model, *flags, listen="tls://127.0.0.1:0") as child:
        with connect(child.address, trust=cert, token_file=token) as asking:
            session = asking.begin(TEXT, tiny.references())
            assert asking.score(session, tiny.episode(1)[0], 0.0).valid
        with pytest.raises(ServerError, match="the token is missing or wrong"):
            connect(child.address, trust=cert, token_file=wrong)
        with pytest.raises(ServerError, match="certificate verify failed"):
            connect(child.address, token_file=token)
        with pytest.raises(ServerError, match=r"refuses us|does not answer"):
            connect(child.address.replace("tls:", "tcp:"), token_file=token, begin_s=8.0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"listen": "tcp://0.0.0.0:0"}, "must be encrypted"),
        ({"listen": "tls://0.0.0.0:0"}, "needs --cert and --key"),
        ({"listen": "somewhere"}, "is no address of a reward server"),
        ({"token_file": Path("absent")}, "--token-file absent cannot be read"),
        ({"cert": Path("c.pem")}, "--cert and --key are for tls://"),
        ({"device": "cuda:99"}, "--device cuda:99 cannot be used"),
        ({"device": "toaster"}, "--device toaster cannot be used"),
        ({"bf16": True}, "--bf16 is for pretrained backbones"),
        ({"metrics_port": -1}, "--metrics-port must be from 0 to 65535"),
        ({"metrics_port": 70000}, "--metrics-port must be from 0 to 65535"),
        ({"listen": f"tls://{'a' * 64}:1"}, "is no name of a machine"),
    ],
)
def test_what_cannot_be_served_is_told(
    model: Path, how: dict[str, Any], message: str, tmp_path: Path
) -> None:
    asked = {"model": model, "listen": f"unix:{tmp_path}/s", **how}
    with pytest.raises(InputError, match=message):
        Serve(**asked).run()


def test_a_model_that_is_not_there_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is no model: it has no config\.json"):
        Serve(model=tmp_path / "absent", listen=f"unix:{tmp_path}/s").run()
    assert not (tmp_path / "s").exists()
    refused = pytest.raises(ServerError, match=r"robo-reward serve: .* is no model")
    with refused as told, served(tmp_path / "absent"):
        pass
    assert "Traceback" not in str(told.value)


def test_a_metrics_port_that_is_in_use_is_told(model: Path) -> None:
    with served(model, "--metrics-port", "0") as child:
        port = int(child.metrics.rpartition(":")[2].partition("/")[0])
        with pytest.raises(InputError, match=f"--metrics-port {port} cannot be listened on"):
            Serve(model=model, listen="tcp://127.0.0.1:0", metrics_port=port).run()


def test_what_is_told_of_a_model_is_what_its_checkpoint_says(tmp_path: Path) -> None:
    counted = {"failures": 8.0, "failures_claimed": 1.0}
    told = {"views": ["front"], "instructions": ["open"], "validation": counted, "seed": 3}
    about = open_model(store(tmp_path / "one", **told), device="cpu", bf16=False).about
    assert about["training"] == {name: told[name] for name in told if name != "seed"}
    assert (about["image_size"], about["period_s"]) == (tiny.SIZE, 0.1)
    assert json.dumps(about)
    many = [f"instruction {n} of very many" for n in range(5000)]
    place = store(tmp_path / "many", instructions=many, views=["front"])
    assert open_model(place, device="cpu", bf16=False).about["training"] == {"views": ["front"]}


def test_bfloat16_is_for_pretrained_backbones(tmp_path: Path) -> None:
    base = make_tiny_vlm(tmp_path / "qwen3_vl", "qwen3_vl", scale=4.0)
    backbone = HfConfig(base=str(base), image_size=32, lora_rank=0, dtype="fp32")
    torch.manual_seed(0)
    network = build(backbone)
    with torch.no_grad():
        for tensor in network.learnt().values():
            tensor.add_(torch.randn_like(tensor) * 0.01)
    settings = ModelSettings(image_size=32, query_period_s=0.1)
    place = tmp_path / "model"
    save(place, network, ModelConfig(backbone=backbone, settings=settings))
    said, names = [], []
    for bf16 in (False, True):
        made = open_model(place, device="cpu", bf16=bf16)
        session = made.model.begin(TEXT, tiny.references())
        shown = enumerate(tiny.episode(3))
        said.append([made.model.score(session, frame, float(n)).progress for n, frame in shown])
        names.append(made.fingerprint)
    assert names[1] == names[0] + "+bf16"
    assert said[0] != said[1]
    assert said[1] == pytest.approx(said[0], abs=0.1)
