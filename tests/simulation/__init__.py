"""The whole protocol on one thread and a clock of its own: its parts are the real ones, and all between them fails.

Real are the router (its ASGI application, holding, waking, retrying, its watches), the operator (its reconcile loop,
`decide`, its Lease) and the runtime's lifecycle (admission, retirement, draining). Played are the API server, the
kubelet, the network between them, and time: a run of minutes takes a second, and the same seed is the same run.

- `clock`: an event loop whose time goes on only when nothing is left to do
- `api_server`, `calls`: objects, versions, watches that lag; calls that are late, lost, or answered to nobody
- `node`: the kubelet, and pods around the real `Lifecycle`
- `operators`, `routers`: one process each, that can be killed at any await
- `connections`: HTTP between clients and routers
- `clients`: what is asked, and what came of it
- `world`: all of it together, with what must hold at every moment
- `faults`: what can go wrong
- `script`: what happens in a run, as plain values
"""
