"""A forward proxy as companies have: it knows CONNECT, counts it, and passes bytes on."""

import socket
import threading


class ConnectProxy:
    """Listens on loopback until it is closed."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """For HTTPS_PROXY."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(inside,), daemon=True).start()

    def _serve(self, inside: socket.socket) -> None:
        with inside:
            head = b""
            while b"\r\n\r\n" not in head:
                part = inside.recv(4096)
                if not part:
                    return
                head += part
            verb, target, _ = head.split(b"\r\n", maxsplit=1)[0].decode().split(" ")
            if verb != "CONNECT":
                inside.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
                return
            self.targets.append(target)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as outside:
                inside.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pass_on, args=(outside, inside), daemon=True)
                back.start()
                _pass_on(inside, outside)
                back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return
