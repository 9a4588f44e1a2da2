// A TCP proxy whose connections can be cut and refused, as a network's can.
import net from 'node:net';

export async function startProxy(targetPort) {
  const sockets = new Set();
  let open = true;
  const proxy = net.createServer((client) => {
    if (!open) {
      client.destroy();
      return;
    }
    const server = net.connect(targetPort, '127.0.0.1');
    for (const [from, to] of [[client, server], [server, client]]) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    cut() {
      open = false;
      for (const socket of sockets) socket.resetAndDestroy();
    },
    mend() {
      open = true;
    },
    async stop() {
      this.cut();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}
