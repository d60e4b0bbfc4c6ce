"""Holds idle sessions: `holder.py PORT COUNT`. Each has asked for something once, so that
whatever a proxy keeps for a session is there. Says `ready COUNT`; ends with its input."""

import socket
import sys


def main() -> int:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    request, reply = b"*2\r\n$3\r\nGET\r\n$8\r\nbench:64\r\n", b"$64\r\n"
    sessions = []
    for _ in range(count):
        session = socket.create_connection(("127.0.0.1", port), timeout=10)
        session.sendall(request)
        got = b""
        while len(got) < len(reply) + 66:
            part = session.recv(4096)
            if not part:
                print(f"closed after {len(sessions)}", flush=True)
                return 1
            got += part
        if not got.startswith(reply):
            print(f"wrong reply: {got[:80]!r}", flush=True)
            return 1
        sessions.append(session)
    print(f"ready {count}", flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
