import { Injectable, OnApplicationShutdown } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { Message } from './entities';
import { KafkaService, PARTITIONS, parse, PERSISTED, record, SENT, WORKERS } from './kafka.service';

/** Stores what gateways put into Kafka, and says so there. */
@Injectable()
export class WorkerService implements OnApplicationShutdown {
  private readonly consumer = this.kafka.kafka.consumer({ groupId: WORKERS });
  private readonly producer = this.kafka.kafka.producer();

  constructor(
    private readonly kafka: KafkaService,
    @InjectRepository(Message) private readonly messages: Repository<Message>,
  ) {}

  async start() {
    await this.kafka.createTopics();
    await this.producer.connect();
    await this.consumer.connect();
    await this.consumer.subscribe({ topic: SENT, fromBeginning: true });
    const joined = new Promise<void>((resolve) => this.consumer.on(this.consumer.events.GROUP_JOIN, () => resolve()));
    await this.consumer.run({
      partitionsConsumedConcurrently: PARTITIONS,
      // The offset counts as done, and is committed, once this returns.
      eachMessage: async ({ message: { value } }) => this.persist(parse(value)),
    });
    await joined;
  }

  private async persist(message: Message) {
    const { raw } = await this.messages.createQueryBuilder().insert().values(message).orIgnore().returning('id').execute();
    // A repeat stores nothing, and is announced no second time.
    if (raw.length) await this.producer.send({ topic: PERSISTED, acks: -1, messages: [record(message)] });
  }

  async onApplicationShutdown() {
    await this.consumer.disconnect();
    await this.producer.disconnect();
  }
}
