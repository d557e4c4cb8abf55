// Owns: proof that the store is usable by anyone with a NATS client. recordkv fills it from the simulator. The
// published JavaScript packages and the `nats` command line then read it in every way they can. A bucket that a stock
// client made and half filled is taken over and carried on. What is right is the simulator's word, not recordkv's.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Kvm } from '@nats-io/kv';
import type { KV } from '@nats-io/kv';

import { freePort, PATIENCE, Processes, program, root, until } from './processes.mjs';
import { decodeKey, encodeKey, uriOfKey } from './record_key.mjs';
import { startNats, startRecordkv, startSimulator } from './services.mjs';
import { filters, modes, Reader, title } from './stock_reader.js';
import type { Seen } from './stock_reader.js';
import { differences, none, parseExactly, readStore } from './store.mjs';

const LIKE = 'app.bsky.feed.like';
const history = { seed: 7, accounts: 500 };

const processes = new Processes();
let nats: Awaited<ReturnType<typeof startNats>>;
let sim: Awaited<ReturnType<typeof startSimulator>>;
let recordkv: ReturnType<typeof startRecordkv>;
let kv: KV;
let mark = 0; // the last sequence of the shorter history
let port = 0;

const follow = (url: string, state = 'state', where = nats.url) =>
  startRecordkv(processes, {
    nats: where, state, settings: { 'source.kind': 'jetstream', 'source.url': url, 'source.start': 'oldest' },
  });

/** The store as recordkv has it, once it equals the truth. */
const complete = () =>
  until('the store to equal the truth', async () => {
    const store = await readStore(nats.nc);
    return none(differences(sim.live, store, { gone: sim.gone })) && store;
  }, { within: PATIENCE, every: 200, alive: [recordkv, sim.child, nats.child] });

/** What a reader with these conditions must have seen in the end: key, then whether it is deleted and the value. */
const expected = (wanted: (key: string) => boolean) => {
  const all = new Map<string, unknown>();
  for (const key of sim.gone) if (wanted(key)) all.set(key, 'deleted');
  for (const [key, { value }] of sim.live) if (wanted(key)) all.set(key, value);
  return all;
};
const folded = (seen: Iterable<Seen>) =>
  new Map([...seen].map(({ key, deleted, text }) => [key, deleted ? 'deleted' : parseExactly(text)]));

/** An account with many records, and some deleted. */
const busiest = () => {
  const count = new Map<string, number>();
  const add = (key: string, weight: number) => count.set(decodeKey(key).did, (count.get(decodeKey(key).did) ?? 0) + weight);
  for (const key of sim.live.keys()) add(key, 1);
  for (const key of sim.gone) add(key, 20);
  const [did] = [...count].reduce((most, one) => (one[1] > most[1] ? one : most));
  return { did, token: encodeKey(did, 'a.b.c', 'x').split('.').at(-2)! };
};

before(async () => {
  for (const [variable, name] of [['RECORDKV'], ['RECORDKV_SIM'], ['RECORDKV_NATS_CLI', 'nats']]) program(variable!, name);
  port = await freePort();
  [nats, sim] = await Promise.all([startNats(processes), startSimulator(processes, { ...history, events: 4000, port })]);
  recordkv = follow(sim.url);
  mark = Math.max(...[...(await complete()).values()].map(({ seq }) => seq));
  kv = await new Kvm(nats.nc).open('record');
}, { timeout: 2 * PATIENCE });

after(async () => {
  await processes.close();
}, { timeout: PATIENCE });

