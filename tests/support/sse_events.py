"""Reading server-sent events."""


def data_of(stream: str) -> list[str]:
    """The data of each event of `stream`; comments are left out."""
    events = [event for event in stream.split("\n\n") if event]
    assert stream.endswith("\n\n"), "the stream was cut in the middle of an event"
    return [event.removeprefix("data: ") for event in events if not event.startswith(":")]
