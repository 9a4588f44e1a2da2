// Rooms on plain Socket.IO: what its own chat example grows into with tokens, acknowledgements and the Redis adapter.

import { createServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import jwt from 'jsonwebtoken';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const { JWT_SECRET, REDIS_URL, LISTEN = '127.0.0.1:3000' } = process.env;
if (!JWT_SECRET) throw new Error('JWT_SECRET must be set');

const http = createServer();
const io = new Server(http, { adapter: await adapter() });

io.use((socket, next) => {
  try {
    socket.data.user = jwt.verify(socket.handshake.auth.token, JWT_SECRET, { algorithms: ['HS256'] }).sub;
    next();
  } catch {
    next(new Error('unauthorized'));
  }
});

io.on('connection', (socket) => {
  socket.on('join', async ({ roomId }, ack) => {
    await socket.join(roomId);
    ack?.({ ok: true });
  });
  socket.on('send', ({ roomId, clientMsgId, content }, ack) => {
    if (!socket.rooms.has(roomId)) return ack?.({ ok: false, error: 'not in this room' });
    io.to(roomId).emit('message', { roomId, senderId: socket.data.user, clientMsgId, content, ts: Date.now() });
    ack?.({ ok: true });
  });
});

/** Redis's where there is one, else the one in memory. */
async function adapter() {
  if (!REDIS_URL) return undefined;
  const publisher = createClient({ url: REDIS_URL });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) {
    client.on('error', (error) => console.error(`redis: ${error.message}`));
    await client.connect();
  }
  // Servers of several runs may use one Redis.
  return createAdapter(publisher, subscriber, { key: process.env.REDIS_PREFIX ?? 'socket.io' });
}

process.once('SIGTERM', () => io.close(() => process.exit(0)));
const [host, port] = LISTEN.split(/:(?=\d+$)/);
http.listen(Number(port), host, () => console.log(`listening on http://${host}:${http.address().port}`));
