"""The CRD on a real API server: it judges, fills in, stores and prints as the schema and the types say it does."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from cluster.binaries import BinariesMissing
from cluster.target import target_cluster
from hfmodel_api.errors import InvalidManifest
from hfmodel_api.names import GROUP, KIND, PLURAL, SHORT_NAME, VERSION
from hfmodel_api.parse import parse_manifest
from hfmodel_api.schema import crd, schema_errors, structural_schema, with_defaults
from hfmodel_api.status import CacheStatus, Condition, ConditionType, Demand, HFModelStatus, Phase, Reason
from support.live_api import LiveApi, Refused, live_api
from support.manifest_cases import INVALID, VALID, manifest, specs

pytestmark = pytest.mark.slow

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
STATUS = HFModelStatus(
    observed_generation=1,
    phase=Phase.READY,
    conditions=(
        Condition(type=ConditionType.ACCEPTED, status="True", reason=Reason.ACCEPTED, last_transition_time=NOON),
        Condition(
            type=ConditionType.READY, status="True", reason=Reason.READY, message="1 of 1", observed_generation=1
        ),
    ),
    replicas=1,
    ready_replicas=1,
    resolved_revision="a" * 40,
    cache=CacheStatus(bytes=5_000_000_000, total_bytes=5_000_000_000, bytes_per_second=1e6),
    url="http://hfmodel-router/models/smol",
    last_active_time=NOON,
    start_seconds=1.25,
    demand=Demand(wanted_at=NOON),
)


# JSON has no NaN: such a manifest reaches no server.
SENDABLE = [case for case in INVALID if "NaN" not in json.dumps(case[1])]


@pytest.fixture(scope="module")
def api() -> Iterator[LiveApi]:
    try:
        with target_cluster() as kubeconfig, live_api(kubeconfig) as found:
            yield found
    except BinariesMissing as error:
        pytest.skip(str(error))


def model(name: str = "smol", **spec: Any) -> dict[str, Any]:
    return {**manifest({"model": "gpt2", **spec}), "metadata": {"name": name}}


def seen_by(api: LiveApi, document: Any) -> Any:
    """What the server looks at: older ones drop unknown fields first."""
    return document if api.judges_unknown_fields else without_unknown_fields(document, structural_schema())


def without_unknown_fields(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, list) and "items" in schema:
        return [without_unknown_fields(item, schema["items"]) for item in value]
    if isinstance(value, dict) and "properties" in schema and schema["properties"]:
        known = schema["properties"]
        return {name: without_unknown_fields(item, known[name]) for name, item in value.items() if name in known}
    return value


def is_refused(api: LiveApi, document: Any) -> bool:
    """What this server is to say of a manifest that the types refuse."""
    return bool(schema_errors(document)) or (api.judges_cel and not is_valid(document))


def is_valid(document: Any) -> bool:
    try:
        parse_manifest(document)
    except InvalidManifest:
        return False
    return True


def without_indexes(path: str) -> str:
    # Servers differ in whether they say which item of a list it was.
    return re.sub(r"\[\d+\]", "", path)


@pytest.mark.parametrize("fields", VALID.values(), ids=VALID)
def test_the_server_accepts_what_the_types_accept_and_fills_in_the_same(api: LiveApi, fields: dict[str, Any]) -> None:
    document = model(**fields)
    stored = api.judge(document)
    assert stored["spec"] == with_defaults(document)["spec"]
    assert parse_manifest(stored).spec == parse_manifest(document).spec


@pytest.mark.parametrize(("fields", "blamed"), [case[1:] for case in SENDABLE], ids=[case[0] for case in SENDABLE])
def test_the_server_refuses_what_the_types_refuse(api: LiveApi, fields: dict[str, Any], blamed: str) -> None:
    document = seen_by(api, model(**fields))
    assert not is_valid(model(**fields))
    if not is_refused(api, document):
        assert api.judge(model(**fields))["spec"] == with_defaults(document)["spec"]
        return
    with pytest.raises(Refused) as refused:
        api.judge(model(**fields))
    path = f"spec.{without_indexes(blamed)}"
    assert path in without_indexes(str(refused.value))
    # "<nil>" is an old server's word for a field that breaks a `not`.
    assert {without_indexes(field) for field in refused.value.fields} - {"<nil>"} <= {path}


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(spec=specs(structural_schema()["properties"]["spec"]))
def test_the_server_gives_the_same_verdict_on_any_spec(api: LiveApi, spec: Any) -> None:
    document = seen_by(api, manifest(spec))
    try:
        stored = api.judge(manifest(spec))
    except Refused:
        assert is_refused(api, document)
    else:
        assert not is_refused(api, document)
        assert stored["spec"] == with_defaults(document)["spec"]


@pytest.mark.parametrize("name", ["a", "0", "smollm2-135m", "llama-3.2-1b", "x" * 63])
def test_the_server_accepts_names_that_make_a_path_and_a_label(api: LiveApi, name: str) -> None:
    assert is_valid(model(name))
    assert api.judge(model(name))["metadata"]["name"] == name


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a-", "a..b", "a/b", "a\n", "x" * 64])
def test_the_server_refuses_other_names(api: LiveApi, name: str) -> None:
    assert not is_valid(model(name))
    with pytest.raises(Refused, match=r"metadata\.name"):
        api.judge(model(name))


@pytest.fixture
def stored(api: LiveApi, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """A model in the cluster, with a name of its own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60].strip("-")
    yield api.create(model(name, type="conversational"))
    api.delete(name)


