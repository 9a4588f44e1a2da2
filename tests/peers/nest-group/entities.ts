import { Column, CreateDateColumn, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn, Unique } from 'typeorm';

@Entity('account')
export class Account {
  @PrimaryGeneratedColumn('uuid')
  id: string;

  @Column('text', { unique: true })
  email: string;

  @Column('text')
  passwordHash: string;
}

@Entity('room')
export class Room {
  @PrimaryColumn('text')
  id: string;

  @Column('text', { nullable: true })
  name: string | null;

  @Column('text')
  createdBy: string;

  @CreateDateColumn({ type: 'timestamptz' })
  createdAt: Date;
}

@Entity('room_member')
export class RoomMember {
  @PrimaryColumn('text')
  roomId: string;

  @Index()
  @PrimaryColumn('text')
  userId: string;

  @Column('text', { nullable: true })
  lastReadMessageId: string | null;

  @CreateDateColumn({ type: 'timestamptz' })
  joinedAt: Date;
}

@Entity('message')
@Unique(['roomId', 'senderId', 'clientMsgId'])
@Index(['roomId', 'id'])
export class Message {
  /** A ULID, made by the gateway. */
  @PrimaryColumn('text', { collation: 'C' })
  id: string;

  @Column('text')
  roomId: string;

  @Column('text')
  senderId: string;

  @Column('text')
  clientMsgId: string;

  @Column('text')
  type: string;

  @Column('text')
  content: string;

  @Column('timestamptz')
  createdAt: Date;
}

export const ENTITIES = [Account, Room, RoomMember, Message];
