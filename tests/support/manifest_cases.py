"""Manifests that must be accepted, and such that must be refused: one for each field and each bound.

The same table is put to the CRD's schema, to the types, and to a real API server.
"""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from hfmodel_api import names
from hfmodel_api.spec import Device, Dtype, EngineName, ModelType

LONG = "x" * 300

VALID: dict[str, dict[str, Any]] = {
    "nothing but the model": {},
    "repo with an organisation": {"model": "HuggingFaceTB/SmolLM2-135M-Instruct"},
    "longest repo": {"model": "x" * 200},
    "commit": {"revision": "a" * 40},
    "branch with a slash": {"revision": "refs/pr/1"},
    "no source": {"source": {}},
    "the Hub": {"source": {"hub": {}}},
    "mirror": {"source": {"hub": {"endpoint": "https://hf-mirror.example.com:8443/a/b"}}},
    "volume": {"source": {"pvc": {"claimName": "models", "path": "smol"}}},
    "path": {"source": {"path": "./smol model"}},
    "source of which all but one is null": {"source": {"path": "a", "pvc": None, "hub": None}},
    **{f"type {kind}": {"type": str(kind)} for kind in ModelType},
    "longest description": {"description": "ü" * 4096},
    "longest size": {"size": "x" * 32},
    "least maxLength": {"maxLength": 1},
    "most maxLength": {"maxLength": 10_000_000},
    "maxLength as a float": {"maxLength": 512.0},
    "greedy": {"suggestedTemperature": 0},
    "hottest": {"suggestedTemperature": 2.0},
    "gated with a secret": {"gated": True, "tokenSecretRef": {"name": "hf"}},
    "secret with a key": {"tokenSecretRef": {"name": "hf.token", "key": "a_B.c-1"}},
    **{f"device {device}": {"device": str(device)} for device in Device},
    **{f"dtype {dtype}": {"dtype": str(dtype)} for dtype in Dtype},
    **{f"engine {engine}": {"engine": str(engine)} for engine in EngineName},
    "gpu": {"gpu": {"profile": "nvidia-l4"}},
    "any gpu": {"gpu": {}},
    "most gpus": {"gpu": {"profile": "x" * 63, "count": 64}},
    "resources": {
        "resources": {
            "requests": {"cpu": "500m", "memory": "4Gi", "example.com/fpga": 1},
            "limits": {"cpu": 2, "memory": "1e9", "ephemeral-storage": "+.5Gi"},
        }
    },
    "resource that is null": {"resources": {"requests": {"cpu": None}, "limits": None}},
    "scheduling": {
        "nodeSelector": {"pool": "gpu", "empty": ""},
        "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 3}, {}],
        "affinity": {"nodeAffinity": {"a": [1, None, {"b": 0.5}]}},
        "priorityClassName": "high",
        "serviceAccountName": "models",
        "image": "registry.example.com/hfmodel-runtime:1",
    },
    "names that are empty": {"priorityClassName": "", "serviceAccountName": "", "image": ""},
    "env": {
        "env": [{"name": "A", "value": ""}, {"name": "b.c-d", "valueFrom": {"fieldRef": {"x": None}}}, {"name": "_"}]
    },
    "env with nulls": {"env": [{"name": "A", "value": None, "valueFrom": None}]},
    "no scaling": {"scaling": {}},
    "pinned": {"scaling": {"minReplicas": 1}},
    "most replicas": {"scaling": {"minReplicas": 100, "maxReplicas": 100}},
    "durations": {"scaling": {"idleTimeout": "0s", "scaleDownDelay": "1h30m", "startTimeout": "250.5ms"}},
    "longest duration": {"scaling": {"idleTimeout": "9999999h9999999h9999999h9999999h"}},
    "shortest start": {"scaling": {"startTimeout": "0.001ms"}},
    "most in flight": {"scaling": {"targetInFlight": 10_000}},
    "no prefetch": {"cache": {"prefetch": False}},
    "trust": {"trustRemoteCode": True, "allowPickle": True},
    "nulls are absent": dict.fromkeys(
        ("revision", "source", "type", "description", "maxLength", "gated", "tokenSecretRef", "env", "scaling", "cache")
    ),
    "nulls deep down are absent": {
        "scaling": {"maxReplicas": None},
        "nodeSelector": {"a": None},
        "cache": {"prefetch": None},
    },
}

