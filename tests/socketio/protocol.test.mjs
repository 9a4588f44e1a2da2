// Socket.IO, version 5 of its protocol: packet by packet, and with its own client. https://github.com/socketio/socket.io-protocol

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { io } from 'socket.io-client';
import { Wire, inTime, pause, start } from './protocol-server.mjs';

let server, url;
before(async () => {
  server = await start('--connect-timeout-ms', '400');
  url = `${server.url}/socket.io`;
});
after(() => server.stop());

/** Connected to this namespace, its greeting read. */
async function connected(namespace = '', auth = '') {
  const wire = new Wire(url);
  await wire.next();
  wire.send(`40${namespace}${auth}`);
  await wire.next();
  await wire.next();
  return wire;
}

test('a client is let in to the namespaces that there are, with its auth', async () => {
  for (const [namespace, auth] of [['', ''], ['', '{"token":"1","a":[null,2.5]}'], ['/custom,', ''], ['/custom,', '{"token":"ü"}']]) {
    const wire = new Wire(url);
    await wire.next();
    wire.send(`40${namespace}${auth}`);
    const answer = await wire.next();
    assert.ok(answer.startsWith(`40${namespace}{"sid":"`), answer);
    assert.equal(await wire.next(), `42${namespace}["auth",${auth || '{}'}]`);
    wire.close();
  }
  const wire = new Wire(url);
  await wire.next();
  wire.send('40/nowhere');
  assert.equal(await wire.next(), '44/nowhere,{"message":"Invalid namespace"}');
  wire.close();
});

test('who names no namespace, or says what is no packet first, is let go', async () => {
  const silent = new Wire(url);
  const answering = silent.next({ ms: 3_000 }).then(() => silent.next({ ms: 3_000 })).catch(() => {});
  await inTime('closed', silent.closed, 2_000);
  await answering;
  for (const packet of ['4abc', '4', '49', '42["message"]x', '40/custom,{']) {
    const wire = new Wire(url);
    await wire.next();
    wire.send(packet);
    await inTime(packet, wire.closed, 3_000);
  }
});

test('events come back whatever is in them', async () => {
  const wire = await connected();
  for (const args of ['', ',1', ',1,"2",{"3":[true]}', ',[1,[2]]', ',null,[],{},-1.5,9007199254740991', ',"ü 👋\\n\\u0000"', ',{"z":1,"a":2}']) {
    wire.send(`42["message"${args}]`);
    assert.equal(await wire.next(), `42["message-back"${args}]`);
    wire.send(`4277["message-with-ack"${args}]`);
    assert.equal(await wire.next(), `4377[${args.slice(1)}]`);
  }
  wire.close();
});

test('binary arguments come back, wherever they stand', async () => {
  const wire = await connected();
  const one = '{"_placeholder":true,"num":0}', two = '{"_placeholder":true,"num":1}';
  for (const args of [`${one},${two}`, `{"a":[${one}],"b":1},"x",[[${two}]]`]) {
    wire.send(`452-["message",${args}]`, Uint8Array.from([1, 2, 3]), Uint8Array.from([]));
    assert.equal(await wire.next(), `452-["message-back",${args}]`);
    assert.deepEqual([[...(await wire.next())], [...(await wire.next())]], [[1, 2, 3], []]);
    wire.send(`452-789["message-with-ack",${args}]`, Uint8Array.from([4]), Uint8Array.from([5]));
    assert.equal(await wire.next(), `462-789[${args}]`);
    assert.deepEqual([[...(await wire.next())], [...(await wire.next())]], [[4], [5]]);
  }
  wire.close();
});

test('the server asks for acknowledgements, too', async () => {
  const wire = await connected();
  wire.send('42["emit-with-ack","a",1]');
  const asked = /^42(\d+)\["emit-with-ack","a",1\]$/.exec(await wire.next());
  assert.ok(asked);
  wire.send(`43${asked[1]}["b",[2]]`);
  assert.equal(await wire.next(), '42["emit-with-ack","b",[2]]');
  // Once is enough, and of one that was not asked for nothing comes.
  wire.send(`43${asked[1]}["b"]`, '43999["b"]', '42["message"]');
  assert.equal(await wire.next(), '42["message-back"]');
  wire.close();
});

