// A file of likes, one line per change: sequence, URI, subject (empty if the like is gone). See ../README.md.
//
//   node .cache/likes.js NATS_URL DURABLE FILE [--new] [--no-ack]
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';

import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager, type JsMsg } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

const STREAM = 'KV_record';
const LIKES = '$KV.record.*.app.bsky.feed.like.*.*'; // exactly this collection; ">" would match longer names
const [servers = '', durable = '', path = '', ...options] = process.argv.slice(2);
const onlyNew = options.includes('--new'), ack = !options.includes('--no-ack');

/** Reads a key from the right: an NSID spans several tokens. */
function uri(subject: string): string {
  const decoded = (token: string) =>
    token.replace(/\/([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  const tokens = subject.split('.').map(decoded);
  const [rkey, did] = [tokens.pop(), tokens.pop()];
  return `at://${did}/${tokens.slice(3).join('.')}/${rkey}`;
}

function liked(message: JsMsg): string {
  try {
    return String(message.json<{ subject: { uri: unknown } }>().subject.uri);
  } catch { // a delete is empty, and any account may have written the rest
    return '';
  }
}

const text = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
const whole = text.lastIndexOf('\n') + 1;
if (whole < text.length) truncateSync(path, whole); // a kill may have left half a line
const last = text.subarray(0, whole).toString().trimEnd().split('\n').at(-1);
let after = last ? Number(last.split('\t')[0]) : undefined;

const nc = await connect({ servers, reconnect: false }); // if cut off, it ends; a restart rewinds
const jsm = await jetstreamManager(nc);
const end = async () => (await jsm.streams.info(STREAM)).state.last_seq;
if (after === undefined && onlyNew && !ack) { // "new" is from now on, not from the next start
  after = await end();
  appendFileSync(path, `${after}\t\t\n`);
}

// The durable begins right behind what is done: by its own floor with acks, by the file without.
const there = await jsm.consumers.info(STREAM, durable).catch(() => undefined);
const level = ((await jsm.getAccountInfo()).api as { level?: number }).level ?? 0;
if (ack) after = there?.ack_floor.stream_seq ?? (onlyNew ? await end() : 0);
if (there && ack && level >= 4 && after! < (await end())) { // a reset beyond the end is accepted, and delivers nothing
  await jsm.consumers.reset(STREAM, durable, after! + 1);
} else {
  if (there) await jsm.consumers.delete(STREAM, durable);
  await jsm.consumers.add(STREAM, {
    durable_name: durable, filter_subject: LIKES, ack_policy: ack ? AckPolicy.Explicit : AckPolicy.None,
    deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: (after ?? 0) + 1,
  });
}

const file = openSync(path, 'a');
let expected = 1; // a killed predecessor's request may still receive some
for await (const m of await (await jetstream(nc).consumers.get(STREAM, durable)).consume({ max_messages: 500 })) {
  if (m.info.deliverySequence !== expected) throw new Error('a message is missing: start again');
  expected = m.info.deliverySequence + 1;
  writeSync(file, `${m.seq}\t${uri(m.subject)}\t${liked(m)}\n`);
  if (ack) m.ack(); // only what is written
}
closeSync(file);
process.exit(1); // the connection to NATS is lost: start again