test('every kind of consumer reads all from the first key: by collection, by account, by partition', { timeout: PATIENCE }, async () => {
  const { did, token } = busiest();
  const label = encodeKey(did, 'a.b.c', 'x')[0]!;
  for (const [by, subjects, wanted] of [
    ['collection', filters.collection(LIKE), (key: string) => decodeKey(key).collection === LIKE],
    ['account', filters.account(did, token), (key: string) => decodeKey(key).did === did],
    ['partition', filters.partition(label), (key: string) => decodeKey(key).partition === label],
  ] as const) {
    const right = expected(wanted);
    for (const [n, mode] of modes('all').entries()) {
      const reader = await Reader.open(nats.nc, `all-${by}-${n}`, mode, [...subjects]);
      await until(`a consumer by ${by} (${title(mode)}) to see ${right.size} keys`, () => reader.seen.length >= right.size);
      assert.deepEqual(folded(reader.seen), right, `${by}: ${title(mode)}`);
      assert.equal(reader.seen.length, right.size, 'a key came twice');
      assert.deepEqual(reader.seen.map(({ seq }) => seq), reader.seen.map(({ seq }) => seq).sort((a, b) => a - b));
      const { num_pending } = await until('every message to be settled', async () => {
        const info = await reader.info();
        return info.num_ack_pending === 0 ? info : null;
      });
      assert.equal(num_pending, 0);
      await reader.close();
    }
  }
  assert.ok(expected((key) => decodeKey(key).collection.startsWith(`${LIKE}.`)).size > 0, 'no longer name to tell apart');
});

test('what is not acknowledged comes again', { timeout: PATIENCE }, async () => {
  for (const how of ['pull', 'push'] as const) {
    const reader = await Reader.open(nats.nc, `again-${how}`, { how, acks: true, from: 'all' }, filters.collection(LIKE), {
      ack_wait: 500_000_000, max_ack_pending: 10,
    }, { acknowledge: false });
    await until('ten messages to be repeated', () => reader.seen.filter(({ redelivered }) => redelivered).length >= 10);
    assert.equal(reader.fold().size, 10, 'more than max_ack_pending without an ack');
    await reader.close();
  }
});

test('one key by kv.get and kv.watch, and a delete is seen as a delete', { timeout: PATIENCE }, async () => {
  for (const [key, { value }] of [...sim.live].filter((_, n) => n % 500 === 0)) {
    const entry = await kv.get(key);
    assert.equal(entry?.operation, 'PUT');
    assert.deepEqual(parseExactly(entry?.string() ?? ''), value, uriOfKey(key));
  }
  const [deleted = ''] = sim.gone;
  const entry = await kv.get(deleted);
  assert.equal(entry?.operation, 'DEL');
  assert.equal(entry?.length, 0);
  assert.equal(await kv.get(encodeKey('did:plc:nobody', LIKE, 'never')), null);

  const right = expected((key) => decodeKey(key).collection === 'app.bsky.actor.profile');
  const watched = new Map<string, unknown>();
  const watch = await kv.watch({ key: '*.app.bsky.actor.profile.*.*' });
  for await (const one of watch) {
    watched.set(one.key, one.operation === 'DEL' ? 'deleted' : parseExactly(one.string()));
    if (watched.size === right.size) break;
  }
  watch.stop();
  assert.deepEqual(watched, right);
});

test('new-only consumers see only what is new', { timeout: 3 * PATIENCE }, async () => {
  const readers = await Promise.all(modes('new').map((mode, n) => Reader.open(nats.nc, `new-${n}`, mode, filters.collection(LIKE))));
  await sim.child.stop();
  sim = await startSimulator(processes, { ...history, events: 5000, port });
  const store = await complete();
  const changed = [...store].filter(([key, { seq }]) => seq > mark && decodeKey(key).collection === LIKE);
  assert.ok(changed.length > 100 && changed.some(([, { deleted }]) => deleted));
  const right = new Map(changed.map(([key, { deleted, value }]) => [key, deleted ? 'deleted' : value]));
  for (const [n, mode] of modes('new').entries()) {
    const reader = readers[n]!;
    await until(`a consumer (${title(mode)}) to have caught up`, async () => {
      assert.deepEqual(folded(reader.seen), right, title(mode));
      return (await reader.info()).num_ack_pending === 0;
    });
    assert.ok(reader.seen.every(({ seq }) => seq > mark), `${title(mode)}: something old`);
    await reader.close();
  }
});

