"""Models whose architecture is Python code in their own repository."""

from collections.abc import Mapping
from typing import Any

from hfmodel_api.status import Reason
from hfmodel_runtime.fetch.errors import FetchFailure


def refuse_remote_code(config: Mapping[str, Any], *, model: str) -> None:
    """Say so before the download, if nothing but the repository's own code can load the model.

    Raises:
        FetchFailure: RemoteCodeRequired.
    """
    if not config.get("auto_map"):
        return
    # Takes most of a second, so only for those who bring code; many bring it and do not need it any more.
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if config.get("model_type") in CONFIG_MAPPING_NAMES:
        return
    message = (
        f"{model} can only be loaded with the Python code in its repository: read that code, and set trustRemoteCode "
        "(--trust-remote-code) if you trust it"
    )
    raise FetchFailure(Reason.REMOTE_CODE_REQUIRED, message)
