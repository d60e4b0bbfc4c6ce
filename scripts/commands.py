#!/usr/bin/env python3
"""Writes the table of commands that Segue carries: src/pure/command/commands.txt.

    scripts/commands.py REDIS.json VALKEY.json > src/pure/command/commands.txt

Each JSON file describes what one server answers to COMMAND, as an object with a
`commands` object: name -> { name, flags, subcommands: [...], proxy: {...} }. `proxy` adds
what COMMAND does not tell: `rw`, `may_replicate` (hidden by the servers on purpose),
`blocking` and `session_state`.

One line a command, sorted by name: the name (`parent|sub` for a subcommand), the servers
that have it (`r` Redis, `v` Valkey), then words. A word is there if either server has it:

    container      has subcommands
    read, write    the server's own flag
    may_replicate  not flagged as a write, but changes what others see
    blocking       waits (`option`: only if an argument asks for it)
    state          changes the state of its connection
    admin, no_auth, no_multi, pubsub   the server's own flags
"""

import json
import sys

FLAGS = ("admin", "no_auth", "no_multi", "pubsub")
HEADER = """\
# Made by scripts/commands.py from COMMAND of redis-server 7.0 and valkey-server 9.1.
# name servers words...
"""


def commands(path):
    with open(path, encoding="utf-8") as file:
        for command in json.load(file)["commands"].values():
            yield command
            yield from command["subcommands"]


def words(command):
    proxy = command["proxy"]
    if command["subcommands"]:
        yield "container"
    # The server's flag and the derived field must tell the same.
    rw = {"readonly", "write"} & set(command["flags"])
    assert rw == {proxy["rw"]} - {"neither"}, command["name"]
    yield from ("read" if flag == "readonly" else flag for flag in rw)
    if proxy["may_replicate"]:
        yield "may_replicate"
    blocking = proxy.get("blocking", "")
    if blocking == "always":
        yield "blocking"
    elif blocking.startswith("only with"):
        yield "option"
    if "session_state" in proxy:
        yield "state"
    yield from (flag for flag in FLAGS if flag in command["flags"])


def main(redis, valkey):
    rows = {}
    for letter, path in (("r", redis), ("v", valkey)):
        for command in commands(path):
            servers, seen = rows.setdefault(command["name"], ("", set()))
            rows[command["name"]] = (servers + letter, seen | set(words(command)))
    sys.stdout.write(HEADER)
    for name, (servers, seen) in sorted(rows.items()):
        print(" ".join([name, servers, *sorted(seen)]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