test('a packet that is none ends the connection', async () => {
  for (const packet of ['4abc', '42{}', '42abc["message",1]', '42["message"', '43["x"]', '451-["message",{"_placeholder":true,"num":0}]']) {
    const wire = await connected();
    wire.send(packet);
    // Text where a binary packet is due.
    if (packet.startsWith('451')) wire.send('42["message"]');
    await inTime(packet, wire.closed);
  }
  const wire = await connected();
  wire.send(Uint8Array.from([1]));
  await inTime('a binary packet that is not due', wire.closed);
});

test('namespaces of one connection are apart', async () => {
  const wire = await connected();
  wire.send('40/custom');
  assert.ok((await wire.next()).startsWith('40/custom,{"sid":'));
  assert.equal(await wire.next(), '42/custom,["auth",{}]');
  wire.send('42/custom,["message",1]');
  assert.equal(await wire.next(), '42/custom,["message-back",1]');
  wire.send('41/custom', '42["message",3]');
  assert.equal(await wire.next(), '42["message-back",3]');
  // As with Node's server: nobody speaks where they are not.
  wire.send('42/custom,["message",4]');
  await inTime('closed', wire.closed);
});

for (const [name, options] of [
  ['websocket', { transports: ['websocket'] }],
  ['long polling', { transports: ['polling'] }],
  ['polling, then websocket', {}],
]) {
  test(`socket.io-client says everything over ${name}`, async () => {
    for (const namespace of ['/', '/custom']) {
      const socket = io(`${server.url}${namespace}`, { forceNew: true, auth: { token: 'abc' }, ...options });
      const heard = (event) => inTime(event, new Promise((resolve) => socket.once(event, (...args) => resolve(args))));
      assert.deepEqual(await heard('auth'), [{ token: 'abc' }]);
      if (name.endsWith('then websocket')) {
        const { engine } = socket.io;
        if (engine.transport.name !== 'websocket') await inTime('upgrade', new Promise((resolve) => engine.once('upgrade', resolve)));
      }
      const args = [1, '2', { deep: [Buffer.from([1, 2, 3]), { b: Buffer.from([4]) }], c: null }, [Buffer.alloc(0)], Buffer.alloc(100_000, 7)];
      const back = heard('message-back');
      socket.emit('message', ...args);
      assert.deepEqual(await back, args);
      const acknowledged = new Promise((resolve) => socket.emit('message-with-ack', ...args, (...answer) => resolve(answer)));
      assert.deepEqual(await inTime('acknowledgement', acknowledged), args);
      socket.once('emit-with-ack', (...asked) => {
        const answered = heard('emit-with-ack');
        asked.pop()('answer', ...asked);
        answered.then((answer) => socket.emit('message', 'answered', ...answer));
      });
      const answered = heard('message-back');
      socket.emit('emit-with-ack', Buffer.from('x'), 2);
      assert.deepEqual(await answered, ['answered', 'answer', Buffer.from('x'), 2]);
      // Longer than a ping and its timeout.
      await pause(700);
      assert.ok(socket.connected);
      socket.disconnect();
    }
  });
}

test('who answers no pings is told nothing more, and comes back by itself', async () => {
  const socket = io(server.url, { forceNew: true, transports: ['websocket'], reconnectionDelay: 20 });
  await inTime('connect', new Promise((resolve) => socket.once('connect', resolve)));
  const first = socket.id;
  const gone = new Promise((resolve) => socket.once('disconnect', resolve));
  socket.io.engine._sendPacket = () => {};
  socket.io.engine.sendPacket = () => {};
  assert.match(await inTime('disconnect', gone), /transport|ping/);
  await inTime('connect', new Promise((resolve) => socket.once('connect', resolve)));
  assert.notEqual(socket.id, first);
  socket.disconnect();
});
