import { ArgumentsHost, BeforeApplicationShutdown, Catch, HttpException, OnModuleInit, UseFilters, UsePipes, ValidationPipe, WsExceptionFilter } from '@nestjs/common';
import { JwtService } from '@nestjs/jwt';
import { InjectRepository } from '@nestjs/typeorm';
import { Ack, ConnectedSocket, MessageBody, OnGatewayConnection, OnGatewayDisconnect, SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import { randomUUID } from 'node:crypto';
import type { Server, Socket } from 'socket.io';
import { Repository } from 'typeorm';
import { ulid } from 'ulid';
import { JoinRoom, SendMessage } from './dto';
import { Message, RoomMember } from './entities';
import { gatewayGroup, KafkaService, parse, PERSISTED, record, SENT } from './kafka.service';
import { PresenceService } from './presence.service';

@Catch()
class AnswerFailure implements WsExceptionFilter {
  catch(error: unknown, host: ArgumentsHost) {
    if (!(error instanceof HttpException)) console.error(error);
    const [socket, data, acknowledge, event] = host.getArgs();
    const reason = error instanceof HttpException ? error.message : 'internal error';
    const failure = event === 'sendMessage' ? { clientMsgId: data?.clientMsgId, status: 'FAILED', error: reason } : { success: false, error: reason };
    if (typeof acknowledge === 'function') acknowledge(failure);
    else if (event === 'sendMessage') socket.emit('messageFailed', failure);
  }
}

@UseFilters(new AnswerFailure())
@UsePipes(new ValidationPipe())
@WebSocketGateway()
export class ChatGateway implements OnModuleInit, BeforeApplicationShutdown, OnGatewayConnection, OnGatewayDisconnect {
  @WebSocketServer()
  private readonly server: Server;

  private readonly producer = this.kafka.kafka.producer({ idempotent: true, retry: { retries: 3 } });
  /** In a group of its own: every gateway has to hear of every message. */
  private readonly consumer = this.kafka.kafka.consumer({ groupId: gatewayGroup(randomUUID()) });

  constructor(
    private readonly jwt: JwtService,
    private readonly kafka: KafkaService,
    private readonly presence: PresenceService,
    @InjectRepository(RoomMember) private readonly members: Repository<RoomMember>,
  ) {}

  async onModuleInit() {
    await this.kafka.createTopics();
    await this.producer.connect();
    await this.consumer.connect();
    await this.consumer.subscribe({ topic: PERSISTED, fromBeginning: false });
    const joined = new Promise<void>((resolve) => this.consumer.on(this.consumer.events.GROUP_JOIN, () => resolve()));
    // Nobody goes on where this group was: to commit its offsets would cost each message time for nothing.
    await this.consumer.run({ autoCommit: false, eachMessage: async ({ message: { value } }) => this.show(parse(value)) });
    await joined;
  }

  async beforeApplicationShutdown() {
    await this.consumer.disconnect();
    await this.producer.disconnect();
  }

  private show({ id, ...message }: Message) {
    this.server.to(message.roomId).emit('newMessage', { messageId: id, id, ...message });
  }

  async handleConnection(socket: Socket) {
    const { auth, headers } = socket.handshake;
    try {
      const { sub } = this.jwt.verify(auth.token ?? headers.authorization?.replace(/^Bearer /i, ''));
      socket.data.user = sub;
      await this.presence.renew(sub, socket.id);
    } catch {
      socket.disconnect(true);
    }
  }

  async handleDisconnect(socket: Socket) {
    if (socket.data.user) await this.presence.remove(socket.data.user, socket.id).catch(() => {});
  }

  @SubscribeMessage('joinRoom')
  async join(@ConnectedSocket() socket: Socket, @MessageBody() { roomId }: JoinRoom) {
    if (!(await this.isMember(socket, roomId))) return { success: false, error: 'not a member of this room' };
    await socket.join(roomId);
    return { success: true };
  }

  @SubscribeMessage('sendMessage')
  async send(@ConnectedSocket() socket: Socket, @MessageBody() { roomId, clientMsgId, type, content }: SendMessage, @Ack() acknowledge?: (answer: object) => void) {
    const accepted = (await this.isMember(socket, roomId)) && (await this.produce({ id: ulid(), roomId, senderId: socket.data.user, clientMsgId, type, content, createdAt: new Date() }));
    const answer = { clientMsgId, status: accepted ? 'ACCEPTED' : 'FAILED' };
    if (typeof acknowledge === 'function') acknowledge(answer);
    else socket.emit(accepted ? 'messageAccepted' : 'messageFailed', answer);
  }

  @SubscribeMessage('heartbeat')
  async heartbeat(@ConnectedSocket() socket: Socket) {
    await this.presence.renew(socket.data.user, socket.id);
    return { success: true };
  }

  private isMember(socket: Socket, roomId: string): Promise<boolean> {
    return this.members.existsBy({ roomId, userId: socket.data.user });
  }

  /** Whether all brokers that have to have it. */
  private async produce(message: Message): Promise<boolean> {
    try {
      await this.producer.send({ topic: SENT, acks: -1, messages: [record(message)] });
      return true;
    } catch (error) {
      console.error(error);
      return false;
    }
  }
}
