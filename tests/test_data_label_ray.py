"""Ray actors as workers: the same bytes as by processes, also when an actor is killed."""

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import write_dataset
from test_data_label import HERE, checkpoint

from data.compaction import FILE
from data.label import Label
from data.label_plan import UNITS
from data.label_ray import RayCrew
from data.label_share import label_share
from data.label_store import DirectoryStore
from robo_reward.errors import DatasetError, InputError, OutputError
from sim.crew_ray import Cluster

pytestmark = pytest.mark.usefixtures("one_thread")


def die(told: Any, number: int) -> list[str]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def refuse(told: Any, number: int) -> list[str]:
    raise DatasetError("it is damaged")


def nothing() -> None:
    """Look at nothing."""


def test_a_killed_actor_costs_nothing(cluster: Cluster, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", "images", episodes=60)
    calm = Label(
        dataset=str(dataset),
        model=checkpoint(tmp_path / "model"),
        out=tmp_path / "calm",
        decode=HERE,
    )
    calm.run()
    hit = replace(calm, out=tmp_path / "hit", workers=2, launcher="ray")
    crew, store = RayCrew(label_share, hit.share(0, 1).anywhere()), DirectoryStore(hit.out)
    killed: list[int] = []

    def kill() -> None:
        """Kill an actor once it has published something."""
        import ray

        deadline = time.monotonic() + 100
        while not store.names(UNITS) and time.monotonic() < deadline:
            time.sleep(0.005)
        ray.kill(crew.actors[0], no_restart=True)
        killed.append(len(store.names(UNITS)))

    thread = threading.Thread(target=kill)
    thread.start()
    crew.run(2, done=lambda: len(store.names(UNITS)), on_look=nothing)
    thread.join(110)
    assert killed
    assert (hit.out / FILE).read_bytes() == (calm.out / FILE).read_bytes()


def test_the_command_labels_in_the_cluster_that_is_there(
    cluster: Cluster, tiny_dataset: Path, tmp_path: Path
) -> None:
    model = checkpoint(tmp_path / "model")
    one = Label(dataset=str(tiny_dataset), model=model, out=tmp_path / "one", decode=HERE)
    one.run()
    two = replace(one, out=tmp_path / "two", launcher="ray", workers=2)
    two.run()
    assert (one.out / FILE).read_bytes() == (two.out / FILE).read_bytes()


@pytest.mark.slow
def test_actors_that_die_for_ever_are_given_up(cluster: Cluster) -> None:
    with pytest.raises(OutputError, match="5 workers died one after the other"):
        RayCrew(die, None).run(1, done=lambda: 0, on_look=nothing)


def test_an_error_of_one_is_raised(cluster: Cluster) -> None:
    with pytest.raises(DatasetError, match="it is damaged"):
        RayCrew(refuse, None).run(1, done=lambda: 0, on_look=nothing)


def test_an_address_without_ray_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    command = Label(
        dataset=str(tiny_dataset), out=tmp_path / "out", ray_address="127.0.0.1:1", decode=HERE
    )
    with pytest.raises(InputError, match="--ray-address is for --launcher ray"):
        command.run()
