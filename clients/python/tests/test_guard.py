"""Guarded functions on a real Pawl."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import BAD_ENDS, People, until

import pawlhq as pawl

Name = Callable[[str], str]


def test_allowed(client: pawl.Client, name: Name, people: People) -> None:
    ids = []

    @client.guard(name=name("free"))
    def add(a: int, b: int = 2, *more: int, **named: int) -> int:
        """Adds up."""
        ids.append(pawl.call_id())
        return a + b + sum(more) + sum(named.values())

    assert add(1) == 3
    assert add(1, 2, 3, 4, d=5) == 15
    assert pawl.call_id() == ""
    assert len(set(ids)) == 2
    assert [people.status(i) for i in ids] == ["executed", "executed"]
    assert add.__name__ == "add"
    assert add.__doc__ == "Adds up."


def test_arguments_are_checked(client: pawl.Client, name: Name) -> None:
    @client.guard(name=name("free"))
    def add(a: int) -> None:
        pytest.fail("it ran")

    with pytest.raises(pawl.BlockedError) as e:
        add("1")  # type: ignore[arg-type]
    assert e.value.code == "invalid_arguments"
    with pytest.raises(TypeError):
        add()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"2\^53"):
        add(2**60)
    with pytest.raises(TypeError, match="argument a holds a object"):
        add(object())  # type: ignore[arg-type]


def test_approved_runs_what_was_approved(client: pawl.Client, name: Name, people: People) -> None:
    tool, given = name("ask"), {"to": ["a"]}

    @client.guard(name=tool)
    def send(mail: dict[str, Any]) -> dict[str, Any]:
        return mail

    got = []
    thread = threading.Thread(target=lambda: got.append(send(given)))
    thread.start()
    call_id = people.wait_for(tool)[0]
    given["to"].append("b")  # after it was asked for
    people.approve(call_id)
    thread.join(30)
    assert got == [{"to": ["a"]}]
    assert people.status(call_id) == "executed"


def test_what_changed_is_not_run(client: pawl.Client, name: Name, people: People) -> None:
    @dataclasses.dataclass
    class Mail:
        to: str

    tool, mail, errors = name("ask"), Mail("a"), []

    @client.guard(name=tool)
    def send(mail: Mail) -> None:
        pytest.fail("it ran")

    def call() -> None:
        try:
            send(mail)
        except pawl.Error as e:
            errors.append(str(e))

    thread = threading.Thread(target=call)
    thread.start()
    call_id = people.wait_for(tool)[0]
    mail.to = "b"
    people.approve(call_id)
    thread.join(30)
    assert errors == ["argument mail is not what was approved any more"]
    assert until(lambda: people.status(call_id) == "failed")


@pytest.mark.parametrize("kind", ["deny", "ask", "hasty"])
def test_denied(client: pawl.Client, name: Name, people: People, kind: str) -> None:
    tool = name(kind)
    want = {"deny": pawl.BlockedError, "ask": pawl.RejectedError, "hasty": pawl.ExpiredError}[kind]

    def act(x: int) -> str:
        pytest.fail("it ran")

    raising = client.guard(name=tool)(act)
    with people.reject_next(tool, "not now") if kind == "ask" else people._beside(lambda: None):
        with pytest.raises(want) as e:
            raising(1)
    assert e.value.id.startswith("pawl-")
    assert e.value.tool == tool
    if kind == "ask":
        assert e.value.notes == "not now"
        assert e.value.denied.by == "ana"
        assert "not now" in str(e.value)
    if kind != "deny":
        return
    returning = client.guard(name=tool, on_denied="return")(act)
    denied = returning(1)
    assert isinstance(denied, pawl.Denied)
    assert not denied
    assert denied.code == "policy_denied"


def test_own_exceptions(client: pawl.Client, name: Name, people: People) -> None:
    ids: list[str] = []

    def raising(tool: str, error: BaseException) -> Callable[[], None]:
        @client.guard(name=tool)
        def act() -> None:
            ids.append(pawl.call_id())
            raise error

        return act

    tool = name("free")
    for error, status in [
        (ValueError("no such order"), "failed"),
        (pawl.Unknown("the connection broke"), "outcome_unknown"),
        (TimeoutError(), "outcome_unknown"),
        (ConnectionResetError(), "outcome_unknown"),
        (ConnectionRefusedError(), "failed"),
        (SystemExit(3), "outcome_unknown"),
    ]:
        with pytest.raises(type(error)) as e:
            raising(tool, error)()
        assert e.value is error
        assert until(lambda status=status: people.status(ids[-1]) == status), error


def test_generators(client: pawl.Client, name: Name, people: People) -> None:
    ran: list[str] = []
    ids: list[str] = []

    @client.guard(name=name("free"))
    def count(n: int) -> Iterator[int]:
        ids.append(pawl.call_id())
        yield from range(n)
        ran.append("ended")

    items = count(3)
    assert ids == []  # it asks when the first item is wanted
    assert list(items) == [0, 1, 2]
    assert ran == ["ended"]
    assert people.result(ids[0]) == [0, 1, 2]
    started = count(3)
    assert next(started) == 0
    started.close()  # type: ignore[attr-defined]
    assert until(lambda: people.status(ids[1]) == "outcome_unknown")  # who knows what is left undone
    assert ran == ["ended"]

    @client.guard(name=name("deny"))
    def never() -> Iterator[int]:
        ran.append("never")
        yield 1

    with pytest.raises(pawl.BlockedError):
        next(never())
    assert ran == ["ended"]


def test_generators_that_are_talked_to(client: pawl.Client, name: Name, people: People) -> None:
    """What is sent, thrown and closed reaches the function, and what it returns its caller."""
    ids: list[str] = []
    closed: list[str] = []

    @client.guard(name=name("free"))
    def talk() -> Generator[list[Any], Any, str]:
        ids.append(pawl.call_id())
        said = "begun"
        try:
            while said != "enough":
                try:
                    said = yield [said, pawl.call_id() == ids[-1]]
                except ValueError as e:
                    said = f"caught {e}"
        finally:
            closed.append(pawl.call_id())
        return "bye"

    talking = talk()
    with pytest.raises(TypeError):
        talking.send("too early")
    assert ids == []
    talking = talk()
    assert next(talking) == ["begun", True]
    assert pawl.call_id() == ""  # others run between the items
    assert talking.send("more") == ["more", True]
    assert talking.throw(ValueError("that")) == ["caught that", True]
    with pytest.raises(StopIteration) as end:
        talking.send("enough")
    assert end.value.value == "bye"
    assert people.result(ids[0]) == [["begun", True], ["more", True], ["caught that", True]]

    talking = talk()
    next(talking)
    error = KeyError("not caught")
    with pytest.raises(KeyError) as e:
        talking.throw(error)
    assert e.value is error
    assert people.status(ids[1]) == "failed"

    talking = talk()
    next(talking)
    talking.close()
    assert until(lambda: people.status(ids[2]) == "outcome_unknown")
    assert closed == ids
    assert pawl.call_id() == ""


@pytest.mark.parametrize("end", BAD_ENDS)
def test_generators_that_end_badly(
    client: pawl.Client, name: Name, people: People, end: Callable[[], None]
) -> None:
    """One that is closed early does not say what it left undone, whatever its end raises."""
    ids = []

    @client.guard(name=name("free"))
    def count() -> Generator[int, None, None]:
        ids.append(pawl.call_id())
        try:
            yield 1
        finally:
            end()

    counting = count()
    next(counting)
    with pytest.raises((ValueError, KeyError, ConnectionRefusedError)):
        counting.close()
    with pytest.raises((ValueError, KeyError, ConnectionRefusedError)):
        list(count())
    assert [people.status(i) for i in ids] == ["outcome_unknown", "failed"]


def test_functions_that_only_begin(client: pawl.Client, name: Name, people: People) -> None:
    """What runs on behind a plain function is nobody's to report as done."""
    ran: list[str] = []

    async def later() -> None:
        ran.append("it ran")

    def items() -> Iterator[int]:
        ran.append("it ran")
        yield 1

    async def async_items() -> AsyncIterator[int]:
        ran.append("it ran")
        yield 1

    def begun(make: Callable[[], Any]) -> str:
        ids = []

        @client.guard(name=f"{name('free')}.{make.__name__}")
        def begin() -> Any:
            ids.append(pawl.call_id())
            return make()

        with pytest.raises(pawl.Unknown, match="async def"):
            begin()
        return people.status(ids[0])

    assert [begun(make) for make in (later, items, async_items)] == ["outcome_unknown"] * 3
    assert ran == []


