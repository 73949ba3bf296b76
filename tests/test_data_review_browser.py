"""The review page in a real browser: keys, pictures, drafts and versions."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from conftest import grey
from reviewing import Serving, serving, write_labels

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
GREY = """async (view) => {
  const image = document.querySelector(`[data-view="${view}"] img`);
  await image.decode();
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  canvas.drawImage(image, 0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data[0];
}"""


@dataclass
class Opened:
    """The page of a review that is being served."""

    page: "Page"
    labels: Path
    served: Serving

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def see(self, words: str) -> None:
        """Wait until the status says so."""
        self.page.wait_for_function(
            "words => document.getElementById('status').textContent.includes(words)", arg=words
        )

    def at(self, episode: int, frame: int) -> None:
        """Wait until all pictures of a frame are shown."""
        self.page.wait_for_function(
            """([episode, frame]) => document.getElementById("name").textContent
              === `Episode ${episode}` && [...document.querySelectorAll("#views figcaption")].every(
                (one) => one.textContent.endsWith(`frame ${frame}`))""",
            arg=[episode, frame],
        )

    def draft(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.labels / "drafts/0001-me.json").read_text())
        return found["episodes"]

    def listed(self) -> list[str]:
        return self.page.locator("#list b").all_text_contents()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def opened(tiny_dataset: Path, tmp_path: Path, browser: "Browser") -> Iterator[Opened]:
    labels, complaints = write_labels(tmp_path / "labels", tiny_dataset), []
    asked: list[str] = []
    refused: list[str] = []
    with serving(tiny_dataset, labels) as served:
        context = browser.new_context(viewport={"width": 1360, "height": 900})
        page = context.new_page()
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("response", lambda answer: refused.append(answer.url) if answer.status > 399 else 0)
        page.goto(served.address)
        review = Opened(page, labels, served)
        # 1: a failure that ends at Φ = 1; 2: a success that ends at .4; 0: nothing suspicious
        review.at(1, 0)
        yield review
        context.close()
        assert all(url.startswith((served.base, "data:")) for url in asked)
        assert not any("token" in url for url in asked[1:])
    assert [url for url in refused if not url.endswith("/write")] == []
    assert [one for one in complaints if "Failed to load resource" not in one] == []


def test_the_token_leaves_the_address_and_the_page_survives_a_reload(opened: Opened) -> None:
    assert opened.page.url == f"{opened.served.base}/#1"
    opened.press("j")
    opened.at(2, 0)
    opened.page.reload()
    opened.at(2, 0)
    assert opened.page.title() == "tiny – review of labels"


def test_episodes_are_listed_by_suspicion_and_scrubbing_changes_the_pixels(opened: Opened) -> None:
    assert opened.listed() == ["#1", "#2", "#0"]
    for keys, frame in (
        ([], 0),
        (["ArrowRight"] * 3, 3),
        (["Shift+ArrowRight"], 11),
        (["ArrowLeft"] * 2, 9),
        (["Home"], 0),
    ):
        opened.press(*keys)
        opened.at(1, frame)
        for view in ("front", "wrist"):
            assert abs(opened.page.evaluate(GREY, view) - grey(view, frame, 1)) < 4
    opened.page.locator("#slider").fill("6")
    opened.at(1, 6)
    opened.page.locator("#list button").last.click()
    opened.at(0, 0)
    assert abs(opened.page.evaluate(GREY, "wrist") - grey("wrist", 0, 0)) < 4


def test_a_keyboard_is_enough_for_a_version(opened: Opened) -> None:
    opened.press("m", *["ArrowRight"] * 4, "m", *["Shift+ArrowRight"], "m", "[", "[", "f")
    opened.see("saved")
    # 11 is moved to 9; K0 … K2 bound two subtasks of three
    assert opened.page.locator("#keyframes button").all_text_contents() == [
        "K0 · frame 0",
        "K1 · frame 4",
        "K2 · frame 9",
    ]
    opened.press("n")
    opened.page.keyboard.type("dropped it, then? jkasfx")
    opened.press("Escape", "j", "a", "a")
    opened.see("no episode below is left")
    opened.press("w")
    opened.page.wait_for_selector("#write[open]")
    assert "3 changed decisions" in opened.page.locator("#write-words").inner_text()
    opened.press("Enter")
    opened.see("version 0002 written")
    folder = opened.labels / "versions/0002"
    review = json.loads((folder / "review.json").read_text())["episodes"]
    assert review["1"] == {
        "accepted": False,
        "outcome": "failure",
        "keyframes": [0, 4, 9],
        "subtasks": None,
        "note": "dropped it, then? jkasfx",
    }
    assert review["2"]["accepted"]
    assert review["0"]["accepted"]
    phi = pq.read_table(folder / "progress.parquet")["progress_sparse"].to_numpy()
    assert phi[12 + 4] == pytest.approx(1 / 3)
    assert phi[12 + 9] == pytest.approx(2 / 3)
    assert opened.page.locator('[data-fact="version"]').inner_text() == "0002"


def test_every_decision_is_in_the_draft_and_can_be_undone(opened: Opened) -> None:
    opened.press("s")
    opened.see("saved")
    assert opened.draft()["1"]["outcome"] == "success"
    assert "✓ success" in opened.page.locator("#outcome").inner_text()
    opened.press("a")
    opened.at(2, 0)
    assert opened.draft()["1"]["accepted"]
    opened.press("u")
    opened.see("undone: episode 1")
    opened.at(1, 0)
    assert not opened.draft()["1"]["accepted"]
    opened.press("u")
    opened.page.wait_for_selector("#outcome .badge.bad")
    assert "1" not in opened.draft()
    opened.press("u")
    opened.see("nothing to undo")


def test_keyframes_are_selected_moved_between_their_neighbours_and_deleted(opened: Opened) -> None:
    buttons = opened.page.locator("#keyframes button")
    opened.press("m", "ArrowRight", "ArrowRight", "m", "ArrowRight", "ArrowRight", "m")
    opened.press("{")
    assert buttons.all_text_contents() == ["K0 · frame 0", "K1 · frame 2", "K2 · frame 3"]
    opened.press("Home", ".", "]")
    assert buttons.all_text_contents()[1] == "K1 · frame 2"
    opened.press("}", ",", "x")
    assert buttons.all_text_contents() == ["K0 · frame 2", "K1 · frame 3"]
    opened.press(".", "x")
    opened.page.wait_for_selector("#keyframes .problem")
    assert "Φ needs two" in opened.page.locator("#keyframes").inner_text()
    opened.press("w")
    opened.page.wait_for_selector("#write[open]")
    opened.press("Enter")
    opened.page.wait_for_selector("#trouble:not([hidden])")
    assert "episode 1 has one keyframe" in opened.page.locator("#trouble").inner_text()
    assert not (opened.labels / "versions").exists()


def test_a_keyframe_can_be_dragged(opened: Opened) -> None:
    opened.press("m", *["ArrowRight"] * 4, "m")
    opened.see("saved")
    handle = opened.page.locator("#chart .keyframe.selected circle").bounding_box()
    chart = opened.page.locator("#chart").bounding_box()
    assert handle
    assert chart
    opened.page.mouse.move(handle["x"] + 9, handle["y"] + 9)
    opened.page.mouse.down()
    step = (chart["width"] - 54) / 11
    opened.page.mouse.move(handle["x"] + 9 + 3 * step, handle["y"], steps=4)
    opened.page.mouse.up()
    buttons = opened.page.locator("#keyframes button")
    assert buttons.all_text_contents() == ["K0 · frame 0", "K1 · frame 7"]


def test_progress_follows_the_keyframes_beside_what_the_model_said(opened: Opened) -> None:
    assert opened.page.locator("#chart path.model").count() == 0
    opened.press("s", "m", "End", "ArrowLeft", "m")
    opened.page.wait_for_selector("#chart path.curve.model")
    opened.press("Home", *["ArrowRight"] * 5)
    read = 'output[data-read="{}"]'
    assert opened.page.locator(read.format("progress_sparse")).inner_text() == "0.500"
    assert opened.page.locator(read.format("model")).inner_text() == "0.455"
    assert opened.page.locator("#parts").is_hidden()
    opened.press("f")
    opened.page.wait_for_selector("#parts:not([hidden])")
    opened.press("t")
    opened.page.keyboard.type("4")
    opened.press("Tab")
    opened.page.wait_for_function(
        "() => document.querySelector('output[data-read=progress_sparse]').textContent === '0.125'"
    )


def test_the_list_can_be_narrowed_to_what_is_left(opened: Opened) -> None:
    opened.press("a")
    opened.at(2, 0)
    show = opened.page.locator("#show")
    for choice, expected in (
        ("open", ["#2", "#0"]),
        ("reviewed", ["#1"]),
        ("bad", ["#1"]),
        ("good", ["#2", "#0"]),
        ("unknown", []),
        ("all", ["#1", "#2", "#0"]),
    ):
        show.select_option(choice)
        assert opened.listed() == expected
    opened.page.locator("#filter").fill("#0")
    assert opened.listed() == ["#0"]


def test_a_quick_hand_loses_no_key(opened: Opened) -> None:
    opened.press("s", "a", "f", "a", "m", "a")
    opened.see("no episode below is left")
    found = opened.draft()
    assert [found[number]["outcome"] for number in "120"] == ["success", "failure", None]
    assert all(found[number]["accepted"] for number in "120")
    assert found["0"]["keyframes"] == [0]


def test_a_stale_tab_is_told_and_shows_what_is_saved(opened: Opened) -> None:
    tab = opened.page.context.new_page()
    tab.goto(f"{opened.served.base}/#1")
    tab.wait_for_selector("#views figcaption")
    opened.press("m", *["ArrowRight"] * 4, "m")
    opened.see("saved")
    tab.keyboard.press("s")
    tab.wait_for_selector("#trouble:not([hidden])")
    assert "decided otherwise meanwhile, in another tab" in tab.locator("#trouble").inner_text()
    tab.wait_for_selector('#keyframes [data-keyframe="4"]')
    assert opened.draft()["1"]["outcome"] is None
    tab.keyboard.press("s")
    tab.wait_for_selector("#trouble", state="hidden")
    assert opened.draft()["1"]["outcome"] == "success"
    assert opened.draft()["1"]["keyframes"] == [0, 4]


def test_what_follows_an_undo_at_once_starts_from_what_it_left(opened: Opened) -> None:
    opened.press("m", "s", "u", "f", "u", "u", "f", "a")
    opened.at(2, 0)  # comes after all was saved
    assert opened.page.locator("#trouble").is_hidden()
    assert opened.draft()["1"]["outcome"] == "failure"
    assert opened.draft()["1"]["keyframes"] == []


def test_a_version_that_lacks_another_says_so(opened: Opened) -> None:
    shutil.copytree(opened.labels, opened.labels / "versions/0002", ignore=lambda *_: ["versions"])
    opened.press("s", "w")
    opened.page.wait_for_selector("#write[open]")
    opened.press("Enter")
    opened.see("what was decided in 0002 is not in it")


def test_help_opens_and_closes_and_keys_rest_meanwhile(opened: Opened) -> None:
    opened.press("?")
    opened.page.wait_for_selector("#help[open]")
    opened.press("f", "Escape")
    assert not opened.page.locator("#help").is_visible()
    assert opened.draft() == {}


def test_a_program_that_has_ended_is_told_and_nothing_pretends_to_be_saved(opened: Opened) -> None:
    opened.press("s")
    opened.see("saved")
    opened.served.process.kill()
    opened.served.process.wait(timeout=30)
    opened.press("f")
    opened.page.wait_for_selector("#trouble:not([hidden])")
    assert "nothing more is saved" in opened.page.locator("#trouble").inner_text()
    assert opened.page.locator("#status").inner_text() == ""
    assert opened.draft()["1"]["outcome"] == "success"


def test_nothing_sticks_out_sideways_at_any_width(opened: Opened) -> None:
    opened.press("m")
    for width in (360, 800, 1360):
        opened.page.set_viewport_size({"width": width, "height": 900})
        opened.page.wait_for_timeout(100)
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
