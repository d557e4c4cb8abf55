// Owns: reading the store in every way a stock client can: pull or push, acknowledging or not, from the first key or
// only what is new, under any filters. Uses the published NATS packages and the key codec, and nothing of recordkv.
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { ConsumerConfig, ConsumerInfo, ConsumerMessages, JetStreamManager } from '@nats-io/jetstream';
import { createInbox } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';

import { partitionOf } from './record_key.mjs';

const STREAM = 'KV_record';

export type Mode = { how: 'pull' | 'push'; acks: boolean; from: 'all' | 'new' };
export type Seen = { key: string; seq: number; deleted: boolean; text: string; redelivered: boolean };

/** Subject filters, in the forms that the store's layout allows. */
export const filters = {
  /** Exactly this collection: ".>" would take longer names too. */
  collection: (nsid: string) => [`$KV.record.*.${nsid}.*.*`],
  /** Everything of one account: a filter per number of segments a collection may have. */
  account: (did: string, token: string) =>
    [3, 4, 5, 6, 7, 8].map((segments) => `$KV.record.${partitionOf(did)}${'.*'.repeat(segments)}.${token}.*`),
  partition: (label: string) => [`$KV.record.${label}.>`],
};

/** Every combination. */
export const modes = (from: Mode['from']): Mode[] =>
  (['pull', 'push'] as const).flatMap((how) => [true, false].map((acks) => ({ how, acks, from })));

export const title = ({ how, acks, from }: Mode) => `${how}, ${acks ? 'with' : 'without'} acks, ${from}`;

/** One durable consumer, read in the background until closed. */
export class Reader {
  readonly seen: Seen[] = [];

  private constructor(
    private readonly jsm: JetStreamManager,
    private readonly name: string,
    private readonly messages: ConsumerMessages,
    acks: boolean,
  ) {
    void (async () => {
      for await (const message of messages) {
        this.seen.push({
          key: message.subject.slice('$KV.record.'.length),
          seq: message.seq,
          deleted: message.headers?.get('KV-Operation') === 'DEL',
          text: message.string(),
          redelivered: message.redelivered,
        });
        if (acks) message.ack();
      }
    })();
  }

  static async open(nc: NatsConnection, name: string, mode: Mode, filter_subjects: string[],
    more: Partial<ConsumerConfig> = {}, { acknowledge = mode.acks } = {}) {
    const jsm = await jetstreamManager(nc);
    await jsm.consumers.add(STREAM, {
      durable_name: name,
      filter_subjects,
      ack_policy: mode.acks ? AckPolicy.Explicit : AckPolicy.None,
      deliver_policy: mode.from === 'all' ? DeliverPolicy.All : DeliverPolicy.New,
      ...(mode.how === 'push' && { deliver_subject: createInbox(), idle_heartbeat: 5_000_000_000, flow_control: true }),
      ...more,
    });
    const { consumers } = jetstream(nc);
    const messages = mode.how === 'push'
      ? await (await consumers.getPushConsumer(STREAM, name)).consume()
      : await (await consumers.get(STREAM, name)).consume({ max_messages: 500 });
    return new Reader(jsm, name, messages, acknowledge);
  }

  info(): Promise<ConsumerInfo> {
    return this.jsm.consumers.info(STREAM, this.name);
  }

  /** The last of each key. */
  fold(): Map<string, Seen> {
    return new Map(this.seen.map((one) => [one.key, one]));
  }

  async close() {
    await this.messages.close();
    await this.jsm.consumers.delete(STREAM, this.name);
  }
}
