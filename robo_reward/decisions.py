"""Decisions that follow from progress: success, completion, a grade from 1 to 5. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .ranking import FAILURE, PARTIAL, SUCCESS

DONE, HELD, BEGUN = 0.8, 0.6, 0.4
"""The completion rule's bounds on the last Φ, and on the mean of the last third."""
GRADES = 5


@dataclass(frozen=True)
class Confusion:
    """Counts of a yes-or-no decision against the truth."""

    hits: int
    false_alarms: int
    misses: int
    rejections: int

    @property
    def f1(self) -> float:
        """2·hits / (2·hits + false alarms + misses); NaN where nothing was to be found."""
        wrong = self.false_alarms + self.misses
        found = self.hits + self.misses
        return 2 * self.hits / (2 * self.hits + wrong) if found else float("nan")

    @property
    def mcc(self) -> float:
        """Matthews' correlation: 0 for a constant answer; NaN where the truth is constant."""
        yes, no = self.hits + self.misses, self.false_alarms + self.rejections
        said, denied = self.hits + self.false_alarms, self.misses + self.rejections
        if not yes or not no:
            return float("nan")
        product = self.hits * self.rejections - self.false_alarms * self.misses
        return product / float(np.sqrt(float(yes) * no * said * denied)) if said and denied else 0.0

    @property
    def recall(self) -> float:
        """Hits as a share of all that was to be found; NaN where nothing was."""
        found = self.hits + self.misses
        return self.hits / found if found else float("nan")

    @property
    def false_positive_rate(self) -> float:
        """False alarms as a share of all that was not there; NaN where all was."""
        no = self.false_alarms + self.rejections
        return self.false_alarms / no if no else float("nan")


def confusion(declared: ArrayLike, truth: ArrayLike) -> Confusion:
    """Return the counts of declarations (n,) against the truth (n,), both yes or no.

    Raises:
        InputError: If the shapes differ.
    """
    said, true = np.asarray(declared, np.bool_), np.asarray(truth, np.bool_)
    if said.shape != true.shape:
        raise InputError(f"need a truth per declaration, got {said.shape} and {true.shape}")
    return Confusion(
        hits=int((said & true).sum()),
        false_alarms=int((said & ~true).sum()),
        misses=int((~said & true).sum()),
        rejections=int((~said & ~true).sum()),
    )


def completion(progress: ArrayLike) -> int:
    """Return the class that a curve Φ (T,) claims: success, partial or failure.

    Success if the last Φ > .8 and the mean of the last third > .6; partial if that mean is at
    least .4; failure else (the SE/PSE/FE rule of SARM, arXiv 2509.25358, with ξ = .4 as in
    Robo-Dopamine, arXiv 2512.23703). The published rule does not say over what its second mean
    goes; here both are that of the last third.

    Raises:
        InputError: If there is no frame.
    """
    phi = np.asarray(progress, np.float64)
    if phi.ndim != 1 or not len(phi):
        raise InputError(f"need the progress of at least one frame, got shape {phi.shape}")
    late = float(phi[-max(1, len(phi) // 3) :].mean())
    if phi[-1] > DONE and late > HELD:
        return SUCCESS
    return PARTIAL if late >= BEGUN else FAILURE


def grade(progress: ArrayLike) -> NDArray[np.float64]:
    """Return 1 + 4Φ rounded to a whole grade from 1 (nothing) to 5 (done); NaN stays NaN.

    The scale of RoboReward, arXiv 2601.00675, whose reward is (grade − 1) / 4. Halves go up.
    """
    phi = np.clip(np.asarray(progress, np.float64), 0.0, 1.0)
    graded: NDArray[np.float64] = 1.0 + np.floor((GRADES - 1) * phi + 0.5)
    return graded
