"""A small client, and the check that a proxy gives everybody their own replies, in order."""

import socket


class WrongReply(Exception):
    """A reply that a correct proxy does not give."""


class Client:
    """RESP2, blocking, with a deadline on every read."""

    def __init__(self, port: int, timeout: float = 5.0, host: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection((host, port), timeout=timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()
        self._socket.close()

    def send(self, *commands: tuple) -> None:
        self._socket.sendall(b"".join(encode(it) for it in commands))

    def reply(self) -> bytes | int | None | list:
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise WrongReply(f"connection closed after {line!r}")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self.reply() for _ in range(int(rest))]
        if kind == b"+":
            return rest
        raise WrongReply(line.decode(errors="replace").strip())

    def call(self, *command) -> bytes | int | None | list:
        self.send(command)
        return self.reply()


def encode(command: tuple) -> bytes:
    args = [it if isinstance(it, bytes) else str(it).encode() for it in command]
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(it), it) for it in args)


def answers(port: int) -> bool:
    """Whether a value can be read and written through this port."""
    try:
        with Client(port, timeout=1.0) as client:
            return client.call("SET", "bench:ready", "1") == b"OK"
    except (OSError, WrongReply):
        return False


def value_of(key: str, size: int) -> bytes:
    """A value that names its key all over."""
    unit = f"[{key}]".encode()
    return (unit * (size // len(unit) + 1))[:size]


def check(port: int) -> None:
    """Small, pipelined and large values, from several clients at once; `WrongReply` if not."""
    clients = [Client(port) for _ in range(5)]
    try:
        for depth, size in [(1, 64), (16, 64), (64, 200), (4, 16 << 10), (2, 300_000)]:
            _check_pipelines(clients, depth, size)
    finally:
        for client in clients:
            client.__exit__()


def _check_pipelines(clients: list[Client], depth: int, size: int) -> None:
    def key(who: int, which: int) -> str:
        return f"bench:check:{size}:{who}:{which}"

    for who, client in enumerate(clients):
        keys = [key(who, which) for which in range(depth)]
        client.send(*(("SET", it, value_of(it, size)) for it in keys))
    for client in clients:
        for _ in range(depth):
            if (got := client.reply()) != b"OK":
                raise WrongReply(f"SET answered {got!r}")
    # Every client asks for all in an order of its own, before anybody reads.
    for who, client in enumerate(clients):
        client.send(*(("GET", key((who + i) % 5, i)) for i in range(depth)))
    for who, client in enumerate(clients):
        for i in range(depth):
            wanted = key((who + i) % 5, i)
            if (got := client.reply()) != value_of(wanted, size):
                raise WrongReply(f"{wanted} answered {got[:80] if got else got!r}")
    for who, client in enumerate(clients):
        for which in range(depth):
            client.call("DEL", key(who, which))
