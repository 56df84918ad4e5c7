"""Labels and annotations of the objects that the operator makes, beyond those that other parts use too."""

from typing import Final

from hfmodel_api.names import GROUP, LABEL_MANAGED_BY

MANAGER: Final = "hfmodel-operator"
OURS: Final = {LABEL_MANAGED_BY: MANAGER}  # selects whatever the operator made

# On a fetch Job and its pod: the id of the model. Not LABEL_MODEL: nobody may take such a pod for one that serves.
LABEL_FETCH: Final = f"{GROUP}/fetch"
# What was fetched there, as a key (`Source.key`).
LABEL_SOURCE: Final = f"{GROUP}/source"
# On a fetch Job: which try in a row this is, from 1.
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
# On a fetch Job: what its pod is made of, as a hash.
LABEL_FETCH_HASH: Final = f"{GROUP}/fetch-hash"
# On a fetch Job: its outcome as JSON, kept beyond the life of its pod.
ANNOTATION_OUTCOME: Final = f"{GROUP}/outcome"

# The ConfigMap that says what must stay in the cache.
KEEP_MAP: Final = "hfmodel-cache-keep"

CONTAINER_FETCH: Final = "fetch"
CONTAINER_SERVE: Final = "serve"
