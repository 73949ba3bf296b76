"""Meta-World's own environment, made so that a seed decides everything in it."""

import importlib
import warnings
from typing import Any

from robo_reward.errors import InputError

from .rules import TASKS

EXTRA = 'pip install -e ".[metaworld]"'
"""The line that installs the benchmark."""


def require(module: str = "metaworld") -> Any:
    """Return a module of the benchmark.

    Raises:
        InputError: If it is not installed; the message says how to.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the {len(TASKS)} Meta-World tasks need a package that is not installed "
            f"({error.name}): {EXTRA}"
        ) from None


def make_stock(name: str, **options: Any) -> Any:
    """Return Meta-World's environment of a task, goal visible, drawing from its own seed alone.

    By default the benchmark draws layouts from NumPy's global state, or takes them from a list
    of fifty; here ``seed(number)`` and ``reset()`` decide the layout.

    Args:
        name: One of `sim.metaworld.rules.TASKS`.
        options: Passed on, such as ``render_mode``.

    Raises:
        InputError: If the benchmark is not installed.
    """
    classes = require("metaworld.env_dict").ALL_V3_ENVIRONMENTS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = classes[f"{name}-v3"](**options)
    env.seeded_rand_vec, env._freeze_rand_vec = True, False
    env._partially_observable, env._set_task_called = False, True
    env.__dict__.pop("sawyer_observation_space", None)
    env.max_path_length = 10**9
    return env


def make_policy(name: str) -> Any:
    """Return Meta-World's scripted policy of a task: observation (39,) → action (4,).

    Raises:
        InputError: If the benchmark is not installed.
    """
    return require("metaworld.policies").ENV_POLICY_MAP[f"{name}-v3"]()
