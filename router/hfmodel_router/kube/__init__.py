"""The router's view of a Kubernetes cluster: HFModels and Pods watched, demand written, nothing else touched."""
