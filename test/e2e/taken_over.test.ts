// Owns: proof that a bucket `record` which recordkv did not make is carried on. A stock JavaScript client made it. It
// filled the bucket with the first half of a history, under keys of the reference's form, without any header of ours.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { jetstreamManager } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';

import { PATIENCE, Processes, until } from './processes.mjs';
import { encodeKey } from './record_key.mjs';
import { startNats, startRecordkv, startSimulator } from './services.mjs';
import { differences, none, readStore } from './store.mjs';

const history = { seed: 7, accounts: 500 };
const processes = new Processes();

after(() => processes.close(), { timeout: PATIENCE });

test('a bucket that a stock client made and half filled is taken over', { timeout: 3 * PATIENCE }, async () => {
  const nats = await startNats(processes);
  const half = await startSimulator(processes, { ...history, events: 2500 });
  await half.child.stop();

  const kv = await new Kvm(nats.nc).create('record', { history: 1 });
  const fill = [...half.live].map(([key, { text }]) => () => kv.put(key, text))
    .concat([...half.gone].map((key) => async () => {
      await kv.delete(key);
      return 0;
    }));
  while (fill.length > 0) await Promise.all(fill.splice(0, 200).map((write) => write()));
  const old = [1, 2, 3].map((n) => encodeKey('did:plc:an7account7of7long7ago7x', 'com.example.old', `entry-${n}`));
  for (const key of old) await kv.put(key, JSON.stringify({ $type: 'com.example.old', key }));
  await kv.delete(old[2]!);
  const made = async () => (await (await jetstreamManager(nats.nc)).streams.info('KV_record')).config;
  const before = await readStore(nats.nc);
  const config = await made();

  const sim = await startSimulator(processes, { ...history, events: 5000 });
  const updated = [...sim.live].filter(([key, { text }]) => half.live.has(key) && half.live.get(key)?.text !== text);
  const deleted = [...sim.gone].filter((key) => half.live.has(key));
  assert.ok(updated.length > 0 && deleted.length > 0, 'a history that changes nothing in its second half');

  const recordkv = startRecordkv(processes, {
    nats: nats.url,
    settings: { 'source.kind': 'jetstream', 'source.url': sim.url, 'source.start': 'oldest' },
  });
  const foreign = new Set(old);
  const store = await until('the bucket to equal the truth', async () => {
    const entries = await readStore(nats.nc);
    return none(differences(sim.live, entries, { gone: sim.gone, mine: (key) => !foreign.has(key), foreign: true })) && entries;
  }, { within: PATIENCE, every: 200, alive: [recordkv, sim.child] });

  for (const key of old) assert.deepEqual(store.get(key), before.get(key), 'a key of an account that the source does not know');
  for (const [key, { cid }] of updated) assert.equal(store.get(key)?.cid, cid);
  for (const key of deleted) assert.equal(store.get(key)?.op, 'delete');
  const { subjects, retention, discard, max_msgs_per_subject, max_age } = await made();
  assert.deepEqual({ subjects, retention, discard, max_msgs_per_subject, max_age }, {
    subjects: config.subjects, retention: config.retention, discard: config.discard, max_msgs_per_subject: 1, max_age: 0,
  });
  assert.deepEqual(await recordkv.stop(30_000), { code: 0, signal: null }, recordkv.report());
});
