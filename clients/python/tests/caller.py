"""The process of one call in clients/cases.json. Standard input says what to ask for; it prints how
that ended."""

from __future__ import annotations

import json
import os
import signal
import sys

import pawlhq as pawl

asked = json.load(sys.stdin)
try:
    client = pawl.Client(asked["api"], token="", agent=asked["agent"], dir=asked["dir"])

    @client.guard(name=asked["tool"], attach=asked["attach"])
    def act(x: int) -> str:
        with open(asked["ran"], "a") as f:
            f.write("ran\n")
        if asked["dies"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if asked["unsure"]:
            raise pawl.Unknown("the line went dead")
        return "done"

    with pawl.about(key=asked["key"], wait=asked["wait"]):
        said = "executed" if act(1) == "done" else "another result"
except pawl.DeniedError as e:
    said = e.status + (f": {e.notes}" if e.notes else "")
except (pawl.Unknown, pawl.OutcomeUnknownError):
    said = "outcome_unknown"
except pawl.PendingError:
    said = "pending"
except pawl.UnreachableError:
    said = "unreachable"
print(said)
