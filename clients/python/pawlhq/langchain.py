"""Guards every tool of a LangChain or LangGraph agent:

    from langchain.agents import create_agent
    from pawlhq.langchain import PawlMiddleware

    agent = create_agent(model, tools, middleware=[PawlMiddleware()])

The model gets a denial as an error of the tool, with the reason and the reviewer's notes. Where Pawl
can't be asked, the run ends with an exception, and the tool does not run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import ToolMessage
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from . import _about
from ._api import API, Permit, View, run
from ._arguments import executed, plain, same
from ._calls import Guarded, result_of
from ._client import Client, Core
from ._errors import DeniedError, FailedError, OutcomeUnknownError
from ._guard import UNKNOWN_IF, raised, within

Result = ToolMessage | Command[Any]


class PawlMiddleware(AgentMiddleware[Any, Any, Any]):
    """Asks Pawl before each tool call.

    client: whom to ask. Default: one by the environment, see Client.
    skip: names of tools that are not asked for.
    prefix: is put before the tools' names, as reviewers and the policy know them.

    A conversation's thread_id is the calls' session. A call that waited when the agent was stopped is
    taken up when the model makes it again.
    """

    def __init__(self, client: Core | None = None, *, skip: Collection[str] = (), prefix: str = "") -> None:
        super().__init__()
        self._client = client or Client()
        self._skip = frozenset(skip)
        self._prefix = prefix

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Result]
    ) -> Result:
        if request.tool_call["name"] in self._skip:
            return handler(request)
        call, begun = run(self._ask(self._client.blocking, request))
        if not isinstance(begun, Permit):
            return _told(request, begun)
        try:
            with within(begun):
                result = handler(_permitted(request, begun))
        except BaseException as e:
            run(raised(call, e, UNKNOWN_IF))
            raise
        run(call.finish(_report(result)))
        return result

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Result]]
    ) -> Result:
        if request.tool_call["name"] in self._skip:
            return await handler(request)
        call, begun = await self._ask(self._client.streaming, request)
        if not isinstance(begun, Permit):
            return _told(request, begun)
        try:
            with within(begun):
                result = await handler(_permitted(request, begun))
        except BaseException as e:
            await raised(call, e, UNKNOWN_IF)
            raise
        await call.finish(_report(result))
        return result

    async def _ask(self, api: API, request: ToolCallRequest) -> tuple[Guarded, Permit | View]:
        args = plain(request.tool_call["args"])
        about = _about.current()
        if not about.session:
            about = replace(about, session=_thread(request))
        tool = self._tool(request)
        call = await self._client.guarded(api, tool, "langchain", args, about, key=about.key, attach=True)
        begun = await call.begin()
        if isinstance(begun, Permit) and same(begun.args, args):
            begun = replace(begun, args=args)  # JSON has 1 for 1.0
        return call, begun

    def _tool(self, request: ToolCallRequest) -> View:
        name = self._prefix + request.tool_call["name"]
        if request.tool is None:
            return {"name": name, "schema": {"type": "object"}}
        schema: Any = request.tool.tool_call_schema
        if not isinstance(schema, dict):
            schema = schema.model_json_schema()
        described = {"type": "object", **schema}
        return {"name": name, "description": request.tool.description, "schema": described}


def _thread(request: ToolCallRequest) -> str:
    config = getattr(request.runtime, "config", None) or {}
    return str(config.get("configurable", {}).get("thread_id", ""))


def _permitted(request: ToolCallRequest, permit: Permit) -> ToolCallRequest:
    """The request with what was approved, whatever became of its arguments meanwhile."""
    approved = request.tool_call.copy()
    approved["args"] = permit.args
    return request.override(tool_call=approved)


def _told(request: ToolCallRequest, view: View) -> ToolMessage:
    """What the model is told of a call that ended without running here."""
    try:
        text, status = str(result_of(view)), "success"
    except (DeniedError, FailedError, OutcomeUnknownError) as e:
        text, status = str(e), "error"
    return ToolMessage(
        text, name=request.tool_call["name"], tool_call_id=request.tool_call["id"], status=status
    )


def _report(result: Result) -> View:
    if isinstance(result, ToolMessage):
        if result.status == "error":
            return {"status": "failed", "error": str(result.content)[:1000] or "the tool failed"}
        return executed(result.content)
    return {"status": "executed"}


__all__ = ["PawlMiddleware"]
