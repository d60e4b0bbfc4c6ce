// ioredis through Segue: ordinary commands, then the same connection after a failover.
//
// Usage: ioredis.cjs PORT 2. No reconnection: a disconnection is a failure.

const assert = require('node:assert/strict');
const readline = require('node:readline');
const Redis = require('ioredis');

async function ordinary(client) {
  assert.equal(await client.ping(), 'PONG');
  assert.equal(await client.set('text', 'value'), 'OK');
  assert.equal(await client.get('text'), 'value');
  assert.equal(await client.get('none'), null);
  assert.equal(await client.incrby('number', 5), 5);
  assert.equal(await client.hset('hash', { a: 1, b: 2 }), 2);
  assert.deepEqual({ ...(await client.hgetall('hash')) }, { a: '1', b: '2' });
  assert.equal(await client.rpush('list', 'x', 'y', 'z'), 3);
  assert.deepEqual(await client.lrange('list', 0, -1), ['x', 'y', 'z']);
  assert.deepEqual(await client.multi().incr('number').get('text').exec(), [
    [null, 6],
    [null, 'value'],
  ]);
  const many = client.pipeline();
  for (let n = 0; n < 100; n += 1) many.set(`many:${n}`, n).get(`many:${n}`);
  const replies = await many.exec();
  replies.forEach(([error, reply], at) => {
    assert.equal(error, null);
    assert.equal(reply, at % 2 === 0 ? 'OK' : String((at - 1) / 2));
  });
  assert.equal(await client.eval("return redis.call('GET', KEYS[1])", 1, 'text'), 'value');
  await assert.rejects(client.incr('text'), /not an integer/);
}

async function main() {
  const client = new Redis({
    port: Number(process.argv[2]),
    retryStrategy: null,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectionName: 'ioredis',
  });
  client.on('error', (error) => assert.fail(error));
  await ordinary(client);
  console.log('ordinary');
  const lines = readline.createInterface({ input: process.stdin });
  await lines[Symbol.asyncIterator]().next();
  assert.equal(await client.get('text'), 'value');
  assert.equal(await client.client('GETNAME'), 'ioredis');
  assert.equal(await client.set('after', 'failover'), 'OK');
  console.log('carried on');
  client.disconnect();
  lines.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
