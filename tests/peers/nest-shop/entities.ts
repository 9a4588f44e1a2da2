import { Column, CreateDateColumn, Entity, Index, JoinColumn, ManyToOne, PrimaryColumn, PrimaryGeneratedColumn, Unique } from 'typeorm';

@Entity('store')
export class Store {
  @PrimaryColumn('text')
  id: string;

  @Column('text')
  ownerId: string;

  @Column('text')
  name: string;
}

@Entity('chat_room')
@Unique(['buyerId', 'storeId'])
export class ChatRoom {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @Column('text')
  buyerId: string;

  @Index()
  @Column('text')
  storeId: string;

  @ManyToOne(() => Store)
  @JoinColumn({ name: 'storeId' })
  store: Store;

  @Column('text', { nullable: true })
  lastMessage: string | null;

  @Column('timestamptz', { nullable: true })
  lastMessageAt: Date | null;

  @Column('int', { default: 0 })
  userUnreadCount: number;

  @Column('int', { default: 0 })
  storeUnreadCount: number;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}

export type SenderType = 'USER' | 'STORE';

@Entity('chat_message')
@Index(['roomId', 'id'])
export class ChatMessage {
  @PrimaryGeneratedColumn('identity', { type: 'bigint' })
  id: string;

  @Column('uuid')
  roomId: string;

  @ManyToOne(() => ChatRoom)
  @JoinColumn({ name: 'roomId' })
  room?: ChatRoom;

  @Column('text')
  senderId: string;

  @Column('text')
  senderType: SenderType;

  @Column('text')
  text: string;

  @Column('text', { nullable: true })
  clientMsgId: string | null;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}
