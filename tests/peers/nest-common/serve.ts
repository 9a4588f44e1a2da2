import type { INestApplication } from '@nestjs/common';
import type { AddressInfo } from 'node:net';
import { variable } from './environment';

/** Serves on `LISTEN` until SIGTERM, and says where. */
export async function serve(app: INestApplication): Promise<void> {
  app.enableShutdownHooks(['SIGTERM']);
  const [host, port] = variable('LISTEN', '127.0.0.1:3000').split(/:(?=\d+$)/);
  await app.listen(Number(port), host);
  const address = app.getHttpServer().address() as AddressInfo;
  console.log(`listening on http://${host}:${address.port}`);
}
