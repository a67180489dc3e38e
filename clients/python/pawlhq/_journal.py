"""What a process knows of a call with a key, on its disk before it acts on it.

Whoever has a journal open holds a lock on it, which dies with the process: so what is in it is
nobody else's. Each write is one line; a line that a crash cut short was never acted on.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from ._errors import SetupError

MAX_KEPT = 64 << 10  # bytes of a result; of a larger one only its digest is kept


def new_start_id() -> str:
    return secrets.token_hex(16)


class Journal:
    def __init__(self, path: Path, file: int) -> None:
        self._path = path
        self._file = file
        self.start_id = ""
        self.call_id = ""
        self.running = False  # from here on the function may have run
        self.asked = ""  # digest of tool and arguments; journals of earlier versions have none
        self.report: dict[str, Any] | None = None
        self.owed = False  # what is in it is still to be reported

    @classmethod
    def open(cls, folder: Path, key: str) -> Journal | None:
        """Opens or makes the journal of a key. None if somebody has it open."""
        path = folder / (hashlib.sha256(key.encode()).hexdigest() + ".json")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if os.name == "posix" and folder.stat().st_mode & 0o022:
                raise SetupError(f"other users of this machine may write to {folder}")
            return cls._open(path)
        except OSError as e:
            raise SetupError(
                f"calls with a key need a folder of their own; {folder}: {e.strerror}. "
                "Nothing was started; PAWL_DIR names another one"
            ) from e

    @classmethod
    def _open(cls, path: Path) -> Journal | None:
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not _lock(file):
                    os.close(file)
                    return None
                # Its holder may have removed it just before it let it go.
                if _same(path, file):
                    journal = cls(path, file)
                    journal._read()
                    return journal
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _read(self) -> None:
        with os.fdopen(os.dup(self._file), "rb") as f:
            lines = f.read().splitlines(keepends=True)
        for line in reversed(lines):
            try:
                last = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                continue
            if isinstance(last, dict) and last.get("start_id"):
                self.start_id = str(last["start_id"])
                self.call_id = str(last.get("call_id", ""))
                self.running = bool(last.get("running"))
                self.asked = str(last.get("asked", ""))
                self.report = last.get("report")
                return
        self.start_id = new_start_id()
        self.write()
        if os.name == "posix":
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def write(self) -> None:
        """Adds a line, which is on the disk when it returns. It begins a line, too: what a crash or a full
        disk has cut short before it has no end."""
        report = self.report
        if report and len(json.dumps(report.get("result"))) > MAX_KEPT:
            report = {**report, **digest_of(report["result"])}
            del report["result"]
        line = json.dumps({
            "start_id": self.start_id, "call_id": self.call_id,
            "running": self.running, "asked": self.asked, "report": report,
        })  # fmt: skip
        os.lseek(self._file, 0, os.SEEK_END)
        whole = f"\n{line}\n".encode()
        if os.write(self._file, whole) != len(whole):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        os.fsync(self._file)

    def close(self, done: bool) -> None:
        """Lets the journal go; it stays for a process that comes back, unless the call is done."""
        if done and not self.owed:
            with contextlib.suppress(OSError):  # what stays is found ended
                self._path.unlink()
        os.close(self._file)


def digest_of_call(tool: str, args: Any) -> str:
    """Tells calls apart as Pawl does: 1 and 1.0 are the same, and so are 0 and -0.0."""

    def number(text: str) -> float:
        return float(text) + 0.0

    numbers_alike = json.loads(json.dumps([tool, args]), parse_int=number, parse_float=number)
    return hashlib.sha256(json.dumps(numbers_alike, sort_keys=True).encode()).hexdigest()


def digest_of(result: Any) -> dict[str, Any]:
    """What is reported of a result that its caller keeps."""
    doc = json.dumps(result).encode()
    return {"result_digest": hashlib.sha256(doc).hexdigest(), "result_size": len(doc)}


def default_folder(url: str, agent: str) -> Path:
    if given := os.environ.get("PAWL_DIR"):
        return Path(given)
    state = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else Path.home() / ".local" / "state"
    name = hashlib.sha256(f"{url}\n{agent}".encode()).hexdigest()[:16]
    return base / "pawl" / "python" / name


def _same(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> bool:
        os.lseek(file, 1 << 30, os.SEEK_SET)  # beyond what is written, which others may read
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
