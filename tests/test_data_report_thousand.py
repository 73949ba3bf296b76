"""The report of 1,000 episodes, opened in a real browser: its size, its rows, its pictures."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_data_report import FakeDataset, episode, labels_for

from data.episodes import Views
from data.report import write_page
from data.report_page import build_report

CHROMIUM = shutil.which("chromium")
EPISODES, LENGTH, FPS, QUERY = 1000, 300, 30.0, 12
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
PIXEL = """async ([view, x, y]) => {
  const picture = document.querySelector(`[data-view="${view}"] .picture`);
  const style = getComputedStyle(picture), image = new Image();
  image.src = style.backgroundImage.slice(5, -2);
  await image.decode();
  const [left, top] = style.backgroundPosition.split(" ").map((part) => parseFloat(part) / 100);
  const [across, down] = style.backgroundSize.split(" ").map((part) => parseFloat(part) / 100);
  const wide = image.naturalWidth / across, high = image.naturalHeight / down;
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  canvas.drawImage(image, Math.round(left * (across - 1)) * wide + x * wide,
    Math.round(top * (down - 1)) * high + y * high, 1, 1, 0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
}"""


class Rooms(FakeDataset):
    """Grainy rooms, so that JPEG finds as much as in a photograph, in which a ball crosses."""

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        side = size or 160
        grain = np.random.default_rng(index).integers(40, 216, (len(views), side, side, 3))
        rooms = [cv2.blur(one.astype(np.uint8), (5, 5)) for one in grain]
        for frame in range(0, self.episodes[index].length, stride):
            images = {name: room.copy() for name, room in zip(views, rooms, strict=True)}
            at = int(side * (0.1 + 0.8 * frame / LENGTH))
            for image in images.values():
                cv2.circle(image, (at, side // 2), side // 10, (255, 0, 0), -1)
            yield frame, images


def build(path: Path) -> tuple[Path, float]:
    """Write the page; return it and the seconds it took."""
    views = ("cam_high", "cam_left_wrist", "cam_right_wrist")
    draw = np.random.default_rng(0)
    episodes = [
        episode(number, LENGTH, fps=FPS, views=views, outcome=bool(number % 4))
        for number in range(EPISODES)
    ]
    ramp = np.linspace(0, 1, LENGTH)
    curves = {n: np.repeat((ramp * draw.uniform(0.3, 1))[::QUERY], QUERY) for n in range(EPISODES)}
    dataset = Rooms(episodes, views=views)
    start = time.perf_counter()
    write_page(build_report(dataset, labels_for(episodes, curves)), path)
    return path, time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
def test_a_thousand_episodes_are_light_complete_and_can_be_scrubbed(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    path, spent = build(tmp_path / "thousand.html")
    size = path.stat().st_size
    assert size <= 50e6
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = []
        for _ in range(3):
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            page.goto(path.as_uri())
            opened.append(page.evaluate("performance.getEntriesByType('navigation')[0].duration"))
        assert page.locator("#list button").count() == EPISODES
        assert page.locator('script[id^="curves-"]').count() == EPISODES
        assert page.locator('script[id^="media-"]').count() == 100
        for place in (0, 99):
            page.locator("#list button").nth(place).click()
            for view in ("cam_high", "cam_left_wrist", "cam_right_wrist"):
                # the ball is at a tenth of the picture in the first frame and has left it later
                page.locator("#slider").fill("0")
                red, green, blue = page.evaluate(PIXEL, [view, 0.1, 0.5])
                assert red > 200 > 60 > max(green, blue)
                page.locator("#slider").fill(str(LENGTH // 2))
                assert max(page.evaluate(PIXEL, [view, 0.1, 0.5])[1:]) > 60
                red, green, blue = page.evaluate(PIXEL, [view, 0.5, 0.5])
                assert red > 200 > 60 > max(green, blue)
        page.locator("#list button").nth(100).click()
        assert "100 most suspicious episodes" in page.locator("#views").inner_text()
        assert page.locator("#chart path.progress_sparse").count() == 1
        page.screenshot(path=tmp_path / "thousand.png")
        browser.close()
    told = ", ".join(f"{one / 1000:.2f}" for one in opened)
    print(f"{EPISODES} episodes of {LENGTH} frames: built in {spent:.0f} s, {size / 1e6:.1f} MB")
    print(f"opened in {told} s; {tmp_path / 'thousand.png'}")