/** The `nats` command line, which must end by itself and with 0. */
const cli = async (...args: string[]) => {
  const { code, out, report } = await processes.run('nats', program('RECORDKV_NATS_CLI', 'nats'), ['--server', nats.url, ...args]);
  assert.equal(code, 0, report);
  return out;
};

test('the nats command line takes the tour', { timeout: 2 * PATIENCE }, async (t) => {
  const wanted = `$KV.record.*.${LIKE}.*.*`;
  const likes = expected((key) => decodeKey(key).collection === LIKE);
  const [key = ''] = [...likes].find(([, value]) => value !== 'deleted') ?? [];
  const [deleted = ''] = [...likes].find(([, value]) => value === 'deleted') ?? [];

  const wide = await cli('sub', `$KV.record.*.${LIKE}.>`, '--all', '--terminate-at-end', '--subjects-only');
  for (const one of likes.keys()) assert.ok(wide.includes(`$KV.record.${one} `), `nats sub misses ${uriOfKey(one)}`);
  const exact = await cli('sub', wanted, '--all', '--terminate-at-end', '--headers-only');
  assert.equal(exact.match(/^cid: bafy/gm)?.length, [...likes.values()].filter((value) => value !== 'deleted').length);
  assert.ok(exact.includes('KV-Operation: DEL'));

  assert.deepEqual(parseExactly(await cli('kv', 'get', 'record', key, '--raw')), likes.get(key));
  const none = await processes.run('nats', program('RECORDKV_NATS_CLI', 'nats'), ['--server', nats.url, 'kv', 'get', 'record', deleted]);
  assert.equal(none.code, 1);
  assert.match(none.report, /key not found/);
  assert.equal((await cli('kv', 'ls', 'record')).trim().split('\n').length, sim.live.size);
  assert.match(await cli('kv', 'info', 'record'), /History Kept: 1\b/);

  const index = startRecordkv(processes, { nats: nats.url, stages: 'index', settings: {
    'index.views': `["${root}config/views/likes.toml"]`, 'index.database': 'sqlite:likes.db',
  } });
  const caughtUp = async () => JSON.parse(await cli('consumer', 'info', 'KV_record', 'view-likes', '--json'));
  const { config } = await until('the likes view to have read every like', async () => {
    const info = await caughtUp();
    const { num_pending, num_ack_pending } = info;
    assert.deepEqual({ num_pending, num_ack_pending }, { num_pending: 0, num_ack_pending: 0 });
    return info.delivered.stream_seq > 0 ? info : null;
  }, { within: PATIENCE, every: 500, alive: [index] });
  t.diagnostic(`view-likes: ack policy ${config.ack_policy}, filters ${config.filter_subject ?? config.filter_subjects}`);
  const info = await cli('consumer', 'info', 'KV_record', 'view-likes');
  assert.match(info, /Unprocessed Messages: 0/);
  assert.match(info, /Acknowledgment Floor: .*Stream sequence: [1-9]/);

  // It draws for as long as it is looked at, and only on a terminal: script(1) lends it one.
  const nameOf = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;
  const graph = processes.start('nats consumer graph', 'script', ['-qec', ['stty', 'rows', '50', 'cols', '120;', 'exec',
    nameOf(program('RECORDKV_NATS_CLI', 'nats')), '--server', nameOf(nats.url), 'consumer', 'graph', 'KV_record', 'view-likes',
  ].join(' '), '/dev/null']);
  await until('a drawn graph', () => ['Consumer Statistics for KV_record > view-likes', 'Messages Pending',
    'Messages Delivered / second'].every((words) => graph.stdout.includes(words)), { alive: [graph] });
  await graph.stop();
  assert.deepEqual(await index.stop(), { code: 0, signal: null }, index.report());
});

test('recordkv, asked to stop, ends with 0', { timeout: PATIENCE }, async () => {
  assert.deepEqual(await recordkv.stop(30_000), { code: 0, signal: null }, recordkv.report());
});