def test_keys(client: pawl.Client, name: Name, tmp_path: Path) -> None:
    ran: list[int] = []
    made = {"key": lambda order: f"{name('k')}-{order}"}
    refund = client.guard(name=name("free"), **made)(_refund(ran))
    assert refund(1) == {"paid": 1}
    assert refund(1) == {"paid": 1}  # found again
    assert refund(2) == {"paid": 2}
    assert ran == [1, 2]
    with pawl.about(key=f"{name('k')}-1"), pytest.raises(pawl.ConflictError):
        refund(3)
    assert ran == [1, 2]
    assert list((tmp_path / "journal").iterdir()) == []


def _refund(ran: list[int]) -> Callable[[int], Any]:
    def refund(order: int) -> Any:
        ran.append(order)
        return {"paid": order}

    return refund


def test_results_that_are_not_kept(client: pawl.Client, name: Name) -> None:
    @client.guard(name=name("free"), key=lambda kind: f"{name('k')}-{kind}")
    def make(kind: str) -> Any:
        return {"object": object(), "large": "x" * (2 << 20), "none": None}[kind]

    make("object"), make("large"), make("none")
    assert make("none") is None
    for kind in ("object", "large"):
        with pytest.raises(pawl.ResultError):
            make(kind)


def test_waiting_says_where(api: str, name: Name, people: People, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[pawl.Waiting] = []
    by_default = pawl.Client(api, token="", agent="tester")._on_wait

    def tell(waiting: pawl.Waiting) -> None:
        told.append(waiting)
        by_default(waiting)
        people.approve(waiting.id)

    client = pawl.Client(api, token="", agent="tester", on_wait=tell)
    assert client.guard(name=name("ask"))(_refund([]))(1) == {"paid": 1}
    assert [w.status for w in told] == ["pending"]
    assert told[0].url == f"{api}/requests/{told[0].id}"
    assert told[0].deadline is not None
    assert told[0].command == f"pawl approve {told[0].id} --as YOU"
    said = capfd.readouterr()
    assert said.out == ""
    assert told[0].url in said.err
    assert told[0].command in said.err
    assert all(len(line) <= 80 for line in said.err.splitlines())


def test_the_waiting_ends(client: pawl.Client, name: Name, people: People) -> None:
    tool = name("ask")
    act = client.guard(name=tool)(_refund([]))
    with pawl.about(wait=0.3), pytest.raises(pawl.PendingError) as e:
        act(1)
    # Nobody could take it up without a key: so it does not wait for people either, and says so.
    assert until(lambda: people.status(e.value.id) == "cancelled")
    assert e.value.withdrawn
    said = f"{tool} was withdrawn (call {e.value.id}): nobody decided in time. Without a key"
    assert str(e.value).startswith(said)
    assert str(e.value).endswith("give it a key= to keep it")
    with pawl.about(wait=0.3, key=tool), pytest.raises(pawl.PendingError, match="has not ended yet") as e:
        act(1)
    assert not e.value.withdrawn
    assert people.status(e.value.id) == "pending"
    people.approve(e.value.id)
    with pawl.about(key=tool):
        assert act(1) == {"paid": 1}


def test_about(client: pawl.Client, name: Name, people: People) -> None:
    tool = name("ask")
    act = client.guard(name=tool, exclude=["secret"])(lambda order, secret: order)
    with pawl.about(reason="lost parcel", labels={"a": "1"}):
        with pawl.about(title="Refund", session="s-1", labels={"b": "2"}, timeout=60):
            seen: dict[str, Any] = {}
            with people._beside(lambda: seen.update(_seen(people, tool))):
                assert act(1, "hidden") == 1
    assert (seen["reason"], seen["title"], seen["session"]) == ("lost parcel", "Refund", "s-1")
    assert seen["labels"] == {"a": "1", "b": "2"}
    assert seen["args"] == {"order": 1}
    assert seen["agent"] == "tester"


def _seen(people: People, tool: str) -> dict[str, Any]:
    call_id = people.wait_for(tool)[0]
    seen: dict[str, Any] = people.send("GET", f"/api/requests/{call_id}")
    people.approve(call_id)
    return seen


def test_tools_of_workers(client: pawl.Client, people: People) -> None:
    tool = "delete_account"
    with people.approve_next(tool):
        client.call(tool, customer_id="c-1")
    with people.reject_next(tool, "keep it"), pytest.raises(pawl.RejectedError) as e:
        client.call(tool, {"customer_id": "c-2"})
    with pytest.raises(pawl.RejectedError):
        client.result(e.value.id)
    with pytest.raises(pawl.APIError) as unknown:
        client.result("pawl-nobody")
    assert unknown.value.code == "unknown"
    guarded = client.guard(name=tool)(_refund([]))
    with pytest.raises(pawl.PublishError, match="delete_account"):
        guarded(1)


@pytest.mark.parametrize("key", ["", "k"])
def test_retry(client: pawl.Client, name: Name, people: People, key: str) -> None:
    tool, ran = name("ask"), []
    refund = client.guard(name=tool)(_refund(ran))

    def redraft(arguments: dict[str, Any], rejected: pawl.RejectedError) -> dict[str, Any]:
        assert rejected.notes == "less"
        return {"order": arguments["order"] - 1}

    with people.reject_then_approve(tool, "less"), pawl.about(key=key and name(key)):
        assert pawl.retry(2, redraft)(refund)(7) == {"paid": 6}
    assert ran == [6]
    with people.reject_next(tool, "no"), pytest.raises(pawl.RejectedError):
        pawl.retry(0, redraft)(refund)(7)


def test_names(client: pawl.Client) -> None:
    with pytest.raises(pawl.SetupError, match="no name of a tool"):
        client.guard(lambda: None)
    with pytest.raises(pawl.SetupError, match="takes no y"):
        client.guard(name="x", exclude=["y"])(lambda x: None)
    with pytest.raises(pawl.SetupError, match="not for generators"):
        client.guard(name="x", on_denied="return")(_one)
    for key in ("k-77", ""):
        with pytest.raises(pawl.SetupError, match=r"^key takes a function of the arguments, such as"):
            client.guard(name="x", key=key)(lambda x: None)  # type: ignore[call-overload]


def _one() -> Iterator[int]:
    yield 1


class Robot:
    def __init__(self, client: pawl.Client, tool: str) -> None:
        self.move = client.guard(name=tool)(self.move)  # type: ignore[method-assign]

    def move(self, metres: float) -> float:
        return metres


def test_methods(client: pawl.Client, name: Name) -> None:
    assert Robot(client, name("free")).move(1.5) == 1.5

    class Other:
        @client.guard(name=name("free") + "x")
        def move(self, metres: float) -> float:
            assert isinstance(self, Other)
            return metres

    assert Other().move(2) == 2
