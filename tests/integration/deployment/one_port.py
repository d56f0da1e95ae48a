"""Runs a command in a network of its own, of which one port leads out. Started within `unshare --net`; see `Gate`.

    python one_port.py PORT SOCKET COMMAND ...

Nothing is there but loopback, on which it listens at PORT. Each connection is passed on through the Unix socket, which
is no network: on the other side a test connects it to its server. A firewall that lets one port out does the same.
"""

import contextlib
import fcntl
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

Connect = Callable[[], socket.socket]

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1


def main() -> int:
    """Do it, and end with the command's exit status."""
    port, outside, *command = sys.argv[1:]
    _raise_loopback()
    Path(outside).with_suffix(".interfaces").write_text(json.dumps(socket.if_nameindex()))
    listening = socket.create_server(("127.0.0.1", int(port)))
    threading.Thread(target=serve, args=(listening, lambda: _unix(outside)), daemon=True).start()
    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    return process.wait()


def serve(listening: socket.socket, connect: Connect) -> None:
    """Pass every connection on until the socket is closed."""
    while True:
        try:
            inside, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(inside, connect), daemon=True).start()


def _join(inside: socket.socket, connect: Connect) -> None:
    with inside, contextlib.suppress(OSError), connect() as outside:
        back = threading.Thread(target=_pass_on, args=(outside, inside), daemon=True)
        back.start()
        _pass_on(inside, outside)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


def _unix(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    return link


def _raise_loopback() -> None:
    """Do what `ip link set lo up` does."""
    with socket.socket() as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _GET_FLAGS, asked))
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


if __name__ == "__main__":
    sys.exit(main())
