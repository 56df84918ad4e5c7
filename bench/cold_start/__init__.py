"""How long a sleeping model takes to answer: a process, `hfmodel up`, a node."""
