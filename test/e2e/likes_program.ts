// Owns: what the author of an application writes in order to follow likes: a durable consumer of the store, with nothing
// but the stock NATS packages. The tests run it as a program of its own; run again, it goes on where it stopped.
//
//   node likes_program.js NATS_URL DURABLE        prints "like LIKER SUBJECT URI" and "unlike URI" until it has caught up
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import { connect } from '@nats-io/transport-node';

import { decodeKey, uriOfKey } from './record_key.mjs';

/** Anyone may write anything under this name, so nothing in it is sure to be there. */
type Like = { subject?: { uri?: string }; createdAt?: string };

const [servers = 'nats://127.0.0.1:4222', durable = 'my-likes'] = process.argv.slice(2);
const nc = await connect({ servers });

const filter = '$KV.record.*.app.bsky.feed.like.*.*';
const jsm = await jetstreamManager(nc);
const { delivered } = await jsm.consumers.add('KV_record', {
  durable_name: durable,
  ack_policy: AckPolicy.Explicit,
  deliver_policy: DeliverPolicy.All,
  filter_subject: filter,
});

// Caught up is who has seen the newest: a message's "pending" can stay above 0 where keys are overwritten meanwhile.
const newest = await jsm.streams.getMessage('KV_record', { last_by_subj: filter });

let last = '';
if (newest && newest.seq > delivered.stream_seq) {
  const consumer = await jetstream(nc).consumers.get('KV_record', durable);
  for await (const message of await consumer.consume()) {
    const uri = uriOfKey(message.subject);
    if (message.headers?.get('KV-Operation') === 'DEL') {
      console.log(`unlike ${uri}`);
    } else {
      const { subject } = message.json<Like>();
      console.log(`like ${decodeKey(message.subject).did} ${subject?.uri ?? 'nothing'} ${uri}`);
      last = message.subject.replace('$KV.record.', '');
    }
    message.ack();
    if (message.seq >= newest.seq) break;
  }
}

const entry = last ? await (await new Kvm(nc).open('record')).get(last) : null;
if (entry) console.log(`last ${uriOfKey(entry.key)} is ${entry.operation}, made ${entry.json<Like>().createdAt}`);
await nc.drain();
