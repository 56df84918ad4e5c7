"""What the documented calls work with; one value, handed to each group of routes."""

from dataclasses import dataclass

from hfmodel_router.fleet import Fleet
from hfmodel_router.loader import Loader
from hfmodel_router.metrics import Metrics
from hfmodel_router.pods_info import PodsInfo
from hfmodel_router.settings import RouterSettings


@dataclass(slots=True, kw_only=True)
class Surface:
    fleet: Fleet
    settings: RouterSettings
    metrics: Metrics
    loader: Loader
    infos: PodsInfo
    draining: bool = False  # not ready: load balancers are to look elsewhere
