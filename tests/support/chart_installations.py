"""Ways to install the chart, from the least to the most."""

from typing import Final

from support.helm import Values

DIGEST: Final = f"sha256:{'0' * 64}"
GPU_PROFILES: Final[Values] = {
    "a100": {
        "resourceName": "nvidia.com/gpu",
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "runtimeClassName": "nvidia",
        "image": "registry.example.com/runtime-a100:1",
    },
    "any": {},
}
HOSTS: Final = ["models.example.com", "models.example.org"]

DEFAULTS: Final[Values] = {}
MINIMAL: Final[Values] = {
    "operator": {"serviceAccount": {"create": False}},
    "router": {"replicas": 1, "podDisruptionBudget": {"enabled": False}, "serviceAccount": {"create": False}},
    "rbac": {"create": False},
    "cache": {"existingClaim": "weights"},
}
EXISTING: Final[Values] = {
    "cache": {"existingClaim": "weights"},
    "huggingface": {"existingSecret": {"name": "hub", "key": "token"}},
    "router": {
        "apiKeys": {"existingSecret": {"name": "keys", "key": "all"}},
        "serviceAccount": {"create": False, "name": "r"},
    },
    "images": {"pullSecrets": ["first", "second"], "registry": "registry.example.com:5000/team/"},
}
HIGHLY_AVAILABLE: Final[Values] = {
    "operator": {"replicas": 2, "priorityClassName": "system-cluster-critical"},
    "router": {"autoscaling": {"enabled": True, "maxReplicas": 9}, "affinity": {"podAntiAffinity": {}}},
    "cache": {"accessModes": ["ReadWriteMany"], "storageClassName": "nfs", "annotations": {"backup": "no"}},
}
INGRESS: Final[Values] = {
    "router": {
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "900"},
            "hosts": HOSTS,
            "tls": [{"secretName": "tls", "hosts": HOSTS}],
        }
    }
}
GATEWAY: Final[Values] = {
    "router": {
        "httpRoute": {
            "enabled": True,
            "parentRefs": [{"name": "public", "namespace": "gateways"}],
            "hostnames": HOSTS,
            "timeouts": {"request": "0s"},
        }
    }
}
MONITORING: Final[Values] = {"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}}
GPUS: Final[Values] = {"gpuProfiles": GPU_PROFILES, "huggingface": {"token": "hf_secret"}}
CLOSED: Final[Values] = {
    "networkPolicy": {
        "enabled": True,
        "routerFrom": [{"namespaceSelector": {}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "rbac": {"aggregate": True},
}
EVERYTHING: Final[Values] = {
    "commonLabels": {"team": "ml"},
    "commonAnnotations": {"example.com/owner": "ml"},
    "images": {"pullPolicy": "Always", "operator": {"digest": DIGEST}, "runtime": {"tag": "2"}},
    "cache": {"storageClassName": "-", "volumeName": "disk"},
    "huggingface": {"token": "hf_secret", "endpoint": "https://mirror.example.com/hub", "offline": True},
    "fetch": {
        "extraEnv": [
            {"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
            {"name": "SSL_CERT_FILE", "value": "/cache/ca.pem"},
        ],
        "resources": {"requests": {"cpu": 1}, "limits": {"memory": "8Gi"}},
    },
    "gpuProfiles": GPU_PROFILES,
    "runtime": {"maxLoadedModels": 3},
    "operator": {
        "extraEnv": [{"name": "HFMODEL_LEASE_NAME", "value": "other"}],
        "podLabels": {"a": "b"},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
    },
    "router": {
        "extraEnv": [{"name": "HFMODEL_RETRY_LIMIT", "value": "4"}],
        "corsOrigins": ["https://a.example", "https://b.example"],
        "defaultModel": "smollm2",
        "service": {"type": "LoadBalancer", "nodePort": 30080, "loadBalancerSourceRanges": ["10.0.0.0/8"]},
        "ingress": {"enabled": True},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
        "autoscaling": {"enabled": True},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
        ],
    },
    "rbac": {"aggregate": True},
    "networkPolicy": {"enabled": True},
    "monitoring": {"enabled": True},
}

INSTALLATIONS: Final = {
    "defaults": DEFAULTS,
    "minimal": MINIMAL,
    "existing claim and secrets": EXISTING,
    "highly available": HIGHLY_AVAILABLE,
    "ingress": INGRESS,
    "gateway": GATEWAY,
    "monitoring": MONITORING,
    "GPU profiles": GPUS,
    "closed network": CLOSED,
    "everything": EVERYTHING,
}
