import { BadRequestException, Body, Controller, ForbiddenException, Get, NotFoundException, Param, Post, Query, UseGuards } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { In, LessThan, MoreThan, Repository } from 'typeorm';
import { ulid } from 'ulid';
import { AuthGuard, Caller } from './auth';
import { HistoryQuery, NewRoom, ReadMark } from './dto';
import { Message, Room, RoomMember } from './entities';
import { PresenceService } from './presence.service';

@Controller('rooms')
@UseGuards(AuthGuard)
export class RoomsController {
  constructor(
    private readonly presence: PresenceService,
    @InjectRepository(Room) private readonly rooms: Repository<Room>,
    @InjectRepository(RoomMember) private readonly members: Repository<RoomMember>,
    @InjectRepository(Message) private readonly messages: Repository<Message>,
  ) {}

  @Post()
  async create(@Caller() userId: string, @Body() { name }: NewRoom) {
    const { id, createdAt } = await this.rooms.save({ id: ulid(), name: name ?? null, createdBy: userId });
    await this.members.save({ roomId: id, userId });
    return { id, name: name ?? null, createdAt };
  }

  @Post(':roomId/join')
  async join(@Caller() userId: string, @Param('roomId') roomId: string) {
    if (!(await this.rooms.existsBy({ id: roomId }))) throw new NotFoundException('there is no such room');
    await this.members.createQueryBuilder().insert().values({ roomId, userId }).orIgnore().execute();
    return { success: true, roomId };
  }

  @Get()
  async mine(@Caller() userId: string) {
    const memberships = await this.members.findBy({ userId });
    return this.rooms.find({ where: { id: In(memberships.map(({ roomId }) => roomId)) }, order: { id: 'DESC' } });
  }

  @Get(':roomId/members')
  async list(@Caller() userId: string, @Param('roomId') roomId: string) {
    await this.mustBeMember(userId, roomId);
    const members = await this.members.findBy({ roomId });
    return Promise.all(members.map(async ({ userId, joinedAt }) => ({ userId, joinedAt, online: await this.presence.isOnline(userId) })));
  }

  @Get(':roomId/messages')
  async history(@Caller() userId: string, @Param('roomId') roomId: string, @Query() { before, after, limit }: HistoryQuery) {
    await this.mustBeMember(userId, roomId);
    if (before && after) throw new BadRequestException('either before or after');
    const id = before ? LessThan(before) : after ? MoreThan(after) : undefined;
    const found = await this.messages.find({ where: { roomId, ...(id && { id }) }, order: { id: after ? 'ASC' : 'DESC' }, take: limit + 1 });
    const messages = found.slice(0, limit).map(({ id, ...message }) => ({ messageId: id, id, ...message }));
    return { messages: after ? messages : messages.reverse(), limit, hasMore: found.length > limit };
  }

  @Post(':roomId/read')
  async read(@Caller() userId: string, @Param('roomId') roomId: string, @Body() { messageId }: ReadMark) {
    await this.mustBeMember(userId, roomId);
    const update = this.members.createQueryBuilder().update().set({ lastReadMessageId: messageId }).where({ roomId, userId });
    // Never backwards.
    await update.andWhere(`("lastReadMessageId" IS NULL OR "lastReadMessageId" COLLATE "C" < :messageId)`, { messageId }).execute();
    return { roomId, messageId };
  }

  private async mustBeMember(userId: string, roomId: string) {
    if (!(await this.members.existsBy({ roomId, userId }))) throw new ForbiddenException('not a member of this room');
  }
}
