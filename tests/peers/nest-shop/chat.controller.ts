import { Body, Controller, Get, Param, ParseUUIDPipe, Post, Query, UseGuards } from '@nestjs/common';
import { AuthGuard, Caller, Roles, type User } from './auth';
import { ChatService } from './chat.service';
import { HistoryQuery, OpenRoom } from './dto';

@Controller('user/chat-room')
@UseGuards(AuthGuard)
export class BuyerController {
  constructor(private readonly chat: ChatService) {}

  @Post()
  open(@Caller() user: User, @Body() { storeId }: OpenRoom) {
    return this.chat.open(user, storeId);
  }

  @Get()
  rooms(@Caller() user: User) {
    return this.chat.roomsOfBuyer(user);
  }

  @Get(':roomId/messages')
  history(@Caller() user: User, @Param('roomId', ParseUUIDPipe) roomId: string, @Query() query: HistoryQuery) {
    return this.chat.history(user, roomId, 'USER', query);
  }

  @Post(':roomId/read')
  read(@Caller() user: User, @Param('roomId', ParseUUIDPipe) roomId: string) {
    return this.chat.read(user, roomId, 'USER');
  }
}

@Controller('seller/chat-room')
@UseGuards(AuthGuard)
@Roles('SELLER', 'ADMIN')
export class SellerController {
  constructor(private readonly chat: ChatService) {}

  @Get('store/:storeId')
  rooms(@Caller() user: User, @Param('storeId') storeId: string) {
    return this.chat.roomsOfStore(user, storeId);
  }

  @Get(':roomId/messages')
  history(@Caller() user: User, @Param('roomId', ParseUUIDPipe) roomId: string, @Query() query: HistoryQuery) {
    return this.chat.history(user, roomId, 'STORE', query);
  }

  @Post(':roomId/read')
  read(@Caller() user: User, @Param('roomId', ParseUUIDPipe) roomId: string) {
    return this.chat.read(user, roomId, 'STORE');
  }
}
