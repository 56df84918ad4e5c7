"""A port for a server of a bench."""

import socket


def free_port() -> int:
    """One on which nobody listens on loopback now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
