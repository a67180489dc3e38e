"""Those who decide in the tests: where they fail, the test says why, and does not hang."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from conftest import Fake, People, json_answer


def test_who_decides_fails() -> None:
    def fail() -> None:
        raise ValueError("why nobody decides")

    def wrong() -> None:
        raise AssertionError("nobody decided")

    ends: dict[str, Callable[[], None]] = {
        "nothing": lambda: None,
        "sleep": lambda: time.sleep(20),
        "lock": lambda: threading.Event().wait(20) and None,
        "asyncio": lambda: asyncio.run(asyncio.sleep(20)),
        "an exception": wrong,
    }
    for end, block in ends.items():
        began = time.monotonic()
        with pytest.raises(ValueError, match="why nobody decides"), People("")._beside(fail):
            block()
        assert time.monotonic() - began < 10, end


def test_the_block_fails_alone() -> None:
    with pytest.raises(KeyError, match="the block"), People("")._beside(lambda: None):
        raise KeyError("the block")


def test_refused_decisions(fake: Fake) -> None:
    fake.answers["/approve"] = json_answer(409, {"code": "stale", "detail": "it was edited"})
    with pytest.raises(OSError) as e:
        People(fake.url).approve("pawl-1")
    assert "it was edited" in e.value.__notes__[0]
