"""What keeps `hfmodel up` from starting."""

from hfmodel_api.errors import HFModelError


class CannotStart(HFModelError):
    """One sentence that says what is wrong and what to do."""
