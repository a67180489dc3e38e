"""LangChain agents with a model that says what it is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import AGENTS, README, People, blocks, until
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool

import pawlhq as pawl
from pawlhq.langchain import PawlMiddleware

Name = Callable[[str], str]
ran: list[str] = []


class Model(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


@tool
def send_note(to: str) -> str:
    """Send an email."""
    ran.append(to)
    if to == "nobody":
        raise ValueError("no such address")
    return f"sent to {to}"


def agent(client: pawl.Client, prefix: str, *to: str) -> Any:
    calls = [{"name": "send_note", "args": {"to": t}, "id": f"c{i}"} for i, t in enumerate(to)]
    model = Model(messages=iter([AIMessage("", tool_calls=calls), AIMessage("done")]))
    return create_agent(model, [send_note], middleware=[PawlMiddleware(client, prefix=prefix)])


def ask(made: Any, how: str, thread: str = "t") -> list[ToolMessage]:
    ran.clear()
    given = {"messages": [("user", "go")]}
    config = {"configurable": {"thread_id": thread}}
    answer = asyncio.run(made.ainvoke(given, config)) if how == "async" else made.invoke(given, config)
    return [m for m in answer["messages"] if isinstance(m, ToolMessage)]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_decisions(client: pawl.Client, name: Name, people: People, how: str) -> None:
    assert [m.content for m in ask(agent(client, name("free") + ".", "ana", "bo"), how)] == [
        "sent to ana", "sent to bo",
    ]  # fmt: skip
    denied = ask(agent(client, name("deny") + ".", "ana"), how)[0]
    assert denied.status == "error"
    assert "the policy forbids" in str(denied.content)
    assert ran == []
    prefix = name("ask") + "."
    with people.reject_next(prefix + "send_note", "not to her"):
        rejected = ask(agent(client, prefix, "ana"), how)[0]
    assert rejected.status == "error"
    assert "not to her" in str(rejected.content)
    assert "pawl-" in str(rejected.content)
    assert ran == []
    with people.approve_next(prefix + "send_note"):
        assert ask(agent(client, prefix, "ana"), how)[0].content == "sent to ana"
    assert ran == ["ana"]
    with pytest.raises(ValueError, match="no such address"):
        ask(agent(client, name("free") + ".", "nobody"), how)


@pytest.mark.parametrize("page", [README, AGENTS], ids=["readme", "agents"])
def test_documents(api: str, people: People, monkeypatch: pytest.MonkeyPatch, page: Path) -> None:
    monkeypatch.setenv("PAWL_API", api)
    (block,) = blocks(page, langchain=True)
    call = {"name": "send_note", "args": {"to": "ana"}, "id": "c1"}
    model = Model(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("done")]))
    given: dict[str, Any] = {"model": model, "tools": [send_note]}
    exec(block, given)
    with people.reject_next("send_note", "not to her"):
        assert "not to her" in str(ask(given["agent"], "sync")[0].content)
    assert ran == []


@pytest.mark.parametrize("how", ["sync", "async"])
def test_pawl_is_down(how: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = pawl.Client(f"http://127.0.0.1:{free.getsockname()[1]}", agent="tester")
        with pytest.raises(pawl.UnreachableError):
            ask(agent(client, "free.", "ana"), how)
    assert ran == []


def test_session(client: pawl.Client, name: Name, people: People) -> None:
    prefix = name("ask") + "."
    told: list[pawl.Waiting] = []
    client._on_wait = told.append

    def approve() -> None:
        waiting = until(lambda: told and told[0])
        assert people.send("GET", f"/api/requests/{waiting.id}")["session"] == "thread-7"
        people.approve(waiting.id)

    with people._beside(approve):
        assert ask(agent(client, prefix, "ana"), "sync", "thread-7")[0].content == "sent to ana"
