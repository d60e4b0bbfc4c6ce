// node-redis through Segue: ordinary commands, then the same connection after a failover.
//
// Usage: node_redis.cjs PORT PROTOCOL. No reconnection: a disconnection is a failure.

const assert = require('node:assert/strict');
const readline = require('node:readline');
const { createClient } = require('redis');

async function ordinary(client) {
  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.set('text', 'value'), 'OK');
  assert.equal(await client.get('text'), 'value');
  assert.equal(await client.get('none'), null);
  assert.equal(await client.incrBy('number', 5), 5);
  assert.equal(await client.hSet('hash', { a: 1, b: 2 }), 2);
  assert.deepEqual({ ...(await client.hGetAll('hash')) }, { a: '1', b: '2' });
  assert.equal(await client.rPush('list', ['x', 'y', 'z']), 3);
  assert.deepEqual(await client.lRange('list', 0, -1), ['x', 'y', 'z']);
  assert.equal(await client.zAdd('scores', { score: 1.5, value: 'one' }), 1);
  assert.equal(await client.zScore('scores', 'one'), 1.5);
  assert.deepEqual(await client.multi().incr('number').get('text').exec(), [6, 'value']);
  // Sent in one write, without waiting.
  const many = Array.from({ length: 100 }, (_, n) => [
    client.set(`many:${n}`, String(n)),
    client.get(`many:${n}`),
  ]);
  const replies = await Promise.all(many.flat());
  replies.forEach((reply, at) => {
    assert.equal(reply, at % 2 === 0 ? 'OK' : String((at - 1) / 2));
  });
  await assert.rejects(client.incr('text'), /not an integer/);
}

async function main() {
  const [port, protocol] = process.argv.slice(2).map(Number);
  const client = createClient({
    socket: { port, host: '127.0.0.1', reconnectStrategy: false },
    RESP: protocol,
    name: 'node-redis',
  });
  client.on('error', (error) => assert.fail(error));
  await client.connect();
  await ordinary(client);
  console.log('ordinary');
  const lines = readline.createInterface({ input: process.stdin });
  await lines[Symbol.asyncIterator]().next();
  assert.equal(await client.get('text'), 'value');
  assert.deepEqual({ ...(await client.hGetAll('hash')) }, { a: '1', b: '2' });
  assert.equal(await client.clientGetName(), 'node-redis');
  assert.equal(await client.set('after', 'failover'), 'OK');
  console.log('carried on');
  lines.close();
  client.destroy();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
