"""What a dataset to be written holds, and how its images are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from robo_reward.lerobot_rows import PREFIX

type Storage = Literal["h264", "av1", "images"]
"""How images are kept: two video codecs, or PNG inside parquet (fast at small sizes)."""


@dataclass(frozen=True, kw_only=True)
class DatasetLayout:
    """What every frame of a dataset holds, and how its images are kept."""

    fps: int
    """Frames per second."""
    image_shapes: Mapping[str, tuple[int, int, int]]
    """View name → (H, W, 3)."""
    features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Further columns as LeRobot describes them: name → dtype, shape, names."""
    robot_type: str | None = None
    """Recorded as it is."""
    storage: Storage = "h264"
    """How images are kept."""

    @property
    def as_video(self) -> bool:
        """Whether images are kept as video."""
        return self.storage != "images"

    def further(self) -> dict[str, dict[str, Any]]:
        """Return the columns other than images, as LeRobot describes them."""
        return {
            name: {**feature, "shape": tuple(feature["shape"])}
            for name, feature in self.features.items()
        }

    def columns(self) -> dict[str, dict[str, Any]]:
        """Return all columns as LeRobot describes them, the views first and by name."""
        cameras = {
            f"{PREFIX}{view}": {
                "dtype": "video" if self.as_video else "image",
                "shape": tuple(shape),
                "names": ["height", "width", "channels"],
            }
            for view, shape in sorted(self.image_shapes.items())
        }
        return {**cameras, **self.further()}

    def encoder(self) -> Any:
        """Return LeRobot's configuration of the video encoder; None where there is none."""
        from lerobot.configs import RGBEncoderConfig

        if self.storage == "h264":
            return RGBEncoderConfig(
                vcodec="h264",
                crf=23,
                g=10,
                preset="veryfast",
                # with B-frames, or with a look ahead, x264 now and then gives other bytes
                extra_options={"bf": "0", "rc-lookahead": "0", "mbtree": "0"},
            )
        return RGBEncoderConfig(vcodec="libsvtav1") if self.as_video else None
