"""Starting a real server as a process of its own, and stopping it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30
USUAL = {"DOORWARD_SIGNUP__IDENTIFIER": "uid"}  # most tests want users at once; others name the mode


@dataclass(slots=True)
class Running:
    """A server that has greeted."""

    process: subprocess.Popen[str]
    greeting: str
    log: list[str]

    @property
    def port(self) -> int:
        """Where it listens."""
        found = re.search(r"API reference +https?://[^/]*:(\d+)/", self.greeting)
        assert found is not None, self.greeting
        return int(found[1])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit status."""
        self.process.send_signal(how)
        return self.process.wait(READY_SECONDS)

    def wait_for_log(self, text: str) -> str:
        """The log line that holds `text`, as soon as it is there."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            for line in self.log:
                if text in line:
                    return line
            time.sleep(0.05)
        raise AssertionError("\n".join([f"{text} is not in the log:", *self.log]))


@contextmanager
def running(
    module: str, *arguments: str, environ: Mapping[str, str] | None = None, under: Sequence[str] = ()
) -> Iterator[Running]:
    """Run `python -m module` until the block ends; it has greeted when the block begins.

    `under`: a command that runs another in its own place, such as strace -D.
    """
    process = subprocess.Popen(
        [*under, sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**USUAL, **(os.environ if environ is None else environ)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    reader = Thread(target=log.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        greeting = _greeting(process)
        if not greeting:  # it has closed its output, so it is about to end
            process.wait(READY_SECONDS)
            reader.join()
            raise AssertionError("\n".join(["the server did not start:", *log]))
        yield Running(process, greeting, log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()
        process.stderr.close()


def operate(*arguments: str, typed: str | None = None) -> str:
    """Run `doorward` with these arguments, in a process of its own; what it said.

    Where a browser is open there is an event loop already, and the command has one of its own.
    """
    done = subprocess.run(
        [sys.executable, "-m", "doorward.cli", *arguments],
        cwd=ROOT,
        env={**USUAL, **os.environ},
        input=typed,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(module: str, *arguments: str) -> tuple[int, str]:
    """Run what does not start; its exit status and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr


def _greeting(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "API reference" in line:
            break
    return "".join(lines)
