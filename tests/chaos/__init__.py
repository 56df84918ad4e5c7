"""Requests while parts of hfmodel are killed, restarted, paused and flooded: none may be lost. See docs/chaos.md.

`python -m chaos local|node --seed N` runs it. `plan` draws the faults, `crowd` sends the requests, `killer` strikes,
`ledger` says what became of each request, `report` writes it down; `local` and `node` are what it all runs on.
"""
