"""What reviewers and the policy should know of calls, beyond tool and arguments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from ._api import seconds


@dataclass(frozen=True)
class About:
    reason: str = ""
    title: str = ""
    description: str = ""
    session: str = ""
    key: str = ""
    attempt_of: str = ""
    require_approval: bool = False
    timeout: float | None = None
    wait: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """What of it goes into a call."""
        given = {
            "reason": self.reason, "title": self.title, "description": self.description,
            "session": self.session, "attempt_of": self.attempt_of,
            "require_approval": self.require_approval, "labels": dict(self.labels),
            "timeout": None if self.timeout is None else seconds(self.timeout),
        }  # fmt: skip
        return {name: value for name, value in given.items() if value}


_about: ContextVar[About] = ContextVar("pawl_about")


def current() -> About:
    return _about.get(None) or About()


@contextlib.contextmanager
def about(
    *, reason: str = "", title: str = "", description: str = "", session: str = "", key: str = "",
    attempt_of: str = "", require_approval: bool = False, timeout: float | None = None,
    wait: float | None = None, labels: Mapping[str, str] | None = None,
) -> Iterator[None]:  # fmt: skip
    """Says what goes with the guarded calls that are made inside it. What is left out is that of the
    block around it; labels add up.

    reason, title, description: why the agent wants the call, for people.
    session: the conversation or task that it belongs to.
    key: an idempotency key. The same call under the same key is started once, also after a crash, and
        a process that comes back gets its one outcome. Another call under that key is ConflictError.
        Without a key, each call is a new one, and a process that was killed can't take it up.
    attempt_of: the ID of an earlier call that this one tries again; see retry.
    require_approval: ask people, whatever the policy says.
    timeout: seconds; shortens the policy's wait for people.
    wait: seconds after which PendingError ends the waiting. A call with a key goes on; one without is
        withdrawn, since nobody could take it up.
    """
    outer = current()
    given = {
        "reason": reason, "title": title, "description": description, "session": session, "key": key,
        "attempt_of": attempt_of, "require_approval": require_approval,
    }  # fmt: skip
    changes: dict[str, Any] = {name: value for name, value in given.items() if value}
    if timeout is not None:
        changes["timeout"] = timeout
    if wait is not None:
        changes["wait"] = wait
    token = _about.set(replace(outer, labels={**outer.labels, **(labels or {})}, **changes))
    try:
        yield
    finally:
        _about.reset(token)
