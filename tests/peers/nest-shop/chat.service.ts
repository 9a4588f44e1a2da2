import { BadRequestException, ForbiddenException, Injectable, NotFoundException } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { DataSource, LessThan, Repository } from 'typeorm';
import type { User } from './auth';
import type { HistoryQuery, SendMessage } from './dto';
import { ChatMessage, ChatRoom, type SenderType, Store } from './entities';

const MAX_LIMIT = 100;

@Injectable()
export class ChatService {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(Store) private readonly stores: Repository<Store>,
    @InjectRepository(ChatRoom) private readonly rooms: Repository<ChatRoom>,
    @InjectRepository(ChatMessage) private readonly messages: Repository<ChatMessage>,
  ) {}

  async open(user: User, storeId: string) {
    const store = await this.stores.findOneBy({ id: storeId });
    if (!store) throw new NotFoundException('there is no such store');
    if (store.ownerId === user.id) throw new BadRequestException('this store is your own');
    const pair = { buyerId: user.id, storeId };
    await this.rooms.createQueryBuilder().insert().values({ ...pair }).orIgnore().execute();
    const room = await this.rooms.findOneByOrFail(pair);
    return view({ ...room, store }, 'USER');
  }

  async roomsOfBuyer(user: User) {
    const rooms = await this.rooms.find({ where: { buyerId: user.id }, relations: { store: true }, order: { lastMessageAt: { direction: 'DESC', nulls: 'LAST' } } });
    return rooms.map((room) => view(room, 'USER'));
  }

  async roomsOfStore(user: User, storeId: string) {
    const store = await this.stores.findOneBy({ id: storeId });
    if (!store) throw new NotFoundException('there is no such store');
    if (store.ownerId !== user.id) throw new ForbiddenException('this store is somebody else’s');
    const rooms = await this.rooms.find({ where: { storeId }, order: { lastMessageAt: { direction: 'DESC', nulls: 'LAST' } } });
    return rooms.map((room) => view({ ...room, store }, 'STORE'));
  }

  /** On which side of the room the user stands. */
  async side(user: User, roomId: string): Promise<SenderType> {
    const room = await this.rooms.createQueryBuilder('room').innerJoinAndSelect('room.store', 'store').where('room.id = :roomId', { roomId }).getOne();
    if (room?.buyerId === user.id) return 'USER';
    if (room?.store.ownerId === user.id) return 'STORE';
    throw new ForbiddenException('not a member of this room');
  }

  async history(user: User, roomId: string, wanted: SenderType, { page, limit: asked, before }: HistoryQuery) {
    await this.mustStandOn(wanted, user, roomId);
    const limit = Math.min(asked, MAX_LIMIT);
    const [messages, total] = await Promise.all([
      this.messages.find({
        where: { roomId, ...(before && { id: LessThan(before) }) },
        order: { id: 'DESC' },
        skip: before ? 0 : (page - 1) * limit,
        take: limit + 1,
      }),
      this.messages.countBy({ roomId }),
    ]);
    const hasMore = messages.length > limit;
    const meta = { page: before ? null : page, limit, total, totalPages: Math.ceil(total / limit), hasMore };
    return { messages: messages.slice(0, limit), meta };
  }

  async read(user: User, roomId: string, wanted: SenderType) {
    await this.mustStandOn(wanted, user, roomId);
    await this.rooms.update(roomId, wanted === 'USER' ? { userUnreadCount: 0 } : { storeUnreadCount: 0 });
    return { success: true, roomId, unreadCount: 0 };
  }

  /** Stored with the room's preview and the other side's unread count, all or nothing, when this returns. */
  async send(user: User, { roomId, text, clientMsgId }: SendMessage): Promise<ChatMessage> {
    const senderType = await this.side(user, roomId);
    return this.dataSource.transaction(async (manager) => {
      const message = await manager.save(ChatMessage, { roomId, senderId: user.id, senderType, text, clientMsgId: clientMsgId ?? null });
      await manager.update(ChatRoom, roomId, {
        lastMessage: text,
        lastMessageAt: message.createdAt,
        ...(senderType === 'USER' ? { storeUnreadCount: () => '"storeUnreadCount" + 1' } : { userUnreadCount: () => '"userUnreadCount" + 1' }),
      });
      return message as ChatMessage;
    });
  }

  private async mustStandOn(wanted: SenderType, user: User, roomId: string) {
    if ((await this.side(user, roomId)) !== wanted) throw new ForbiddenException('not a member of this room');
  }
}

function view(room: ChatRoom, side: SenderType) {
  const { id, buyerId, store, lastMessage, lastMessageAt, createdAt } = room;
  const unreadCount = side === 'USER' ? room.userUnreadCount : room.storeUnreadCount;
  return { id, buyerId, store: { id: store.id, name: store.name }, lastMessage, lastMessageAt, unreadCount, createdAt };
}
