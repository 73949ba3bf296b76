"""Images of a world: one off-screen renderer per process, created when first needed.

``MUJOCO_GL`` chooses the backend (``egl`` unless set); ``LP_NUM_THREADS=0`` keeps the software
rasteriser in the calling thread, which is faster with several processes and safe to fork.
Both are set when this module is imported, before any graphics library is.
"""

import atexit
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError, RoboRewardError

from .scene import World

_UNTOLD = "MUJOCO_GL" not in os.environ
os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("LP_NUM_THREADS", "0")

BACKENDS = ("egl", "osmesa")
"""Off-screen backends, the preferred one first."""
INSTALL = "apt-get install -y --no-install-recommends libegl1 libgl1"
"""The line that makes ``egl`` work on Debian and Ubuntu without a GPU."""
LARGEST = 1024
"""Largest image size in pixels, the off-screen buffer of the scene."""

_PROBED = "ROBO_REWARD_GL_PROBED"
_PROBE = """
import importlib, mujoco, sys
context = importlib.import_module("mujoco." + sys.argv[1]).GLContext(64, 64)
context.make_current()
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
"""


class RenderError(RoboRewardError):
    """Images cannot be drawn on this machine as it is set up."""


def probe(backend: str, timeout: float = 30.0) -> str | None:
    """Try a backend in a process of its own, where a hang or an abort does no harm.

    Returns:
        None if it works, else what went wrong in one line.
    """
    command = [sys.executable, "-c", _PROBE, backend]
    environment = {**os.environ, "MUJOCO_GL": backend}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:.0f} s"
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    return None if done.returncode == 0 else (lines or [f"exit status {done.returncode}"])[-1]


def require_backend() -> str:
    """Return the backend in use, probed once; child processes inherit the answer.

    Where ``MUJOCO_GL`` was not set, ``osmesa`` is tried after ``egl``, and said on screen.

    Raises:
        RenderError: If none works; the message says what to install.
    """
    wanted = os.environ["MUJOCO_GL"]
    if os.environ.get(_PROBED) == wanted:
        return wanted
    if wanted not in BACKENDS:
        raise RenderError(f"MUJOCO_GL={wanted} cannot draw off-screen; set it to egl or osmesa")
    problems = []
    for backend in BACKENDS if _UNTOLD else (wanted,):
        problem = probe(backend)
        if not problem:
            break
        problems.append(f"off-screen rendering with MUJOCO_GL={backend} does not work: {problem}")
    else:
        raise RenderError(
            f"{'; '.join(problems)}. Install it ({INSTALL}), or set MUJOCO_GL=osmesa after "
            "installing libosmesa6"
        )
    if problems:
        print(f"{problems[0]}; drawing with {backend}", file=sys.stderr)
    os.environ["MUJOCO_GL"] = backend
    os.environ[_PROBED] = backend
    return backend


def graphics_version() -> str:
    """Return which library draws, and its version: other ones may draw other pixels.

    Raises:
        RenderError: If nothing can be drawn.
    """
    module = __import__(f"mujoco.{require_backend()}", fromlist=["GLContext"])
    from OpenGL import GL  # after MuJoCo has told it which platform to use

    context = module.GLContext(16, 16)
    context.make_current()
    told = [GL.glGetString(name) for name in (GL.GL_RENDERER, GL.GL_VERSION)]
    context.free()
    return ", ".join(text.decode() for text in told if text)


class Renderer:
    """Draws views of any world that has the geometry of the first one."""

    def __init__(self, model: Any) -> None:
        """Create the graphics context; takes about 0.1 s."""
        import mujoco

        module = __import__(f"mujoco.{require_backend()}", fromlist=["GLContext"])
        self._context = module.GLContext(LARGEST, LARGEST)
        self._context.make_current()
        self._gl = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._gl)
        _sample_coarsely(self._gl.texture[: model.ntex])
        self._gl.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._scene = mujoco.MjvScene(model, 200)
        for flag in ("SHADOW", "REFLECTION", "HAZE", "SKYBOX"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        self._option, self._camera = mujoco.MjvOption(), mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        atexit.register(self._close)

    def _close(self) -> None:
        """Give the graphics back while the libraries that do so are still loaded."""
        self._gl.free()
        self._context.free()

    def draw(
        self, model: Any, data: Any, cameras: Sequence[str], size: int
    ) -> dict[str, NDArray[np.uint8]]:
        """Return an image (size, size, 3) per camera of a world in its present state."""
        import mujoco

        self._context.make_current()
        area = mujoco.MjrRect(0, 0, size, size)
        images = {}
        for name in cameras:
            self._camera.fixedcamid = model.camera(name).id
            mujoco.mjv_updateScene(
                model,
                data,
                self._option,
                None,
                self._camera,
                mujoco.mjtCatBit.mjCAT_ALL,
                self._scene,
            )
            mujoco.mjr_render(area, self._scene, self._gl)
            image = np.empty((size, size, 3), np.uint8)
            mujoco.mjr_readPixels(image, None, area, self._gl)
            images[name] = image[::-1].copy()
        return images


def _sample_coarsely(textures: NDArray[np.int32]) -> None:
    """Take the nearest texel; filtering over mipmaps would make textures four times as dear."""
    from OpenGL import GL

    for texture in textures:
        GL.glBindTexture(GL.GL_TEXTURE_2D, int(texture))
        for side in (GL.GL_TEXTURE_MIN_FILTER, GL.GL_TEXTURE_MAG_FILTER):
            GL.glTexParameteri(GL.GL_TEXTURE_2D, side, GL.GL_NEAREST)


@cache
def renderer(geometry: str, robot: str = "panda") -> Renderer:
    """Return this process's renderer for a robot with the objects ``geometry`` (MJCF)."""
    return Renderer(World(geometry, robot).model)


def check_size(size: int) -> int:
    """Return ``size`` if images can have it.

    Raises:
        InputError: If it is below 16 or above `LARGEST` pixels.
    """
    if not 16 <= size <= LARGEST:
        raise InputError(f"image size is {size} pixels; it must be 16 … {LARGEST}")
    return size


def check_render_every(steps: int) -> int:
    """Return ``steps`` if images can be drawn that often.

    Raises:
        InputError: If it is below 1.
    """
    if steps < 1:
        raise InputError(f"render_every is {steps}; it must be 1 or more, or turn pixels off")
    return steps
