"""What a refinement run shows: a table line by line, JSON lines, TensorBoard and a curve."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from robo_reward.console import RunLog

from .evaluation import Success
from .monitors import Alarm
from .run_state import RunState

LOG, CURVE, BOARD = "refine.jsonl", "curve.png", "tensorboard"
COLUMNS = ("update", "rollouts", "success", "Φ end", "Φ failed", "clip", "KL start", "f var", "s")
GIVEN_UP = ("given up", "saved")
"""Episodes of an update, and control steps that this saved at most."""


class RefineLog:
    """Tells of every update and evaluation."""

    def __init__(self, out: Path, *, resumed: bool, patient: bool) -> None:
        """Open the files in ``out``.

        Args:
            out: Directory of the run.
            resumed: Whether it goes on.
            patient: Whether no episode is given up; otherwise the table tells how many were.

        Raises:
            OSError: If one cannot be written.
        """
        from torch.utils.tensorboard import SummaryWriter

        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self._log = RunLog(out / LOG)
        self._board = SummaryWriter(str(out / BOARD))
        self._alarmed: set[str] = set()
        self._lost = 0
        if resumed:
            print(f"going on with the run in {out}")
        self._patient = patient
        columns = COLUMNS if patient else COLUMNS + GIVEN_UP
        print("  ".join(f"{name:>8}" for name in columns))

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the files."""
        self._log.close()
        self._board.close()

    def update(
        self,
        state: RunState,
        found: Success,
        told: dict[str, float],
        seconds: dict[str, float],
    ) -> None:
        """Tell of an update that is over."""
        line = {"rollouts": state.rollouts, "success": found.rate, **told}
        state.history.append(line)
        timed = {f"seconds_{name}": value for name, value in seconds.items()}
        self._log.write(update=state.updates, reward=state.reward, **line, **timed)
        for name, value in {**line, **timed}.items():
            if math.isfinite(value):
                self._board.add_scalar(f"update/{name}", value, state.rollouts)
        shown = [
            f"{state.updates}",
            f"{state.rollouts}",
            *_number(found.rate, told["potential_end"], told["potential_end_failed"]),
            *_number(told.get("clip_fraction"), told.get("kl_reference")),
            *_number(told.get("explained_variance")),
            f"{seconds['wall']:.1f}",
        ]
        if not self._patient:
            shown += [f"{told[name]:.0f}" for name in ("given_up", "steps_saved")]
        print("  ".join(f"{cell:>8}" for cell in shown), flush=True)

    def alarms(self, state: RunState, found: Sequence[Alarm]) -> None:
        """Tell of the alarms after an update, each for the first time in full."""
        for alarm in found:
            new = alarm.name not in self._alarmed
            self._alarmed.add(alarm.name)
            print(
                f"ALARM {alarm.name}" + (f": {alarm.says}" if new else " still holds"), flush=True
            )
            self._log.write(update=state.updates, alarm=vars(alarm))
            self._board.add_scalar(f"alarm/{alarm.name}", alarm.value, state.rollouts)

    def refresh(self, state: RunState, says: str, figures: dict[str, Any]) -> None:
        """Tell what became of a refresh of the reward model."""
        print(says, flush=True)
        told = {"says": says, "version": state.version, **figures}
        self._log.write(update=state.updates, reward=state.reward, refresh=told)

    def lost(self, state: RunState, losses: Sequence[str]) -> None:
        """Tell of the processes that were lost, of all since the run began those not yet told."""
        for reason in losses[self._lost :]:
            print(f"LOST: {reason}", flush=True)
            self._log.write(update=state.updates, process_lost=reason)
        self._lost = len(losses)

    def evaluation(self, state: RunState) -> None:
        """Tell of an evaluation that is over, and draw the curve."""
        rollouts, found = state.evaluations[-1]
        print(f"evaluation after {rollouts} rollouts: {found}", flush=True)
        self._log.write(update=state.updates, rollouts=rollouts, evaluation=vars(found))
        self._board.add_scalar("evaluation/success", found.rate, rollouts)
        self.draw(state)

    def draw(self, state: RunState) -> None:
        """Draw success against rollouts: evaluations with their intervals, and what was played."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), layout="constrained")
        axes: Any = figure.subplots()
        at = [rollouts for rollouts, _ in state.evaluations]
        rates = [found.rate for _, found in state.evaluations]
        low = [found.rate - found.low for _, found in state.evaluations]
        high = [found.high - found.rate for _, found in state.evaluations]
        axes.errorbar(at, rates, yerr=(low, high), marker="o", capsize=3, label="evaluation")
        played = [line["rollouts"] for line in state.history]
        axes.plot(played, [line["success"] for line in state.history], alpha=0.5, label="rollouts")
        ends = [line["potential_end_failed"] for line in state.history]
        shown = [math.nan if end is None else end for end in ends]
        axes.plot(played, shown, ":", alpha=0.7, label="Φ at the end of failures")
        axes.set(xlabel="rollouts", ylabel="success", ylim=(-0.02, 1.02))
        axes.legend(loc="best", frameon=False)
        figure.savefig(self.out / CURVE, dpi=110)


class NoLog(RefineLog):
    """The log of a process that writes and shows nothing."""

    def __init__(self, out: Path, *, resumed: bool, patient: bool = True) -> None:
        """Open no file."""

    def __exit__(self, *_: object) -> None:
        """Close none."""

    def update(
        self,
        state: RunState,
        found: Success,
        told: dict[str, float],
        seconds: dict[str, float],
    ) -> None:
        """Tell nothing."""

    def alarms(self, state: RunState, found: Sequence[Alarm]) -> None:
        """Tell nothing."""

    def lost(self, state: RunState, losses: Sequence[str]) -> None:
        """Tell nothing."""

    def evaluation(self, state: RunState) -> None:
        """Tell and draw nothing."""

    def draw(self, state: RunState) -> None:
        """Draw nothing."""


def _number(*values: float | None) -> list[str]:
    return ["–" if value is None or math.isnan(value) else f"{value:.3f}" for value in values]
