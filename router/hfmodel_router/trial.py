"""Is a model's problem news, or left over from an earlier try?

A fleet may go on showing why the last try failed until the next one begins. A new request must not fail on that: the
world may have been put right since. So a problem counts

- at once where no try can change it (the spec or the fleet's own configuration is wrong),
- at once where it came up after the last time the model was wanted,
- otherwise once it has stood for `problem_grace` after a request began to wait: wanting the model did not clear it.
"""

from hfmodel_api.status import Reason
from hfmodel_router.fleet import Problem

# Decided from the spec alone; a changed spec shows as another problem or none.
_FINAL: frozenset[str] = frozenset({Reason.INVALID_SPEC, Reason.SOURCE_NOT_SUPPORTED, Reason.PROFILE_UNKNOWN})


class Trial:
    """What wanting one model has led to so far. Times are the caller's clock, in seconds."""

    __slots__ = ("_left_over", "due_at")

    def __init__(self) -> None:
        self._left_over: Problem | None = None
        self.due_at = 0.0  # when the model may be wanted again

    def wanted(self, problem: Problem | None, *, due_at: float) -> None:
        """The model is wanted now, while `problem` is shown."""
        self._left_over = problem
        self.due_at = due_at

    def saw(self, problem: Problem | None) -> None:
        """The fleet shows this now."""
        if problem is None:
            self._left_over = None

    def settled(self) -> None:
        """What is shown now has ended a request: until the model is wanted again, it ends the next ones at once."""
        self._left_over = None

    def counts(self, problem: Problem, *, held_since: float, now: float, grace: float) -> bool:
        """Whether a request held since `held_since` should end with `problem`."""
        is_news = problem != self._left_over
        return is_news or problem.reason in _FINAL or now >= held_since + grace