# What is wrong, the spec, and the field that both must blame.
INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("no model", {"model": None}, "model"),
    ("empty model", {"model": ""}, "model"),
    ("model with spaces", {"model": "a b"}, "model"),
    ("model of three parts", {"model": "a/b/c"}, "model"),
    ("model with a line feed at the end", {"model": "gpt2\n"}, "model"),
    ("model that climbs", {"model": "../x"}, "model"),
    ("too long a model", {"model": "x" * 201}, "model"),
    ("number as model", {"model": 3}, "model"),
    ("revision with a space", {"revision": "a b"}, "revision"),
    ("revision like an option", {"revision": "--force"}, "revision"),
    ("too long a revision", {"revision": "x" * 201}, "revision"),
    ("two sources", {"source": {"path": "a", "hub": {}}}, "source"),
    ("text as source", {"source": "hub"}, "source"),
    ("unknown source", {"source": {"s3": {}}}, "source.s3"),
    ("endpoint without scheme", {"source": {"hub": {"endpoint": "hf.co"}}}, "source.hub.endpoint"),
    ("endpoint with a password", {"source": {"hub": {"endpoint": "https://me:pw@hf.co"}}}, "source.hub.endpoint"),
    ("endpoint with a query", {"source": {"hub": {"endpoint": "https://hf.co/?a=1"}}}, "source.hub.endpoint"),
    ("endpoint with a no-break space", {"source": {"hub": {"endpoint": "https://hf\u00a0.co"}}}, "source.hub.endpoint"),
    ("too long an endpoint", {"source": {"hub": {"endpoint": f"https://{'x' * 1024}"}}}, "source.hub.endpoint"),
    ("volume without claim", {"source": {"pvc": {"path": "a"}}}, "source.pvc.claimName"),
    ("volume without path", {"source": {"pvc": {"claimName": "a"}}}, "source.pvc.path"),
    ("volume with a bad claim", {"source": {"pvc": {"claimName": "A_b", "path": "a"}}}, "source.pvc.claimName"),
    ("volume with an empty path", {"source": {"pvc": {"claimName": "a", "path": ""}}}, "source.pvc.path"),
    ("empty path", {"source": {"path": ""}}, "source.path"),
    ("too long a path", {"source": {"path": "x" * 1025}}, "source.path"),
    ("unknown type", {"type": "txt"}, "type"),
    ("type in capitals", {"type": "Text"}, "type"),
    ("too long a description", {"description": "x" * 4097}, "description"),
    ("too long a size", {"size": "x" * 33}, "size"),
    ("number as size", {"size": 135}, "size"),
    ("maxLength of 0", {"maxLength": 0}, "maxLength"),
    ("too great a maxLength", {"maxLength": 10_000_001}, "maxLength"),
    ("half a token", {"maxLength": 0.5}, "maxLength"),
    ("text as maxLength", {"maxLength": "512"}, "maxLength"),
    ("true as maxLength", {"maxLength": True}, "maxLength"),
    ("snake case", {"max_length": 5}, "max_length"),
    ("below zero degrees", {"suggestedTemperature": -0.1}, "suggestedTemperature"),
    ("too hot", {"suggestedTemperature": 2.1}, "suggestedTemperature"),
    ("text as temperature", {"suggestedTemperature": "0.7"}, "suggestedTemperature"),
    ("true as temperature", {"suggestedTemperature": True}, "suggestedTemperature"),
    ("no number as temperature", {"suggestedTemperature": float("nan")}, "suggestedTemperature"),
    ("text as truth", {"gated": "yes"}, "gated"),
    ("number as truth", {"gated": 1}, "gated"),
    ("secret without a name", {"tokenSecretRef": {}}, "tokenSecretRef.name"),
    ("secret with a bad name", {"tokenSecretRef": {"name": "a..b"}}, "tokenSecretRef.name"),
    ("secret with a bad key", {"tokenSecretRef": {"name": "a", "key": "a/b"}}, "tokenSecretRef.key"),
    ("secret with an empty key", {"tokenSecretRef": {"name": "a", "key": ""}}, "tokenSecretRef.key"),
    ("a token in the open", {"tokenSecretRef": {"name": "a", "value": "hf_x"}}, "tokenSecretRef.value"),
    ("unknown device", {"device": "mps"}, "device"),
    ("unknown dtype", {"dtype": "int8"}, "dtype"),
    ("unknown engine", {"engine": "vllm"}, "engine"),
    ("gpu with a bad profile", {"gpu": {"profile": "L4"}}, "gpu.profile"),
    ("gpu with too long a profile", {"gpu": {"profile": "x" * 64}}, "gpu.profile"),
    ("no gpus", {"gpu": {"profile": "a", "count": 0}}, "gpu.count"),
    ("too many gpus", {"gpu": {"profile": "a", "count": 65}}, "gpu.count"),
    ("quantity below zero", {"resources": {"requests": {"cpu": "-1"}}}, "resources.requests.cpu"),
    ("number below zero", {"resources": {"requests": {"cpu": -1}}}, "resources.requests.cpu"),
    ("quantity in words", {"resources": {"limits": {"memory": "4 GB"}}}, "resources.limits.memory"),
    ("quantity as a float", {"resources": {"limits": {"cpu": 0.5}}}, "resources.limits.cpu"),
    ("too long a quantity", {"resources": {"limits": {"cpu": "1" * 65}}}, "resources.limits.cpu"),
    ("true as quantity", {"resources": {"limits": {"cpu": True}}}, "resources.limits.cpu"),
    ("list of resources", {"resources": {"limits": []}}, "resources.limits"),
    ("claims", {"resources": {"claims": []}}, "resources.claims"),
    ("number as node label", {"nodeSelector": {"a": 1}}, "nodeSelector.a"),
    ("mapping as tolerations", {"tolerations": {}}, "tolerations"),
    ("text as toleration", {"tolerations": ["gpu"]}, "tolerations[0]"),
    ("null as toleration", {"tolerations": [{}, None]}, "tolerations[1]"),
    ("list as affinity", {"affinity": []}, "affinity"),
    ("bad priority class", {"priorityClassName": "High!"}, "priorityClassName"),
    ("too long a priority class", {"priorityClassName": LONG}, "priorityClassName"),
    ("bad service account", {"serviceAccountName": "-a"}, "serviceAccountName"),
    ("too long a service account", {"serviceAccountName": LONG}, "serviceAccountName"),
    ("too long an image", {"image": "x" * 1025}, "image"),
    ("env without a name", {"env": [{"value": "a"}]}, "env[0].name"),
    ("env with a bad name", {"env": [{"name": "1A"}]}, "env[0].name"),
    ("env with too long a name", {"env": [{"name": LONG}]}, "env[0].name"),
    ("env with a number", {"env": [{"name": "A", "value": 1}]}, "env[0].value"),
    ("env with two values", {"env": [{"name": "A", "value": "", "valueFrom": {}}]}, "env[0]"),
    ("env with more", {"env": [{"name": "A", "secret": "x"}]}, "env[0].secret"),
    ("null as env", {"env": [None]}, "env[0]"),
    ("env as a mapping", {"env": {"A": "1"}}, "env"),
    ("replicas below zero", {"scaling": {"minReplicas": -1}}, "scaling.minReplicas"),
    ("too many replicas", {"scaling": {"minReplicas": 101}}, "scaling.minReplicas"),
    ("no replicas at most", {"scaling": {"maxReplicas": 0}}, "scaling.maxReplicas"),
    ("too many replicas at most", {"scaling": {"maxReplicas": 101}}, "scaling.maxReplicas"),
    ("more at least than at most", {"scaling": {"minReplicas": 3, "maxReplicas": 2}}, "scaling"),
    ("more at least than at most by default", {"scaling": {"minReplicas": 2}}, "scaling"),
    ("none in flight", {"scaling": {"targetInFlight": 0}}, "scaling.targetInFlight"),
    ("too many in flight", {"scaling": {"targetInFlight": 10_001}}, "scaling.targetInFlight"),
    ("duration below zero", {"scaling": {"idleTimeout": "-5m"}}, "scaling.idleTimeout"),
    ("duration without unit", {"scaling": {"idleTimeout": "30"}}, "scaling.idleTimeout"),
    ("number as duration", {"scaling": {"idleTimeout": 30}}, "scaling.idleTimeout"),
    ("days", {"scaling": {"scaleDownDelay": "1d"}}, "scaling.scaleDownDelay"),
    ("empty duration", {"scaling": {"scaleDownDelay": ""}}, "scaling.scaleDownDelay"),
    ("too long a duration", {"scaling": {"idleTimeout": "10000000h"}}, "scaling.idleTimeout"),
    ("duration of too many parts", {"scaling": {"idleTimeout": "1h" * 17}}, "scaling.idleTimeout"),
    ("duration with a line feed", {"scaling": {"idleTimeout": "1h\n"}}, "scaling.idleTimeout"),
    ("no time to start", {"scaling": {"startTimeout": "0h0.0s"}}, "scaling.startTimeout"),
    ("text as prefetch", {"cache": {"prefetch": "false"}}, "cache.prefetch"),
    ("unknown cache field", {"cache": {"size": "1Gi"}}, "cache.size"),
    ("text as trust", {"trustRemoteCode": "true"}, "trustRemoteCode"),
    ("text as pickle", {"allowPickle": "true"}, "allowPickle"),
    ("unknown field", {"replicas": 3}, "replicas"),
]

JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 3, -1, 3.0, 0.5, 101, "", "x", "a b", "A", "30m", "-5m", "0s", "5\n", "4Gi", "main"),
    *([], {}, [None], [{}], {"a": 1}, {"a": None}, {"a": "b"}, {"name": "A", "value": "x"}),
)


def manifest(spec: Any) -> dict[str, Any]:
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "smol"}, "spec": spec}


def specs(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are nearly what `schema` says, so that many are valid and most are wrong in one place."""
    junk = st.sampled_from(JUNK)
    if "enum" in schema:
        return st.one_of(st.sampled_from(schema["enum"]), junk)
    if "properties" in schema:
        fields = {name: specs(child) for name, child in schema["properties"].items()}
        required = {name: fields.pop(name) for name in schema.get("required", ())}
        few = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True) if fields else st.just([])
        return few.flatmap(
            lambda chosen: st.fixed_dictionaries({**required, **{name: fields[name] for name in chosen}})
        )
    if schema.get("type") == "array":
        return st.one_of(st.lists(specs(schema["items"]), max_size=2), junk)
    if isinstance(schema.get("additionalProperties"), dict):
        return st.one_of(st.dictionaries(st.sampled_from(["a", "b/c"]), specs(schema["additionalProperties"])), junk)
    if schema.get("type") in ("integer", "number"):
        bounds = [schema[key] + step for key in ("minimum", "maximum") if key in schema for step in (-1, 0, 1)]
        return st.one_of(st.sampled_from(bounds or [0]), junk)
    return junk
