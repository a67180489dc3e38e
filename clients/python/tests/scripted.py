"""LangChain agents with a model that says what it is told."""

from __future__ import annotations

import asyncio
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool

from pawlhq import Client
from pawlhq.langchain import PawlMiddleware


class Model(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self


def model(tool: str, *turns: list[dict[str, Any]]) -> Model:
    """Calls a tool with each of the arguments of a turn at once, and the next turn's then."""
    says = [
        AIMessage("", tool_calls=[{"name": tool, "args": a, "id": f"c{i}.{j}"} for j, a in enumerate(turn)])
        for i, turn in enumerate(turns)
    ]
    return Model(messages=iter([*says, AIMessage("done")]))


def agent(client: Client, tool: BaseTool, *turns: list[dict[str, Any]], prefix: str = "") -> Any:
    return create_agent(model(tool.name, *turns), [tool], middleware=[PawlMiddleware(client, prefix=prefix)])


def ask(made: Any, how: str = "sync", thread: str = "t") -> list[ToolMessage]:
    """Runs an agent, and returns what its model is told of its tools."""
    given = {"messages": [("user", "go")]}
    config = {"configurable": {"thread_id": thread}}
    answer = asyncio.run(made.ainvoke(given, config)) if how == "async" else made.invoke(given, config)
    return [m for m in answer["messages"] if isinstance(m, ToolMessage)]
