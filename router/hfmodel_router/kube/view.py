"""The catalogue in memory: records and pods come in one by one, whole model states go out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from hfmodel_api.status import Demand
from hfmodel_router.fleet import ModelState
from hfmodel_router.kube.objects import ModelRecord, Pod
from hfmodel_router.kube.probe import Ask, Prober
from hfmodel_router.kube.states import model_state


class _Named(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def model_id(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Table(Generic[T]):
    """Implements `listwatch.Sink`: objects by name and by model. Calls `changed` with the ids of models touched."""

    def __init__(self, changed: Callable[[Iterable[str]], None]) -> None:
        self._changed = changed
        self._by_name: dict[str, T] = {}
        self._by_model: dict[str, dict[str, T]] = {}

    def of(self, model_id: str) -> tuple[T, ...]:
        return tuple(self._by_model.get(model_id, {}).values())

    def replace(self, items: Sequence[T]) -> None:
        names = {item.name for item in items}
        touched = set()
        for name in [name for name in self._by_name if name not in names]:
            touched |= self._take(name)
        for item in items:
            touched |= self._set(item)
        self._changed(touched)

    def put(self, item: T) -> None:
        self._changed(self._set(item))

    def remove(self, name: str) -> None:
        self._changed(self._take(name))

    def _set(self, item: T) -> set[str]:
        if self._by_name.get(item.name) == item:
            return set()
        touched = self._take(item.name)
        self._by_name[item.name] = item
        self._by_model.setdefault(item.model_id, {})[item.name] = item
        return touched | {item.model_id}

    def _take(self, name: str) -> set[str]:
        item = self._by_name.pop(name, None)
        if item is None:
            return set()
        siblings = self._by_model[item.model_id]
        del siblings[name]
        if not siblings:
            del self._by_model[item.model_id]
        return {item.model_id}


class View:
    """What is known of the models now. All methods belong to one event loop."""

    def __init__(self, ask: Ask, *, hub_token: bool = False) -> None:
        self._hub_token = hub_token
        self.prober = Prober(ask, changed=lambda model_id: self._refresh((model_id,)))
        self.models: Table[ModelRecord] = Table(self._refresh)
        self.pods: Table[Pod] = Table(self._refresh)
        self._states: dict[str, ModelState] = {}
        self._order: dict[str, tuple[str, str]] = {}
        self._snapshot: Mapping[str, ModelState] | None = None
        self._subscribers: dict[object, Callable[[str], None]] = {}

    def catalogue(self) -> Mapping[str, ModelState]:
        """By id, in order of creation; a new mapping after each change."""
        if self._snapshot is None:
            ids = sorted(self._states, key=self._order.__getitem__)
            self._snapshot = {model_id: self._states[model_id] for model_id in ids}
        return self._snapshot

    def demand(self, model_id: str) -> Demand:
        """As last seen in the cluster."""
        return next((record.status.demand for record in self.models.of(model_id)), Demand())

    def subscribe(self, changed: Callable[[str], None]) -> Callable[[], None]:
        key = object()
        self._subscribers[key] = changed
        return lambda: self._subscribers.pop(key, None) and None

    def _refresh(self, model_ids: Iterable[str]) -> None:
        changed = [model_id for model_id in model_ids if self._recompute(model_id)]
        for model_id in changed:
            for tell in tuple(self._subscribers.values()):
                tell(model_id)

    def _recompute(self, model_id: str) -> bool:
        """Whether the model's state, or whether it is there, is another than before."""
        pods = self.pods.of(model_id)
        self.prober.candidates(model_id, (pod for pod in pods if pod.may_serve_soon))
        record = next(iter(self.models.of(model_id)), None)
        state = None if record is None else self._state(record, pods)
        if state == self._states.get(model_id):
            return False
        self._snapshot = None
        if record is None or state is None:
            del self._states[model_id], self._order[model_id]
        else:
            self._states[model_id] = state
            self._order[model_id] = (record.created, model_id)
        return True

    def _state(self, record: ModelRecord, pods: Iterable[Pod]) -> ModelState:
        return model_state(record, pods, answering=self.prober.answering, hub_token=self._hub_token)
