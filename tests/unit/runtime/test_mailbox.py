"""News from the engine's thread arrives on the loop: all of it, in order, at few wake-ups."""

import asyncio
import threading

from hfmodel_runtime.server.mailbox import Mailbox


async def test_everything_posted_by_a_thread_arrives_in_order() -> None:
    mailbox = Mailbox(asyncio.get_running_loop())
    arrived: list[int] = []
    done = asyncio.Event()

    def post() -> None:
        for number in range(10_000):
            mailbox.post(lambda number=number: arrived.append(number))  # type: ignore[misc]
        mailbox.post(done.set)

    thread = threading.Thread(target=post)
    thread.start()
    await done.wait()
    thread.join()
    assert arrived == list(range(10_000))


async def test_a_batch_wakes_the_loop_once() -> None:
    loop = asyncio.get_running_loop()
    wakes: list[object] = []

    class CountingLoop:
        def call_soon_threadsafe(self, callback: object, *args: object) -> None:
            wakes.append(callback)
            loop.call_soon_threadsafe(callback, *args)  # type: ignore[arg-type]

    mailbox = Mailbox(CountingLoop())  # type: ignore[arg-type]
    done = asyncio.Event()
    for _ in range(64):
        mailbox.post(lambda: None)
    mailbox.post(done.set)
    await done.wait()
    assert len(wakes) == 1


def test_posting_to_a_closed_loop_is_harmless() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    mailbox = Mailbox(loop)
    mailbox.post(lambda: None)
