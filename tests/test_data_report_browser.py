"""The report in a real browser: it opens from disk, asks no network, and shows true numbers."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyarrow as pa
import pytest
from test_data_report import NASTY, FakeDataset, episode, labels_for

from data.episodes import Episode, Subtask, Views
from data.report_page import build_report

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]


class Scenes(FakeDataset):
    """A ball that rolls to a bin, as seen by two cameras; the wrist loses frames 40 to 49."""

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        side, length = size or 160, self.episodes[index].length
        for frame in range(0, length, stride):
            seen = [name for name in views if name != "wrist" or not 40 <= frame < 50]
            yield frame, {name: _scene(name, frame / length, side) for name in seen}


def _scene(name: str, share: float, side: int) -> np.ndarray:
    table = (196, 178, 150) if name == "front" else (150, 170, 190)
    image = np.full((side, side, 3), table, np.uint8)
    image[: side // 3] = (90, 110, 130)
    cv2.rectangle(image, (int(0.7 * side), int(0.5 * side)), (side - 8, side - 20), (60, 90, 60), 3)
    place = (int((0.15 + 0.68 * share) * side), int((0.75 - 0.1 * share) * side))
    cv2.circle(image, place, side // 12, (200, 60, 50), -1)
    return image


def _scenes() -> tuple[Scenes, pa.Table]:
    ramp = np.linspace(0, 1, 120) ** 1.3
    wave = ramp + 0.03 * np.sin(np.arange(120) / 4)
    dropped = np.where(np.arange(120) < 70, ramp, np.maximum(0.08, ramp - 0.6))
    gaps = ramp.copy()
    gaps[30:52] = np.nan
    plans = [
        (wave, True, "expert", "put the red ball into the bin"),
        (dropped, False, "early_release", "put the red ball into the bin"),
        (0.45 * ramp, True, "pause", "open the drawer and put the red ball inside"),
        (gaps, True, None, NASTY),
        (np.full(120, np.nan), None, None, "push the button"),
    ]
    parts = tuple(
        Subtask(name=name, start=start, end=end)
        for name, start, end in [("reach", 0, 35), ("grasp", 35, 60), ("carry to the bin", 60, 119)]
    )
    episodes, curves = [], {}
    for number in range(14):
        curve, outcome, behaviour, text = plans[number] if number < 5 else plans[0]
        curves[number] = np.clip(curve - 0.004 * number, 0, 1)
        truth = np.clip(ramp + 0.02, 0, 1).astype(np.float32) if behaviour == "expert" else None
        episodes.append(
            episode(
                number,
                120,
                outcome=outcome,
                behaviour=behaviour,
                instructions=(text,),
                truth=truth,
                subtasks=parts if behaviour else (),
            )
        )
    table = labels_for(episodes, curves, decoder="pyav", references='{"mode": "other-episode"}')
    noise = np.random.default_rng(1).normal(0, 0.03, len(table))
    backward = table["progress_backward"].to_numpy() + noise
    sure = 0.55 + 0.4 * np.sin(np.arange(len(table)) / 20)
    for name, values in (("progress_backward", backward), ("confidence", sure)):
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values.astype(np.float32)))
    return Scenes(episodes, root=Path("outputs/table")), table


@dataclass
class Opened:
    """A report open in the browser, with what it complained of and asked for."""

    page: "Page"
    table: pa.Table
    episodes: list[Episode]
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def read(self, name: str) -> str:
        return self.page.locator(f'output[data-read="{name}"]').inner_text()

    def value(self, number: int, frame: int, name: str) -> float:
        return float(self.table[name][120 * number + frame].as_py())

    def listed(self) -> list[str]:
        return self.page.locator("#list b").all_text_contents()


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, Scenes]:
    dataset, table = _scenes()
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(build_report(dataset, table, max_media=10), encoding="utf-8")
    return path, table, dataset


@pytest.fixture
def opened(report_file: tuple[Path, pa.Table, Scenes], tmp_path: Path) -> Iterator[Opened]:
    from playwright.sync_api import sync_playwright

    path, table, dataset = report_file
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=CHROMIUM,
            args=FLAGS,
            viewport={"width": 1360, "height": 900},
        )
        page = context.pages[0]
        report = Opened(page, table, dataset.episodes)
        page.on("console", lambda said: report.complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: report.complaints.append(str(error)))
        page.on("request", lambda request: report.requests.append(request.url))
        page.goto(path.as_uri())
        yield report
        context.close()
    assert report.complaints == []
    others = [url for url in report.requests if not url.startswith("data:")]
    assert others == [path.as_uri()]


def test_the_list_starts_with_the_most_suspicious_and_the_header_counts(opened: Opened) -> None:
    assert opened.listed()[:2] == ["#4", "#2"]
    assert opened.page.locator("#name").inner_text() == "Episode 4"
    facts = opened.page.locator("#facts").inner_text().split("\n")
    assert facts[facts.index("rows") + 1] == "1,680"
    assert facts[facts.index("invalid") + 1] == "142 (8.5 %)"
    assert facts[facts.index("model") + 1] == "c0ffee42"
    assert opened.read("progress_sparse") == "–"


def test_the_second_episode_shows_the_labels_value_at_every_frame_visited(opened: Opened) -> None:
    opened.page.locator("#list button").nth(1).click()
    assert opened.page.locator("#name").inner_text() == "Episode 2"
    names = ["progress_sparse", "progress_forward", "progress_backward", "progress_incremental"]
    seen = set()
    for keys, frame in (
        (["ArrowRight"] * 3, 3),
        (["Shift+ArrowRight"] * 6, 63),
        (["ArrowLeft"], 62),
        (["End"], 119),
    ):
        for key in keys:
            opened.page.keyboard.press(key)
        for name in [*names, "confidence", "success_prob", "match_prob"]:
            assert opened.read(name) == f"{opened.value(2, frame, name):.3f}"
        seen.add(opened.read("progress_sparse"))
    assert len(seen) == 4


def test_the_slider_and_a_click_on_the_chart_choose_the_frame(opened: Opened) -> None:
    opened.page.locator('[data-episode="2"]').click()
    opened.page.locator("#slider").fill("77")
    assert opened.read("progress_sparse") == f"{opened.value(2, 77, 'progress_sparse'):.3f}"
    assert opened.page.locator("#time").inner_text() == "frame 77 of 119 · 7.70 s"
    opened.page.locator("#slider").press("ArrowRight")
    assert opened.page.locator("#slider").input_value() == "78"
    box = opened.page.locator("#chart svg").bounding_box()
    assert box
    opened.page.mouse.click(box["x"] + 38 + (box["width"] - 52) / 2, box["y"] + 100)
    assert int(opened.page.locator("#slider").input_value()) in (59, 60)


def test_pictures_step_with_the_slider_and_a_lost_view_says_so(opened: Opened) -> None:
    opened.page.locator('[data-episode="1"]').click()
    picture = opened.page.locator('[data-view="wrist"] .picture')
    places = set()
    for frame in (0, 30, 44, 90):
        opened.page.locator("#slider").fill(str(frame))
        places.add(picture.evaluate("e => e.style.backgroundPosition"))
        lost = "missing" in (picture.get_attribute("class") or "")
        assert lost == (frame == 44)
        caption = opened.page.locator('[data-view="wrist"] figcaption').inner_text()
        assert caption == f"wrist · frame {frame}"
    assert len(places) == 4
    loaded = """async e => {
      const image = new Image();
      image.src = getComputedStyle(e).backgroundImage.slice(5, -2);
      await image.decode();
      return [image.naturalWidth, image.naturalHeight];
    }"""
    assert picture.evaluate(loaded) == [1600, 960]


def test_the_filter_finds_words_outcomes_and_numbers_and_sorting_reorders(opened: Opened) -> None:
    box = opened.page.locator("#filter")
    for words, expected in (
        ("early_release", ["#1"]),
        ("drawer success", ["#2"]),
        ("failure", ["#1"]),
        ("#13", ["#13"]),
        ("nothing valid", ["#4"]),
        ("no such words", []),
    ):
        box.fill(words)
        assert opened.listed() == expected
    assert "No episode matches" in (opened.page.locator("#list").text_content() or "")
    box.fill("")
    assert len(opened.listed()) == 14
    opened.page.locator("#sort").select_option("episode")
    assert opened.listed() == [f"#{number}" for number in range(14)]


def test_keys_walk_the_list_play_runs_and_stops_at_the_end(opened: Opened) -> None:
    opened.page.keyboard.press("j")
    assert opened.page.locator("#name").inner_text() == "Episode 2"
    opened.page.keyboard.press("k")
    assert opened.page.locator("#name").inner_text() == "Episode 4"
    opened.page.keyboard.press("j")
    opened.page.locator("#slider").fill("110")
    opened.page.locator("#speed").select_option("5")
    opened.page.locator("#play").click()
    opened.page.wait_for_selector("#play[aria-label=Play]")
    assert opened.page.locator("#slider").input_value() == "119"
    opened.page.locator("#filter").fill("j k")
    assert opened.page.locator("#name").inner_text() == "Episode 2"


def test_curves_toggle_gaps_are_hatched_and_truth_and_subtasks_are_drawn(opened: Opened) -> None:
    chart = opened.page.locator("#chart")
    opened.page.locator('[data-episode="3"]').click()
    assert chart.locator("rect.invalid").count() == 1
    assert chart.locator("path.truth").count() == 0
    assert (chart.locator("path.progress_sparse").get_attribute("d") or "").count("M") == 2
    assert chart.locator("path.match_prob").count() == 0
    opened.page.locator('[data-series="match_prob"]').click()
    assert chart.locator("path.match_prob").count() == 1
    opened.page.locator('[data-series="confidence"]').press("Enter")
    assert chart.locator("path.band").count() == 0
    opened.page.locator('[data-episode="0"]').click()
    assert chart.locator("path.truth").count() == 1
    assert chart.locator("path.match_prob").count() == 1
    assert "carry to the bin" in chart.inner_text()


def test_hostile_text_stays_text_and_episodes_beyond_the_limit_say_why_no_picture(
    opened: Opened,
) -> None:
    opened.page.locator('[data-episode="3"]').click()
    words = opened.page.locator("#instruction")
    assert words.inner_text().startswith("Stack <image> & </script><script>document.title='owned'")
    assert words.get_attribute("title") == NASTY
    assert opened.page.title() == "table – progress report"
    opened.page.locator("#list button").last.click()
    assert "10 most suspicious episodes" in opened.page.locator("#views").inner_text()


@pytest.mark.parametrize("width", [360, 800, 1360])
def test_nothing_sticks_out_sideways_at_any_width(opened: Opened, width: int) -> None:
    opened.page.set_viewport_size({"width": width, "height": 900})
    opened.page.locator('[data-episode="3"]').click()
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    drawn = opened.page.locator("#chart svg").bounding_box()
    assert drawn
    assert drawn["width"] <= width


def test_a_thousand_episodes_open_within_seconds(opened: Opened, tmp_path: Path) -> None:
    episodes = [episode(number, 200, outcome=True) for number in range(1000)]
    table = labels_for(episodes, dict.fromkeys(range(1000), np.linspace(0, 1, 200)))
    many = tmp_path / "many.html"
    many.write_text(build_report(FakeDataset(episodes), table, max_media=0), encoding="utf-8")
    second = opened.page.context.new_page()
    second.goto(many.as_uri())
    assert second.locator("#list button").count() == 1000
    spent = second.evaluate("performance.getEntriesByType('navigation')[0].duration")
    assert spent < 5000
    print(f"1,000 episodes, {many.stat().st_size / 1e6:.1f} MB: open after {spent:.0f} ms")
