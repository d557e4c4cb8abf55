// Owns: proof against an implementation that is not ours. A real PDS and PLC directory run on loopback, and recordkv
// follows the PDS's firehose. The store must come to equal what the PDS itself lists: every record by value and CID,
// nothing more, and a delete marker where something was deleted. Also after kill -9 half way.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { PdsNetwork } from './pds_network.mjs';
import { PATIENCE, Processes, program, until } from './processes.mjs';
import { keyOfUri } from './record_key.mjs';
import { startNats, startRecordkv } from './services.mjs';
import { differences, none, readStore } from './store.mjs';

const processes = new Processes();
/** @type {PdsNetwork} */ let network;
/** @type {Awaited<ReturnType<typeof startNats>>} */ let nats;
/** @type {import('./processes.mjs').Child} */ let recordkv;

const follow = () => startRecordkv(processes, {
  nats: nats.url,
  settings: {
    'kv.verify': 'none',
    'source.kind': 'firehose', 'source.url': network.firehose, 'source.start': 'oldest',
    'identity.plc_url': network.plc, 'identity.allow_private_hosts': 'true',
  },
});

/** A test that stands on the ones before it, and says so rather than wait for what can't come. */
let sound = true;
const step = (/** @type {string} */ name, /** @type {(t: import('node:test').TestContext) => Promise<void>} */ run) =>
  test(name, { timeout: 4 * PATIENCE }, async (t) => {
    assert.ok(sound, 'not tried, because the test before it failed');
    sound = false;
    await run(t);
    sound = true;
  });

/** Waits until store and PDS agree on every account. */
const agree = async (/** @type {string} */ when) => {
  const expected = await network.records();
  return until(`the store to equal the PDS ${when}`, async () => {
    const store = await readStore(nats.nc);
    return none(differences(expected, store, { gone: network.gone, mine: network.mine })) && store;
  }, { within: PATIENCE, every: 250, alive: [recordkv, nats.child] });
};

before(async () => {
  for (const [variable, name] of [['RECORDKV', undefined], ['RECORDKV_NATS_SERVER', 'nats-server']]) program(variable, name);
  [network, nats] = await Promise.all([PdsNetwork.create(processes.directory('pds')), startNats(processes)]);
  await network.join('alice', 'bob', 'carol');
}, { timeout: 60_000 });

after(async () => {
  await network?.close();
  await processes.close();
}, { timeout: 60_000 });

step('a PDS with a past is mirrored from its first event', async (t) => {
  const [alice, bob, carol] = network.accounts;
  await alice.oddities();
  const posts = [await alice.post(), await bob.post('tschüß 👋'), await carol.post('')];
  for (const one of network.accounts) for (const post of posts) await one.like(post);
  await carol.remove(await carol.like(posts[0]));
  await bob.profile('Bob');
  await bob.profile('Bob the second');
  const entries = await bob.batch(200);
  await bob.mixedCommit(entries[3], entries[4]);

  const begun = Date.now();
  recordkv = follow();
  const store = await agree('after its past');
  t.diagnostic(`${store.size} keys in ${Date.now() - begun} ms`);

  const profile = store.get(keyOfUri(`at://${bob.did}/app.bsky.actor.profile/self`));
  assert.equal(profile?.op, 'update');
  for (const [key, { rev, time, op, deleted }] of store) {
    assert.match(rev, /^[234567abcdefghij][234567abcdefghijklmnopqrstuvwxyz]{12}$/, `rev of ${key}`);
    assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/, `time of ${key}`);
    assert.equal(op === 'delete', deleted, `op of ${key}`);
  }
});

step('what happens next arrives as it happens', async () => {
  const [alice, bob, carol] = network.accounts;
  const [dave] = await network.join('dave');
  await dave.profile('Dave, who came later');
  const post = await dave.post();
  const like = await alice.like(post);
  await agree('after a new account');

  await alice.remove(like);
  const again = await alice.like(post);
  await carol.profile('Carol');
  await bob.remove({ uri: `at://${bob.did}/app.bsky.actor.profile/self` });
  await bob.profile('Bob, made anew under the key that was deleted');
  network.gone.delete(keyOfUri(`at://${bob.did}/app.bsky.actor.profile/self`));
  await dave.put('app.bsky.feed.post', String(post.uri.split('/').pop()), { text: 'edited', createdAt: '2025-06-01T00:00:00Z' });
  const store = await agree('after changes');
  assert.equal(store.get(keyOfUri(again.uri))?.cid, again.cid);
});

step('kill -9 half way loses nothing and invents nothing', async () => {
  const [alice, bob, carol] = network.accounts;
  const stored = async () => (await readStore(nats.nc)).size;
  const before = await stored();
  const early = await alice.post('deleted while nobody looks');
  const brief = /** @type {{uri: string}[]} */ ([]);

  /** A third of the work: posts, likes that go again, edits. */
  const work = async (/** @type {number} */ part) => {
    for (let n = 0; n < 30; n++) {
      const post = await alice.post(`part ${part}, number ${n}`);
      const like = await bob.like(post);
      if (n % 3 === 0) brief.push(await carol.like(post));
      if (n % 4 === 0) await bob.remove(like);
      if (n % 5 === 0) await carol.profile(`Carol in part ${part}, ${n}`);
    }
    await carol.batch(100, `com.example.part${part}`);
  };

  const writing = (async () => {
    await work(1);
    for (const like of brief.splice(0)) await carol.remove(like);
    await work(2);
  })();
  try {
    await until('the store to have some of the writes', async () => await stored() > before + 20,
      { within: PATIENCE, alive: [recordkv] });
    await recordkv.kill();
  } finally {
    await writing;
  }
  await alice.remove(early);
  await bob.batch(200, 'com.example.whileDown');
  assert.equal(recordkv.ended?.signal, 'SIGKILL');

  recordkv = follow();
  await work(3);
  await agree('after a kill -9');

  await recordkv.kill();
  recordkv = follow();
  await alice.post('after the second kill');
  await agree('after a second kill -9');
});

test('recordkv, asked to stop, ends with 0', { timeout: PATIENCE }, async () => {
  assert.ok(recordkv && !recordkv.ended, 'nothing to stop');
  assert.deepEqual(await recordkv.stop(30_000), { code: 0, signal: null }, recordkv.report());
});