def written(status: HFModelStatus) -> dict[str, Any]:
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def read(document: Mapping[str, Any]) -> HFModelStatus:
    return HFModelStatus.model_validate(document["status"])


def test_a_manifest_cannot_bring_its_own_status(api: LiveApi) -> None:
    stored = api.judge({**model(), "status": written(STATUS)})
    assert stored["status"] == {"observedGeneration": -1}, "nobody has seen it yet, as kstatus understands it"


def test_every_field_of_a_status_is_kept_and_the_spec_is_not_touched(api: LiveApi, stored: dict[str, Any]) -> None:
    changed = {**stored, "spec": {"model": "other"}, "status": written(STATUS)}
    after = api.replace_status(changed)
    assert read(after) == STATUS
    assert after["spec"] == stored["spec"]
    assert after["metadata"]["generation"] == 1


def test_a_change_of_the_spec_raises_the_generation_and_leaves_the_status(api: LiveApi, stored: dict[str, Any]) -> None:
    before = api.replace_status({**stored, "status": written(STATUS)})
    after = api.replace({**before, "spec": {"model": "other"}, "status": {"phase": "Failed"}})
    assert read(after) == STATUS
    assert after["metadata"]["generation"] == 2


def test_demand_is_written_without_the_rest_of_the_status(api: LiveApi, stored: dict[str, Any]) -> None:
    api.replace_status({**stored, "status": written(STATUS)})
    demand = Demand(wanted_at=NOON + timedelta(minutes=1))
    patch = {"demand": demand.model_dump(mode="json", by_alias=True, exclude_none=True)}
    after = api.patch_status(stored["metadata"]["name"], patch)
    assert read(after) == STATUS.model_copy(update={"demand": demand})


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"phase": "fast asleep"}, id="no word as phase"),
        pytest.param({"replicas": "1"}, id="text as number"),
        pytest.param(
            {"conditions": [{"type": "Ready", "status": "yes", "reason": "Ready"}]}, id="neither true nor false"
        ),
        pytest.param({"lastActiveTime": "yesterday"}, id="no date"),
    ],
)
def test_a_status_that_makes_no_sense_is_refused(api: LiveApi, stored: dict[str, Any], status: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=rf"status\.{next(iter(status))}"):
        api.patch_status(stored["metadata"]["name"], status)


def test_applying_the_same_manifest_again_changes_nothing(api: LiveApi, stored: dict[str, Any]) -> None:
    document = model(stored["metadata"]["name"], **VALID["resources"], **VALID["scheduling"], **VALID["env"])
    first = api.apply(document, manager="gitops")
    api.patch_status(stored["metadata"]["name"], written(STATUS))
    again = api.apply(document, manager="gitops")
    assert again["metadata"]["generation"] == first["metadata"]["generation"] == 2
    assert again["spec"] == first["spec"]


def test_kubectl_get_prints_the_columns(api: LiveApi, stored: dict[str, Any]) -> None:
    long_ago = STATUS.model_copy(update={"last_active_time": datetime.now(UTC) - timedelta(days=100, hours=12)})
    api.replace_status({**stored, "status": written(long_ago)})
    table = api.table()
    columns = crd()["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        *(column["name"] for column in columns),
    ]
    rows = [
        dict(zip((c["name"] for c in table["columnDefinitions"]), row["cells"], strict=True)) for row in table["rows"]
    ]
    row = next(row for row in rows if row["Name"] == stored["metadata"]["name"])
    assert row.pop("Age").endswith("s")
    assert row == {
        "Name": stored["metadata"]["name"],
        "Type": "conversational",
        "Phase": "Ready",
        "Ready": "True",
        "Model": "gpt2",
        "Last active": "100d",
        "Pods": 1,
        "Message": "1 of 1",
    }


def test_kubectl_knows_the_names(api: LiveApi) -> None:
    resources = {item["name"]: item for item in api.get(f"/apis/{GROUP}/{VERSION}")["resources"]}
    assert resources.keys() == {PLURAL, f"{PLURAL}/status"}
    found = resources[PLURAL]
    assert (found["kind"], found["namespaced"], found["shortNames"]) == (KIND, True, [SHORT_NAME])
    assert found["categories"] == [PLURAL]
