"""The objects as the API server had them last, whatever order the news come in."""

import pytest

from hfmodel_operator.cluster.api import PODS, Json
from hfmodel_operator.cluster.store import Store


def pod(version: int, uid: str = "a") -> Json:
    return {"metadata": {"uid": uid, "name": uid, "resourceVersion": str(version), "managedFields": [1]}}


class Calls:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def store(calls: Calls) -> Store:
    return Store(calls)


def versions(store: Store) -> dict[str, str]:
    return {thing["metadata"]["uid"]: thing["metadata"]["resourceVersion"] for thing in store.all(PODS)}


def test_the_youngest_wins(store: Store, calls: Calls) -> None:
    for version in (2, 10, 9, 10):
        store.put(PODS, pod(version))
    assert (versions(store), calls.count) == ({"a": "10"}, 2)


def test_what_is_gone_does_not_come_back_with_old_news(store: Store) -> None:
    store.put(PODS, pod(1))
    store.remove(PODS, "a")
    store.put(PODS, pod(2))
    assert versions(store) == {}


def test_a_list_removes_what_it_lacks_unless_that_is_younger(store: Store) -> None:
    for version, uid in ((1, "old"), (2, "stays"), (9, "young")):
        store.put(PODS, pod(version, uid))
    store.replace(PODS, [pod(3, "stays"), pod(4, "new")], version="5")
    assert versions(store) == {"stays": "3", "young": "9", "new": "4"}


def test_who_manages_which_field_is_not_kept(store: Store) -> None:
    store.put(PODS, pod(1))
    assert "managedFields" not in store.all(PODS)[0]["metadata"]
