"""``python -m robo_reward.serving`` is ``robo-reward serve``, for programs that start it."""

import sys

import tyro

from ..errors import RoboRewardError
from .command import Serve

if __name__ == "__main__":
    try:
        tyro.cli(Serve, prog="robo-reward serve").run()
    except RoboRewardError as error:
        print(f"robo-reward serve: {error}", file=sys.stderr)
        raise SystemExit(2) from None
