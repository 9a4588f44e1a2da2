import { ArgumentsHost, Catch, HttpException, UseFilters, UsePipes, ValidationPipe, WsExceptionFilter } from '@nestjs/common';
import { ConnectedSocket, MessageBody, OnGatewayInit, SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Namespace, Socket } from 'socket.io';
import { TokenService } from './auth';
import { ChatService } from './chat.service';
import { RoomEvent, SendMessage } from './dto';

/** Failures are answers: `{success: false, message}`. */
@Catch()
class AnswerFailure implements WsExceptionFilter {
  catch(error: unknown, host: ArgumentsHost) {
    if (!(error instanceof HttpException)) console.error(error);
    const acknowledge = host.getArgByIndex(2);
    if (typeof acknowledge !== 'function') return;
    const message = error instanceof HttpException ? error.message : 'internal error';
    acknowledge({ success: false, message });
  }
}

@UseFilters(new AnswerFailure())
@UsePipes(new ValidationPipe())
@WebSocketGateway({ namespace: '/chat' })
export class ChatGateway implements OnGatewayInit<Namespace> {
  @WebSocketServer()
  private readonly server: Namespace;

  constructor(
    private readonly chat: ChatService,
    private readonly tokens: TokenService,
  ) {}

  afterInit(server: Namespace) {
    server.use(async (socket, next) => {
      const { auth, query, headers } = socket.handshake;
      try {
        socket.data.user = await this.tokens.verify(auth.token ?? query.token ?? headers.authorization?.replace(/^Bearer /i, ''));
        next();
      } catch {
        next(new Error('unauthorized'));
      }
    });
  }

  @SubscribeMessage('join-room')
  async join(@ConnectedSocket() socket: Socket, @MessageBody() { roomId }: RoomEvent) {
    await this.chat.side(socket.data.user, roomId);
    await socket.join(roomId);
    return { success: true, data: { roomId } };
  }

  @SubscribeMessage('leave-room')
  async leave(@ConnectedSocket() socket: Socket, @MessageBody() { roomId }: RoomEvent) {
    await socket.leave(roomId);
    return { success: true, data: { roomId } };
  }

  @SubscribeMessage('send-message')
  async send(@ConnectedSocket() socket: Socket, @MessageBody() body: SendMessage) {
    const message = await this.chat.send(socket.data.user, body);
    this.server.to(body.roomId).emit('new-message', message);
    const { id, roomId, senderId, createdAt, clientMsgId } = message;
    return { success: true, data: { id, roomId, senderId, createdAt, clientMsgId } };
  }
}
