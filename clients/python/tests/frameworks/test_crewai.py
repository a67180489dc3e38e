"""The recipe for CrewAI, which needs older libraries than the others: an environment of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import People, both


def test_crewai(
    recipe: Callable[[str], ModuleType], people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CREWAI_DISABLE_TELEMETRY", "OTEL_SDK_DISABLED"):
        monkeypatch.setenv(name, "true")
    for name in ("CREWAI_STORAGE_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    from crewai import Agent, Crew, Task
    from crewai.llms.base_llm import BaseLLM

    tool = recipe("crewai_agent").send_mail

    class Scripted(BaseLLM):  # type: ignore[misc]
        def call(self, messages: Any, *_: Any, **__: Any) -> str:
            said = str(messages)
            if "Observation:" in said.rsplit("Action Input", 1)[-1] and self.asked:
                self.seen = said
                return "Thought: I know.\nFinal Answer: done"
            self.asked = True
            return f'Thought: I send it.\nAction: send_mail\nAction Input: {{"to": "{self.to}"}}'

    def ask(to: str) -> str:
        model = Scripted(model="scripted")
        model.to, model.asked, model.seen = to, False, ""
        agent = Agent(role="support", goal="help", backstory="none", llm=model, tools=[tool])
        task = Task(description="send it", expected_output="done", agent=agent)
        Crew(agents=[agent], tasks=[task]).kickoff()
        return str(model.seen)

    both(people, ask)
