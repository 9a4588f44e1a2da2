import { Injectable, OnApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { createClient } from 'redis';
import { variable } from '../nest-common/environment';

const SECONDS = 60;

/** Who is online: `presence:user:{id}`, a field per socket. */
@Injectable()
export class PresenceService implements OnModuleInit, OnApplicationShutdown {
  private readonly redis = createClient({ url: variable('REDIS_URL') });

  async onModuleInit() {
    this.redis.on('error', (error) => console.error(`redis: ${error.message}`));
    await this.redis.connect();
  }

  async onApplicationShutdown() {
    await this.redis.close();
  }

  /** At connect, and every 20 s by the client's heartbeat. */
  async renew(user: string, socket: string) {
    const connection = JSON.stringify({ server: process.pid, connectedAt: Date.now() });
    await this.redis.multi().hSetNX(key(user), socket, connection).expire(key(user), SECONDS).exec();
  }

  async remove(user: string, socket: string) {
    await this.redis.hDel(key(user), socket);
  }

  async isOnline(user: string): Promise<boolean> {
    return (await this.redis.exists(key(user))) > 0;
  }

  async ping() {
    await this.redis.ping();
  }
}

const key = (user: string) => `presence:user:${user}`;
