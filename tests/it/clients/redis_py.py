"""redis-py through Segue: ordinary commands, then the same connection after a failover.

Usage: redis_py.py PORT PROTOCOL. One connection and no retries: a disconnection is a failure.
"""

import sys

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def ordinary(client):
    assert client.ping()
    assert client.set("text", "value")
    assert client.get("text") == "value"
    assert client.get("none") is None
    assert client.incrby("number", 5) == 5
    assert client.hset("hash", mapping={"a": 1, "b": 2}) == 2
    assert client.hgetall("hash") == {"a": "1", "b": "2"}
    assert client.rpush("list", "x", "y", "z") == 3
    assert client.lrange("list", 0, -1) == ["x", "y", "z"]
    assert client.sadd("set", "m", "n") == 2
    assert client.smembers("set") == {"m", "n"}
    assert client.zadd("scores", {"one": 1.5}) == 1
    assert client.zscore("scores", "one") == 1.5
    assert client.xadd("stream", {"field": "value"})
    assert client.xlen("stream") == 1
    assert client.expire("text", 1000)
    assert 0 < client.ttl("text") <= 1000
    assert client.eval("return {1, 'two', ARGV[1]}", 0, "three") == [1, "two", "three"]
    assert sorted(client.scan_iter(count=2)) == sorted(client.keys("*"))
    with client.pipeline(transaction=True) as pipe:
        assert pipe.incr("number").get("text").execute() == [6, "value"]
    with client.pipeline(transaction=False) as pipe:
        for n in range(100):
            pipe.set(f"many:{n}", n).get(f"many:{n}")
        assert pipe.execute() == [it for n in range(100) for it in (True, str(n))]
    assert list(client.blpop(["list"], timeout=1)) == ["list", "x"]
    assert client.info("server")["tcp_port"]
    try:
        client.incr("text")
    except redis.ResponseError as error:
        assert "not an integer" in str(error)
    else:
        raise AssertionError("the server's error was lost")


def main():
    port, protocol = map(int, sys.argv[1:])
    client = redis.Redis(
        port=port,
        protocol=protocol,
        decode_responses=True,
        single_connection_client=True,
        retry=Retry(NoBackoff(), 0),
        client_name="redis-py",
        socket_timeout=20,
    )
    ordinary(client)
    print("ordinary", flush=True)
    sys.stdin.readline()
    assert client.get("text") == "value"
    assert client.hgetall("hash") == {"a": "1", "b": "2"}
    assert client.client_getname() == "redis-py"
    assert client.set("after", "failover")
    print("carried on", flush=True)


main()
