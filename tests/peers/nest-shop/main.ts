import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { JwtModule } from '@nestjs/jwt';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { createTables, database } from '../nest-common/database';
import { variable } from '../nest-common/environment';
import { serve } from '../nest-common/serve';
import { AuthGuard, TokenService } from './auth';
import { BuyerController, SellerController } from './chat.controller';
import { ChatGateway } from './chat.gateway';
import { ChatService } from './chat.service';
import { ChatMessage, ChatRoom, Store } from './entities';

const ENTITIES = [Store, ChatRoom, ChatMessage];

@Module({
  imports: [
    TypeOrmModule.forRootAsync({ useFactory: () => database(ENTITIES) }),
    TypeOrmModule.forFeature(ENTITIES),
    JwtModule.registerAsync({ useFactory: () => ({ secret: variable('JWT_SECRET'), verifyOptions: { algorithms: ['HS256'] } }) }),
  ],
  controllers: [BuyerController, SellerController],
  providers: [AuthGuard, ChatGateway, ChatService, TokenService],
})
class ShopModule {}

async function main([command, ...words]: string[]) {
  await createTables(ENTITIES);
  if (command === 'store' && words.length === 3) {
    const [id, ownerId, name] = words;
    const source = await new DataSource(database(ENTITIES)).initialize();
    await source.getRepository(Store).save({ id, ownerId, name });
    return source.destroy();
  }
  if (command) throw new Error('usage: main.js [store ID OWNER NAME]');
  const app = await NestFactory.create(ShopModule, { logger: ['error', 'warn'] });
  app.useGlobalPipes(new ValidationPipe({ transform: true }));
  await serve(app);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
