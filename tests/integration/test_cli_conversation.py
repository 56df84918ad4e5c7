"""`hfmodel chat` at a terminal, typed at through a pseudo-terminal."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from support.pty_session import CTRL_D, hfmodel_at_terminal
from support.scripted_router import Answer, ScriptedRouter, said, scripted_router, sse, stream

CHAT = "POST /v1/chat/completions"
INFO = "GET /models/smol/info"
READY: dict[str, Any] = {"name": "org/smol", "loaded": True, "eta_seconds": 0.0}
ASLEEP: dict[str, Any] = {"name": "org/smol", "loaded": False, "eta_seconds": 3.7}


@pytest.fixture
def router() -> Iterator[ScriptedRouter]:
    with scripted_router() as script:
        script.on(INFO, Answer(READY))
        yield script


def turns(router: ScriptedRouter) -> list[list[tuple[str, str]]]:
    return [[(each["role"], each["content"]) for each in asked.body["messages"]] for asked in router.calls()]


def test_a_conversation_sends_what_was_said_before(router: ScriptedRouter) -> None:
    router.on(CHAT, stream(*said("Hi", " there")), stream(*said("Good\x1b[2J")), stream(*said("Bye")))
    with hfmodel_at_terminal("chat", "smol", "--url", router.url, "--system", "Be kind", "--seed", "3") as terminal:
        terminal.expect("smol (org/smol)")
        terminal.expect(">>> ")
        terminal.type("Hello\n")
        terminal.expect("Hi there")
        terminal.expect(">>> ")
        terminal.type("  How are you?  \n")
        # What a model says does not clear the screen.
        terminal.expect("Good[2J")
        terminal.expect(">>> ")
        terminal.type("/reset\n")
        terminal.expect("(forgotten)")
        terminal.expect(">>> ")
        terminal.type("/system Be brief\n")
        terminal.expect("(system: Be brief)")
        terminal.expect(">>> ")
        terminal.type("Go\n")
        terminal.expect("Bye")
        terminal.expect(">>> ")
        terminal.type(CTRL_D)
        assert terminal.exit_code() == 0
    assert turns(router) == [
        [("system", "Be kind"), ("user", "Hello")],
        [("system", "Be kind"), ("user", "Hello"), ("assistant", "Hi there"), ("user", "How are you?")],
        [("system", "Be brief"), ("user", "Go")],
    ]
    assert all(asked.body["seed"] == 3 for asked in router.calls())


def test_ctrl_c_stops_the_answer_and_not_the_program(router: ScriptedRouter) -> None:
    never = threading.Event()
    router.on(CHAT, Answer(chunks=(*map(sse, said("Once upon")), never)), stream(*said("Sorry")))
    with hfmodel_at_terminal("chat", "smol", "--url", router.url) as terminal:
        terminal.expect(">>> ")
        terminal.type("Tell me a story\n")
        terminal.expect("Once upon")
        terminal.press_ctrl_c()
        terminal.expect("(stopped)")
        terminal.expect(">>> ")
        never.set()
        terminal.type("half a line")
        # The terminal throws away what was typed and not read yet: only what shows was read.
        terminal.expect("half a line")
        terminal.press_ctrl_c()
        terminal.expect(">>> ")
        terminal.type("Why?\n")
        terminal.expect("Sorry")
        terminal.expect(">>> ")
        terminal.type("/quit\n")
        assert terminal.exit_code() == 0
    assert turns(router)[1] == [("user", "Tell me a story"), ("assistant", "Once upon"), ("user", "Why?")]


def test_an_error_is_told_and_the_conversation_goes_on(router: ScriptedRouter) -> None:
    no = Answer({"error": {"message": "the queue is full"}}, status=429, headers={"retry-after": "2"})
    router.on(CHAT, no, stream(*said("Now"), {"error": {"message": "the engine broke"}}), stream(*said("Hi")))
    with hfmodel_at_terminal("chat", "smol", "--url", router.url) as terminal:
        terminal.expect(">>> ")
        for error in ("the queue is full (try again in 2 s)", "the engine broke"):
            terminal.type("Hello\n")
            terminal.expect(f"Error: {error}")
            terminal.expect(">>> ")
        terminal.type("Hello\n")
        terminal.expect("Hi")
        terminal.expect(">>> ")
        terminal.type("\n/nope\n")
        terminal.expect("there is no /nope")
        terminal.expect("/reset")
        # Before the prompt the terminal is not in the mode in which Ctrl-D is a key.
        terminal.expect(">>> ")
        terminal.type(CTRL_D)
        assert terminal.exit_code() == 0
    assert turns(router)[2] == [("user", "Hello")]


def test_a_wake_is_shown_with_how_long_it_takes(router: ScriptedRouter) -> None:
    awake = threading.Event()
    router.on(INFO, Answer(ASLEEP))
    router.on(CHAT, Answer(chunks=(b": waiting\n\n", awake, *map(sse, said("Hi")), b"data: [DONE]\n\n")))
    with hfmodel_at_terminal("chat", "smol", "Hello", "--url", router.url, term="xterm") as terminal:
        terminal.expect("waking smol … (about 4 s)")
        awake.set()
        terminal.expect("Hi")
        assert terminal.exit_code() == 0


def test_a_model_that_does_not_exist_ends_it_at_once(router: ScriptedRouter) -> None:
    router.on(INFO, Answer({"detail": "there is no model 'smol'"}, status=404))
    with hfmodel_at_terminal("chat", "smol", "--url", router.url) as terminal:
        terminal.expect("Error: there is no model 'smol'")
        assert terminal.exit_code() == 1


def test_a_table_fits_the_terminal(router: ScriptedRouter) -> None:
    router.on("GET /models", Answer({"smol": {**READY, "message": "[bold]no markup[/bold] \x1b[2J" + "x" * 300}}))
    with hfmodel_at_terminal("list", "--url", router.url, term="xterm") as terminal:
        assert terminal.exit_code() == 0
        assert "[bold]no" in terminal.shown
        assert "\x1b[2J" not in terminal.shown
        assert terminal.shown.count("x" * 20) > 1


@pytest.mark.parametrize("arguments", [["generate", "smol"], ["chat", "smol", "--json"]], ids=lambda a: a[0])
def test_nobody_is_left_waiting_for_a_prompt(router: ScriptedRouter, arguments: list[str]) -> None:
    with hfmodel_at_terminal(*arguments, "--url", router.url) as terminal:
        terminal.expect("Error: ")
        assert terminal.exit_code() == 2
