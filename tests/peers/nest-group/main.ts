import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { JwtModule, type JwtSignOptions } from '@nestjs/jwt';
import { TypeOrmModule } from '@nestjs/typeorm';
import { createTables, database } from '../nest-common/database';
import { variable } from '../nest-common/environment';
import { serve } from '../nest-common/serve';
import { AuthController, AuthGuard } from './auth';
import { ChatGateway } from './chat.gateway';
import { ENTITIES } from './entities';
import { KafkaService, SENT } from './kafka.service';
import { PresenceService } from './presence.service';
import { RoomsController } from './rooms.controller';
import { WorkerService } from './worker.service';

const store = [TypeOrmModule.forRootAsync({ useFactory: () => database(ENTITIES) }), TypeOrmModule.forFeature(ENTITIES)];

const tokens = JwtModule.registerAsync({
  useFactory: () => ({
    secret: variable('JWT_SECRET'),
    signOptions: { expiresIn: variable('JWT_EXPIRES_IN', '1d') as JwtSignOptions['expiresIn'] },
    verifyOptions: { algorithms: ['HS256'] },
  }),
});

@Module({
  imports: [...store, tokens],
  controllers: [AuthController, RoomsController],
  providers: [AuthGuard, ChatGateway, KafkaService, PresenceService],
})
class GatewayModule {}

@Module({ imports: store, providers: [KafkaService, WorkerService] })
class WorkerModule {}

const logger = ['error' as const, 'warn' as const];

async function gateway() {
  const app = await NestFactory.create(GatewayModule, { logger });
  app.useGlobalPipes(new ValidationPipe({ transform: true }));
  await serve(app);
}

async function worker() {
  const app = await NestFactory.createApplicationContext(WorkerModule, { logger });
  app.enableShutdownHooks(['SIGTERM']);
  await app.get(WorkerService).start();
  console.log(`working on ${SENT}`);
}

async function main(role: string) {
  const run = { gateway, worker }[role];
  if (!run) throw new Error('usage: main.js gateway | worker');
  await createTables(ENTITIES);
  await run();
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
