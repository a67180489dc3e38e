"""The recipes, with models that say what they are told. Each asks twice: what is rejected does not
run, and the model reads why; what is approved runs once."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from conftest import RECIPES, People, both


def test_openai_agents(recipe: Callable[[str], ModuleType], people: People) -> None:
    from agents import RunConfig, Runner
    from agents.testing import ScriptedModel, assistant_message, function_call

    agent = recipe("openai_agents").agent

    def ask(to: str) -> str:
        steps = [[function_call("send_mail", {"to": to}, call_id="c1")], [assistant_message("done")]]
        config = RunConfig(model=ScriptedModel(steps), tracing_disabled=True)
        result = asyncio.run(Runner.run(agent, "go", run_config=config))
        return str(result.to_input_list())

    both(people, ask)


def test_pydantic_ai(recipe: Callable[[str], ModuleType], people: People) -> None:
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    agent = recipe("pydantic_ai").agent

    def ask(to: str) -> str:
        def model(messages: list[Any], _: Any) -> ModelResponse:
            first = len(messages) == 1
            return ModelResponse([ToolCallPart("send_mail", {"to": to}) if first else TextPart("done")])

        return str(agent.run_sync("go", model=FunctionModel(model)).all_messages())

    both(people, ask)


def test_agno(recipe: Callable[[str], ModuleType], people: People) -> None:
    from agno.models.base import Model
    from agno.models.response import ModelResponse

    class Scripted(Model):
        to = ""
        seen = ""

        def invoke(self, messages: list[Any], *_: Any, **__: Any) -> ModelResponse:
            said = [m for m in messages if m.role == "tool"]
            if said:
                self.seen = str(said[-1].content)
                return ModelResponse(role="assistant", content="done")
            call = {
                "id": "c1", "type": "function",
                "function": {"name": "send_mail", "arguments": f'{{"to": "{self.to}"}}'},
            }  # fmt: skip
            return ModelResponse(role="assistant", tool_calls=[call])

        async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
            return self.invoke(*args, **kwargs)

        def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
            yield self.invoke(*args, **kwargs)

        async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
            yield self.invoke(*args, **kwargs)

        def _parse_provider_response(self, response: Any, **_: Any) -> ModelResponse:
            return response

        def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
            return response

    agent = recipe("agno_agent").agent

    def ask(to: str) -> str:
        agent.model = model = Scripted(id="scripted")
        model.to = to
        agent.run("go", stream=False)
        return model.seen

    both(people, ask)


def test_temporal(api: str, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    from temporalio.client import Client, WorkflowFailureError
    from temporalio.worker import UnsandboxedWorkflowRunner, Worker

    monkeypatch.syspath_prepend(str(RECIPES))
    import temporal_workflow as recipe

    async def ask(to: str) -> str:
        client = await Client.connect(os.environ["PAWL_TEST_TEMPORAL"])
        worker = Worker(
            client, task_queue="support", workflows=[recipe.Support], activities=[recipe.send_reminder],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )  # fmt: skip
        async with worker:
            try:
                return await client.execute_workflow(
                    recipe.Support.run,
                    to,
                    id=f"support-{uuid.uuid4()}",
                    task_queue="support",
                    execution_timeout=timedelta(minutes=3),  # if nobody decides
                )
            except WorkflowFailureError as e:
                return f"{e.cause} {getattr(e.cause, 'cause', '')}"

    both(people, lambda to: asyncio.run(ask(to)), "send_reminder")
