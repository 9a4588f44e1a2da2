import { Injectable } from '@nestjs/common';
import { Kafka, logLevel } from 'kafkajs';
import { variable } from '../nest-common/environment';
import type { Message } from './entities';

const prefix = variable('KAFKA_TOPIC_PREFIX', ' ').trim();

/** What clients sent, keyed by room. */
export const SENT = `${prefix}chat.messages.v1`;
/** What workers stored, keyed by room. */
export const PERSISTED = `${prefix}chat.messages.persisted.v1`;
/** The workers' consumer group. */
export const WORKERS = `${prefix}chat-persistor`;
export const gatewayGroup = (id: string) => `${prefix}chat-gateway-${id}`;

export const PARTITIONS = Number(variable('KAFKA_PARTITIONS', '6'));

@Injectable()
export class KafkaService {
  readonly kafka = new Kafka({ clientId: 'nest-group', brokers: variable('KAFKA_BROKERS').split(','), logLevel: logLevel.ERROR });

  /** Makes the topics that are not there. */
  async createTopics() {
    const admin = this.kafka.admin();
    await admin.connect();
    const topics = [SENT, PERSISTED].map((topic) => ({ topic, numPartitions: PARTITIONS }));
    await admin.createTopics({ topics, waitForLeaders: true });
    await admin.disconnect();
  }
}

export const record = (message: Message) => ({ key: message.roomId, value: JSON.stringify(message) });

export function parse(value: Buffer | null): Message {
  const message = JSON.parse(String(value));
  return { ...message, createdAt: new Date(message.createdAt) };
}
