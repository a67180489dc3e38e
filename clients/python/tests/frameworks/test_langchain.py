"""Agents of LangChain. What becomes of their calls when something fails: test_faults.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import AGENTS, README, People, blocks, until
from langchain.agents import create_agent
from langchain.agents.middleware import wrap_tool_call
from langchain_core.tools import tool
from scripted import agent, ask, model

import pawlhq as pawl
from pawlhq.langchain import PawlMiddleware

Name = Callable[[str], str]
ran: list[str] = []
ids: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear(), ids.clear()


@tool
def send_note(to: str) -> str:
    """Send an email."""
    ran.append(to), ids.append(pawl.call_id())
    if to == "nobody":
        raise ValueError("no such address")
    return f"sent to {to}"


def sender(client: pawl.Client, prefix: str, *turns: list[str]) -> Any:
    return agent(client, send_note, *([{"to": to} for to in turn] for turn in turns), prefix=prefix)


@pytest.mark.parametrize("how", ["sync", "async"])
def test_decisions(client: pawl.Client, name: Name, people: People, how: str) -> None:
    assert [m.content for m in ask(sender(client, name("free") + ".", ["ana", "bo"]), how)] == [
        "sent to ana", "sent to bo",
    ]  # fmt: skip
    ran.clear()
    denied = ask(sender(client, name("deny") + ".", ["ana"]), how)[0]
    assert denied.status == "error"
    assert "the policy forbids" in str(denied.content)
    assert ran == []
    prefix = name("ask") + "."
    with people.reject_next(prefix + "send_note", "not to her"):
        rejected = ask(sender(client, prefix, ["ana"]), how)[0]
    assert rejected.status == "error"
    assert "not to her" in str(rejected.content)
    assert "pawl-" in str(rejected.content)
    assert ran == []
    with people.approve_next(prefix + "send_note"):
        assert ask(sender(client, prefix, ["ana"]), how)[0].content == "sent to ana"
    assert ran == ["ana"]
    with pytest.raises(ValueError, match="no such address"):
        ask(sender(client, name("free") + ".", ["nobody"]), how)
    assert until(lambda: people.status(ids[-1]) == "failed")


@pytest.mark.parametrize("page", [README, AGENTS], ids=["readme", "agents"])
def test_documents(api: str, people: People, monkeypatch: pytest.MonkeyPatch, page: Path) -> None:
    monkeypatch.setenv("PAWL_API", api)
    (block,) = blocks(page, langchain=True)
    given: dict[str, Any] = {"model": model("send_note", [{"to": "ana"}]), "tools": [send_note]}
    exec(block, given)
    with people.reject_next("send_note", "not to her"):
        assert "not to her" in str(ask(given["agent"])[0].content)
    assert ran == []


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize("turns", [[["ana", "ana"]], [["ana"], ["ana"]]], ids=["at once", "in sequence"])
def test_equal_calls(
    client: pawl.Client, name: Name, people: People, how: str, turns: list[list[str]]
) -> None:
    """Two calls that are meant twice are two, though what waited would be taken up."""
    prefix = name("ask") + "."
    approved: list[str] = []

    def approve() -> None:
        for turn in turns:
            waiting = until(lambda: new if len(new := _new(people, prefix, approved)) == len(turn) else None)  # noqa: B023
            approved.extend(waiting)
            for call_id in waiting:
                people.approve(call_id)

    with people._beside(approve):
        assert [m.content for m in ask(sender(client, prefix, *turns), how)] == ["sent to ana"] * 2
    assert ran == ["ana", "ana"]
    assert sorted(ids) == sorted(approved)
    assert [people.status(call_id) for call_id in ids] == ["executed"] * 2


def _new(people: People, prefix: str, seen: list[str]) -> list[str]:
    return [call_id for call_id in people.waiting(prefix + "send_note") if call_id not in seen]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_arguments_that_change(client: pawl.Client, name: Name, people: People, how: str) -> None:
    """What was asked for is what runs, whatever becomes of the model's message meanwhile."""
    asked: list[dict[str, Any]] = []

    def change(waiting: pawl.Waiting) -> None:
        asked[0]["to"] = "eve"
        people.approve(waiting.id)

    client._on_wait = change
    if how == "async":

        @wrap_tool_call
        async def keep(request: Any, handler: Any) -> Any:
            asked.append(request.tool_call["args"])
            return await handler(request)
    else:

        @wrap_tool_call
        def keep(request: Any, handler: Any) -> Any:
            asked.append(request.tool_call["args"])
            return handler(request)

    guard = PawlMiddleware(client, prefix=name("ask") + ".")
    made = create_agent(model("send_note", [{"to": "ana"}]), [send_note], middleware=[keep, guard])
    assert ask(made, how)[0].content == "sent to ana"
    assert ran == ["ana"]


def test_session(client: pawl.Client, name: Name, people: People) -> None:
    prefix = name("ask") + "."
    told: list[pawl.Waiting] = []
    client._on_wait = told.append

    def approve() -> None:
        waiting = until(lambda: told and told[0])
        assert people.send("GET", f"/api/requests/{waiting.id}")["session"] == "thread-7"
        people.approve(waiting.id)

    with people._beside(approve):
        assert ask(sender(client, prefix, ["ana"]), "sync", "thread-7")[0].content == "sent to ana"
