"""A real Kubernetes for the tests, on two levels; both are gone when the process that started them is.

- `cluster.controlplane`: etcd and kube-apiserver on loopback, in seconds, for anybody.
- `cluster.node`: the whole of it with a node on which pods run, for root on Linux.

`python -m cluster` with `tests` on PYTHONPATH; `cluster.target` in tests.
"""
