"""What the rig raises: its text is for the person at the terminal."""


class ClusterError(Exception):
    """What keeps the rig from building or starting; one sentence, and a log's last lines if there are any."""
