"""The process that keeps the servers of one run of the tests.

It starts a server when it is first asked to, and ends all of them, and their folders, with the
process that has started it, however that one ends. ``tests.servers`` starts it, and talks to it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from multiprocessing.connection import Connection, Listener
from pathlib import Path

from .kinds import KINDS, ProgramMissing, Server

#: The time in which it sees that its parent has ended.
LOOK_SECONDS = 0.2

#: What may be asked of a server.
ACTIONS = {"start", "stop", "restart"}


def answer(servers: dict[str, Server], name: str, action: str) -> tuple[str, str]:
    """Do what is asked of a server, and return what became of it."""
    if action not in ACTIONS:
        return "failed", f"A server cannot be told to {action}."
    try:
        getattr(servers[name], action)()
    except ProgramMissing as error:
        return "missing", str(error)
    except Exception:
        return "failed", traceback.format_exc()
    return "done", ""


def serve(listener: Listener, servers: dict[str, Server]) -> None:
    """Answer everybody who asks, side by side, until the listener is closed."""

    def talk(connection: Connection) -> None:
        with connection:
            connection.send(answer(servers, *connection.recv()))

    while True:
        try:
            connection = listener.accept()
        except OSError:  # the listener was closed: the keeper ends
            return
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def main() -> None:
    """Keep the servers until the parent ends, or until SIGTERM."""
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    folder = Path(tempfile.mkdtemp(prefix="cereal-servers-"))
    folder.chmod(0o711)  # the servers' users pass through it
    servers = {name: kind(folder / name) for name, kind in KINDS.items()}
    try:
        with Listener(str(folder / "socket"), "AF_UNIX", backlog=16) as listener:
            threading.Thread(target=serve, args=(listener, servers), daemon=True).start()
            ports = {name: server.port for name, server in servers.items()}
            print(json.dumps({"socket": listener.address, "ports": ports}), flush=True)
            while os.getppid() == parent:
                time.sleep(LOOK_SECONDS)
    finally:
        for server in servers.values():
            server.end()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
