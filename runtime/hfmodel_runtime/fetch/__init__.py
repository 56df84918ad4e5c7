"""Brings a model directory into the cache: from the Hub or a local path, converted to safetensors where it has to be.

    cli ─> fetcher ─┬─> remote ─> hub, selection, download ─┐
                    └─> local ─> selection ─────────────────┴─> convert ─> verify ─> cache.publish
    room ─> inventory, keep, collect: what goes when the cache would outgrow its limit; cache_cli is for people

Importing this package is cheap: huggingface_hub, torch and transformers are imported by those who need them.
"""

from hfmodel_runtime.fetch.errors import FetchFailure
from hfmodel_runtime.fetch.fetcher import fetch
from hfmodel_runtime.fetch.request import Fetched, FetchRequest, Progress, Report, Retry, Stage

__all__ = [
    "FetchFailure",
    "FetchRequest",
    "Fetched",
    "Progress",
    "Report",
    "Retry",
    "Stage",
    "fetch",
]
