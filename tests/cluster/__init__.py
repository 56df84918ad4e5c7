"""A real Kubernetes control plane for the tests: etcd and kube-apiserver on loopback, started in seconds.

`python -m cluster build | up | down` with `tests` on PYTHONPATH; `cluster.controlplane.ControlPlane` in tests.
"""
