"""Images of Meta-World's scenes, drawn by MuJoCo directly with our fast settings.

The benchmark's own renderer draws shadows, reflections and four samples a pixel, at ten and more
times the cost. Nothing of the benchmark is changed but settings of its model for drawing.
"""

import atexit
from collections import OrderedDict
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..render import LARGEST, require_backend

VIEWS = {"front": "corner4", "side": "corner", "wrist": "gripperPOV"}
"""Name of a view → Meta-World's camera."""
KEPT = 4
"""Scenes whose meshes and textures stay loaded, the ones drawn last."""

_UPSIDE_DOWN = frozenset({"corner4", "corner"})
_GEOMS = 1000


def draw_fast(model: Any) -> None:
    """Set a model's drawing to the fast settings; must come before its first image."""
    quality = model.vis.quality
    quality.offsamples = 0
    quality.numslices, quality.numstacks, quality.numquads = 12, 6, 1
    model.vis.global_.offwidth = model.vis.global_.offheight = LARGEST


class Screen:
    """The graphics context of this process, and the scenes loaded into it."""

    def __init__(self) -> None:
        """Create the graphics context; takes about 0.1 s."""
        module = __import__(f"mujoco.{require_backend()}", fromlist=["GLContext"])
        self._context = module.GLContext(LARGEST, LARGEST)
        self._scenes: OrderedDict[str, tuple[Any, Any]] = OrderedDict()
        atexit.register(self._close)

    def _close(self) -> None:
        """Give the graphics back while the libraries that do so are still loaded."""
        self._context.make_current()
        for loaded, _ in self._scenes.values():
            loaded.free()
        self._context.free()

    def _load(self, model: Any, scene_file: str) -> tuple[Any, Any]:
        """Return the loaded meshes and the scene of a file, loading them if need be."""
        import mujoco

        if scene_file not in self._scenes:
            while len(self._scenes) >= KEPT:
                self._scenes.popitem(last=False)[1][0].free()
            loaded = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
            loaded.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
            scene = mujoco.MjvScene(model, _GEOMS)
            for flag in ("SHADOW", "REFLECTION", "HAZE", "SKYBOX"):
                scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
            self._scenes[scene_file] = loaded, scene
        self._scenes.move_to_end(scene_file)
        return self._scenes[scene_file]

    def draw(
        self, model: Any, data: Any, scene_file: str, views: tuple[str, ...], size: int
    ) -> dict[str, NDArray[np.uint8]]:
        """Return an upright image (size, size, 3) per view of a scene in its present state."""
        import mujoco

        self._context.make_current()
        loaded, scene = self._load(model, scene_file)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, loaded)
        area, option, camera = mujoco.MjrRect(0, 0, size, size), mujoco.MjvOption(), _camera()
        images = {}
        for view in views:
            camera.fixedcamid = model.camera(VIEWS[view]).id
            everything = mujoco.mjtCatBit.mjCAT_ALL
            mujoco.mjv_updateScene(model, data, option, None, camera, everything, scene)
            mujoco.mjr_render(area, scene, loaded)
            image = np.empty((size, size, 3), np.uint8)
            mujoco.mjr_readPixels(image, None, area, loaded)
            upright = image[:, ::-1] if VIEWS[view] in _UPSIDE_DOWN else image[::-1]
            images[view] = upright.copy()
        return images


def _camera() -> Any:
    import mujoco

    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
    return camera


@cache
def screen() -> Screen:
    """Return this process's screen, created at the first call."""
    return Screen()
