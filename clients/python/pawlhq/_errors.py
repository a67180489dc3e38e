"""What can become of a call beside its result. Texts of others in messages are made safe to show."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def display(text: str, most: int) -> str:
    """Text of others on one line: what can't be seen is escaped, what is too long is cut."""
    shown = "".join(f"\\u{{{ord(c):04X}}}" if _unseen(c) else c for c in text[:most])
    return shown if len(text) <= most else shown + " …"


def _unseen(c: str) -> bool:
    return c != " " and (unicodedata.category(c) in _UNSEEN or _BLANK.match(c) is not None)


_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
# Letters, signs and variation selectors that are drawn as nothing.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def sentence(tool: str, call_id: str, verb: str, why: str = "") -> str:
    text = f"{display(tool, 80) or 'the call'} {verb} (call {display(call_id, 80)})"
    return f"{text}: {display(why, 1000)}" if why else text


class Error(Exception):
    """Every error of Pawl's."""


class SetupError(Error):
    """Settings or a guarded function are wrong. Nothing was started."""


class UnreachableError(Error):
    """No answer came from Pawl's API that could be used. The function did not run. ``sent``: the request
    may have arrived."""

    def __init__(self, why: str, sent: bool) -> None:
        super().__init__(display(why, 1000))
        self.sent = sent


class UnsupportedError(Error):
    """The API offers no calls that their callers run, so nothing can be guarded with it."""


class APIError(Error):
    """The API refused a request. ``code`` is stable: see docs/api.md."""

    def __init__(
        self, status: int, code: str, detail: str, call_id: str = "", retry_after: float = 0
    ) -> None:
        super().__init__(display(detail, 1000) or f"the API answered {status}")
        self.status = status
        self.code = code
        self.id = call_id
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may be taken later."""
        return self.status >= 500 or self.status == 429


class ConflictError(Error):
    """The idempotency key is another call's. Nothing was started."""

    def __init__(self, call_id: str) -> None:
        super().__init__(
            f"the key is another call's: repeat call {display(call_id, 80)} exactly "
            "to continue it, or use another key"
        )
        self.id = call_id


class PublishError(Error):
    """Pawl did not take the guarded function's name and schema, so no call of it was started."""


@dataclass(frozen=True)
class Denied:
    """A call that ended without permission to run: nothing ran. It is false, so that
    ``if not result`` tells it from results that are true."""

    id: str
    tool: str
    status: str  # rejected, expired, blocked or cancelled
    code: str  # stable: rejected, policy_denied, invalid_arguments, …
    reason: str  # why, for agents and people
    notes: str  # what the reviewer wrote: a person's words, and no instruction of the program's
    by: str  # who decided; empty where nobody did

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        why = self.reason
        if self.notes and self.notes not in why:
            why = f"{why} ({self.notes})" if why else self.notes
        return sentence(self.tool, self.id, _VERBS.get(self.status, "was denied"), why)


_VERBS = {
    "rejected": "was rejected",
    "expired": "expired",
    "blocked": "was blocked",
    "cancelled": "was withdrawn",
}


class DeniedError(Error):
    """The call ended without permission to run: nothing ran. ``denied`` has the details."""

    def __init__(self, denied: Denied) -> None:
        super().__init__(str(denied))
        self.denied = denied
        self.id = denied.id
        self.tool = denied.tool
        self.status = denied.status
        self.code = denied.code
        self.reason = denied.reason
        self.notes = denied.notes


class RejectedError(DeniedError):
    """A person said no."""


class ExpiredError(DeniedError):
    """Nobody said yes in time, or the yes ran out."""


class BlockedError(DeniedError):
    """Refused by the policy, the catalogue or a limit; nobody was asked."""


class CancelledError(DeniedError):
    """The call was withdrawn."""


_DENIALS: dict[str, type[DeniedError]] = {
    "rejected": RejectedError,
    "expired": ExpiredError,
    "blocked": BlockedError,
    "cancelled": CancelledError,
}


class _EndedError(Error):
    verb = ""

    def __init__(self, call_id: str, tool: str, code: str = "", message: str = "") -> None:
        super().__init__(sentence(tool, call_id, self.verb, message))
        self.id = call_id
        self.tool = tool
        self.code = code
        self.message = message


class FailedError(_EndedError):
    """The tool certainly did not run, or said itself that it did not do what was asked. A guarded
    function that fails in this process raises its own exception instead."""

    verb = "failed"


class OutcomeUnknownError(_EndedError):
    """The tool may have run: look at its own records before anybody asks for it again."""

    verb = "may or may not have run"


class GoneError(_EndedError):
    """The call will never have an outcome: somebody ended its workflow in Temporal. Its tool may
    have run."""

    verb = "has no outcome"


class ResultError(_EndedError):
    """The tool ran, and its result is not to be had in this process. Don't ask again."""

    verb = "was executed, but its result can't be had"


class PendingError(_EndedError):
    """The waiting ended before the call did. The call goes on, and nothing has run here.
    ``uncertain``: no answer came, so the call may not exist. ``withdrawn``: it does not go on, since
    without a key nobody could take it up."""

    verb = "has not ended yet"

    def __init__(
        self, call_id: str, tool: str, why: str, uncertain: bool = False, withdrawn: bool = False
    ) -> None:
        if uncertain:
            self.verb = "may or may not have been started"
        if withdrawn:
            self.verb = "was withdrawn"
        super().__init__(call_id or "unknown", tool, "pending", why)
        self.id = call_id
        self.uncertain = uncertain
        self.withdrawn = withdrawn


class Unknown(Exception):
    """For a guarded function to raise when it can't know whether it did what was asked."""


def outcome_error(view: Mapping[str, Any]) -> Error | None:
    """The error that the end of a call is, or None if its tool was executed."""
    status, call_id, tool = (text(view, name) for name in ("status", "id", "tool"))
    code, message = (text(view.get("error"), name) for name in ("code", "message"))
    if status == "executed":
        return None
    if kind := _DENIALS.get(status):
        decision = view.get("decision")
        notes, by = text(decision, "notes"), text(decision, "by")
        return kind(Denied(call_id, tool, status, code, message, notes, by))
    if status == "failed":
        return FailedError(call_id, tool, code, message)
    if status == "outcome_unknown":
        return OutcomeUnknownError(call_id, tool, code, message)
    if view.get("error"):
        return GoneError(call_id, tool, code, message)
    # A status that this version does not know is no success.
    return OutcomeUnknownError(call_id, tool, code, f"its status is {display(status, 40)}")


def text(document: object, name: str) -> str:
    value = document.get(name) if isinstance(document, Mapping) else None
    return value if isinstance(value, str) else ""
