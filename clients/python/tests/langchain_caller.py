"""The process of one call in clients/cases.json, by an agent of LangChain's. Standard input says what its
model asks for; it prints how that ended."""

from __future__ import annotations

import json
import os
import signal
import sys

from langchain_core.tools import StructuredTool
from scripted import agent, ask

import pawlhq as pawl

asked = json.load(sys.stdin)


def act(x: int) -> str:
    with open(asked["ran"], "a") as f:
        f.write("ran\n")
    if asked["dies"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if asked["unsure"]:
        raise pawl.Unknown("the line went dead")
    return "executed"


def ended(text: str) -> str:
    """What the model is told of a denial, in the words of the cases."""
    _, _, notes = text.partition("rejected the call: ")
    for words, end in {
        " was rejected (": f"rejected: {notes}",
        " expired (": "expired",
        " was blocked (": "blocked",
    }.items():
        if words in text:
            return end
    return text


client = pawl.Client(asked["api"], token="", agent=asked["agent"], dir=asked["dir"])
tool = StructuredTool.from_function(act, name=asked["tool"], description="Acts.")
try:
    with pawl.about(wait=asked["wait"]):
        (told,) = ask(agent(client, tool, [{"x": 1}]))
    print(ended(str(told.content)) if told.status == "error" else told.content)
except pawl.PendingError:
    print("pending")
except pawl.Unknown:
    print("outcome_unknown")
except pawl.UnreachableError:
    print("unreachable")
