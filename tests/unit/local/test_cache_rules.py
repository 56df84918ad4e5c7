"""What `hfmodel up` tells its fetches about the cache."""

from pathlib import Path
from typing import cast

import pytest

from hfmodel_cli.local.fetches import Fetches, FetchState
from hfmodel_cli.local.keep import CacheRules
from hfmodel_cli.local.pod import Pod
from hfmodel_cli.local.pods import Pods
from hfmodel_cli.local.registry import Registry
from hfmodel_operator.keep import Keep
from hfmodel_operator.source import Fetched, Source, source_of
from hfmodel_runtime.fetch.cli import _parser
from hfmodel_runtime.fetch.limits import limits_from
from support.local_values import NOON, hfmodel

CACHE = Path("/home/me/my cache")
OLD, NEW = (f"{CACHE}/models/org--a/{digit * 40}" for digit in "ab")
RULES = CacheRules(cache_dir=CACHE, catalog=Path("/home/me/models"), limit=1000)


class SomePods:
    """A machine with these pods."""

    def __init__(self, *pods: Pod) -> None:
        self._pods = pods

    def all(self) -> tuple[Pod, ...]:
        return self._pods


def pod(fetched: Fetched | None, *, model: str = "org/a") -> Pod:
    none = Path("/dev/null")
    spec = hfmodel("gone", model=model, source={})
    return Pod(name="p", uid="p", model=spec, created_at=NOON, log=none, termination_log=none, fetched=fetched)


def keep(*pods: Pod, fetched: str | None = None, rules: CacheRules = RULES) -> Keep:
    """With one model, which names org/a."""
    registry = Registry(now=lambda: NOON, changed=lambda: None)
    model = hfmodel("a", model="org/a", source={})
    registry.set_models({"a": model})
    state = FetchState(fetched=Fetched(fetched) if fetched else None)
    fetches = Fetches(None, now=lambda: NOON, changed=lambda _: None, _states={source_of(model): state})  # type: ignore[arg-type]
    return rules.keep(registry, cast("Pods", SomePods(*pods)), fetches, NOON)


@pytest.mark.parametrize(
    ("found", "names"),
    [
        pytest.param(keep(), ["org/a"], id="not fetched yet"),
        pytest.param(keep(fetched=NEW), [NEW], id="fetched"),
        pytest.param(keep(pod(Fetched(OLD)), fetched=NEW), [OLD, NEW], id="an older commit runs"),
        pytest.param(keep(pod(None, model="org/b"), fetched=NEW), [NEW, "org/b"], id="a pod of another fetches"),
    ],
)
def test_all_that_is_named_or_runs_is_kept(found: Keep, names: list[str]) -> None:
    assert list(found.names) == names
    assert (found.keeper, found.as_of) == ("up:/home/me/models", NOON.timestamp())


@pytest.mark.parametrize("limit", [1000, None])
def test_the_fetch_understands_it(limit: int | None) -> None:
    rules = CacheRules(cache_dir=CACHE, catalog=RULES.catalog, limit=limit)
    source = Source(model="org/c").arguments(cache_dir=str(CACHE))
    arguments = [*source, *rules.arguments(keep(pod(Fetched(OLD)), rules=rules))]
    found = limits_from(_parser().parse_args(arguments), {"HFMODEL_CACHE_LIMIT": "", "HFMODEL_CACHE_KEEP": "x"})
    assert found.cache_limit == limit
    assert found.keep is not None
    assert sorted(map(str, found.keep.kept or ())) == ["org--a", f"org--a/{'a' * 40}"]
    assert found.keep.keeper == "up:/home/me/models"


def test_a_list_that_is_too_long_lifts_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    assert RULES.arguments(Keep(keeper="k", names=("x" * 130_000,) * 2, as_of=0)) == ()
    assert "event=keep_list_too_long" in caplog.text
