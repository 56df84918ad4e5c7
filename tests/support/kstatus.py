"""kstatus' rules for objects that have standard conditions: how `flux`, and whoever uses cli-utils, sees them.

After sigs.k8s.io/cli-utils, pkg/kstatus: the generation first, then Reconciling, Stalled and Ready.
"""

from typing import Any


def kstatus(manifest: dict[str, Any]) -> str:
    """`Current`, `InProgress`, `Failed` or `Terminating`."""
    metadata, status = manifest["metadata"], manifest.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    observed = status.get("observedGeneration")
    if observed is not None and observed != metadata["generation"]:
        return "InProgress"
    found = {condition["type"]: condition["status"] for condition in status.get("conditions") or ()}
    if found.get("Reconciling") == "True":
        return "InProgress"
    if found.get("Stalled") == "True":
        return "Failed"
    # Who has no Ready condition counts as done: why the CRD gives a new object an observedGeneration of -1.
    return "Current" if found.get("Ready", "True") == "True" else "InProgress"
