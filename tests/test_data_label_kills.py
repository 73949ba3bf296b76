"""SIGKILL while labelling: no row is lost, doubled or unreadable, and little is done twice."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import LENGTH, write_dataset
from label_kills import command_line, compare, label_and_kill, reworked
from test_data_label import checkpoint

from data.compaction import FILE
from data.label import Label
from data.verify import Verify

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "model")


def survive(folder: Path, model: Path, *, units: int, kills: int, most_s: float) -> None:
    """Label a dataset undisturbed and under fire, again until there were kills enough; compare."""
    dataset = write_dataset(folder / "data", "images", episodes=units)
    calm, killed, begun_again = folder / "calm", 0, 0
    Label(dataset=str(dataset), model=model, out=calm).run()
    for turn in range(kills):
        hit = folder / f"hit-{turn}"
        told = label_and_kill(
            command_line(dataset, model, hit, workers=2),
            hit,
            kills=kills - killed,
            seed=turn,
            most_s=most_s,
        )
        killed, begun_again = killed + told.killed, begun_again + reworked(hit)
        print(f"{told}, {reworked(hit)} units begun again")
        assert compare(hit, calm) == []
        rows = pq.read_table(hit / FILE)["episode_index"].to_pylist()
        assert Counter(rows) == dict.fromkeys(range(units), LENGTH)
        Verify(out=hit, dataset=str(dataset)).run()
        assert sorted(p.name for p in hit.iterdir()) == sorted(p.name for p in calm.iterdir())
        if killed >= kills:
            break
    print(f"{units} units, {killed} kills, {begun_again} units begun again")
    assert killed >= kills
    assert begun_again <= killed


def test_ten_kills_change_nothing(tmp_path: Path, model: Path) -> None:
    survive(tmp_path, model, units=60, kills=10, most_s=4.0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_forty_kills_change_nothing(tmp_path: Path, model: Path) -> None:
    survive(tmp_path, model, units=600, kills=40, most_s=8.0)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(20000)
def test_two_hundred_kills_of_a_thousand_units_change_nothing(tmp_path: Path, model: Path) -> None:
    survive(tmp_path, model, units=1000, kills=200, most_s=8.0)
