"""What the documents show of Python runs, and what they name is there."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import AGENTS, README, People, blocks

import pawlhq as pawl


@pytest.fixture(autouse=True)
def default(client: pawl.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pawl, "_default", lambda: client)


def test_readme(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    program, keyed, about, retry = blocks(README, langchain=False)
    given: dict[str, Any] = {"__name__": "program"}
    with people.approve_next("refund"):
        exec(program, given)
    assert capsys.readouterr().out == "paid 1900 cents for order 4711\n"
    with people.approve_next("refund"):
        exec(about, given)
    with people.reject_then_approve("refund", "half of it is enough"):
        exec(retry.replace("pawl.retry(", "got = pawl.retry("), given)
    assert given["got"] == "paid 950 cents for order 4711"
    exec(keyed, given)
    order = uuid.uuid4().hex
    with people.approve_next("refund"):
        given["refund"](order, 1900)
    with pytest.raises(pawl.ConflictError):
        given["refund"](order, 2000)  # the key is the order's


def test_agents(people: People) -> None:
    (block,) = blocks(AGENTS, langchain=False)
    given: dict[str, Any] = {"__name__": "another_program"}
    exec(block, given)
    with people.reject_next("refund", "not yet"), pytest.raises(pawl.RejectedError, match="not yet"):
        given["refund"]("4711", 1900)


@pytest.mark.parametrize("page", [README, AGENTS], ids=["readme", "agents"])
def test_names(page: Path) -> None:
    text = page.read_text()
    go = ("About", "ConnectHTTP", "GuardHTTP", "HTTPOptions", "Tool", "With")
    named = set(re.findall(r"\bpawl\.([A-Za-z_]+)\(?", text)) - {*go, "Error"}
    named |= set(re.findall(r"`([A-Z][A-Za-z]+Error)`", text)) - {"TimeoutError", "ConnectionError"}
    assert named
    assert [name for name in sorted(named) if name not in pawl.__all__] == []
