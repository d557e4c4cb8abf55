// Owns: proof against an implementation that is not ours. A real PDS and PLC directory run on loopback, and recordkv
// follows the PDS's firehose and verifies every commit. The store must come to equal what the PDS itself lists: every
// record by value and CID, nothing more, and a delete marker where something was deleted. Also after kill -9 half way,
// new handles and new signing keys. Does not know: accounts that go, return or move (pds_accounts.test.mjs).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { jetstreamManager } from '@nats-io/jetstream';

import { startFalseDirectory } from './false_directory.mjs';
import { Mirror, steps } from './mirror.mjs';
import { PdsNetwork } from './pds_network.mjs';
import { PATIENCE, Processes, program, until } from './processes.mjs';
import { keyOfUri } from './record_key.mjs';
import { startNats } from './services.mjs';
import { differences, none, readStore } from './store.mjs';

const processes = new Processes();
const step = steps();
/** @type {PdsNetwork} */ let network;
/** @type {Awaited<ReturnType<typeof startNats>>} */ let nats;
/** @type {Mirror} */ let mirror;
const agree = (/** @type {string} */ when) => mirror.agree(when);

/** @typedef {import('./pds_account.mjs').Account} Account */

/**
 * Something happens to an account while kv is dead. It happens to another account, and kv is killed as soon as a record
 * made after it is stored. Both write before and after it.
 * @param {Account} one @param {Account} other @param {(account: Account) => Promise<unknown>} change
 */
const betweenKills = async (one, other, change) => {
  await mirror.kill('kv');
  await one.posts(5);
  await change(one);
  await one.posts(5);
  mirror.start('kv');

  await other.posts(5);
  await change(other);
  const first = keyOfUri((await other.post()).uri);
  const writing = other.posts(20);
  try {
    await until('a record made after the change', async () => (await mirror.store()).has(first),
      { within: PATIENCE, alive: mirror.alive });
    await mirror.kill('kv');
  } finally {
    await writing;
  }
  mirror.start('kv');
};

before(async () => {
  for (const [variable, name] of [['RECORDKV', undefined], ['RECORDKV_NATS_SERVER', 'nats-server']]) program(variable, name);
  [network, nats] = await Promise.all([PdsNetwork.create(processes.directory('pds')), startNats(processes)]);
  await network.join('alice', 'bob', 'carol');
  mirror = new Mirror(processes, network, nats);
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
  mirror.start();
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

// Before any key changes: the second store begins with the oldest event, and old commits need old keys.
step('a directory that names a wrong key keeps that account out of the store, and no other', async () => {
  const [alice, bob, carol] = network.accounts;
  const about = { directory: network.plc, victim: bob.did, stranger: alice.did };
  const directory = await startFalseDirectory(processes, about);
  const misled = mirror.launch('ingest,kv', {
    'kv.bucket': 'misled', 'state.dir': processes.directory('misled'), 'identity.plc_url': directory.url,
  });
  await bob.post('signed, but not with the key that the directory names');
  await carol.post('after everything of Bob');

  const notBobs = (/** @type {string} */ key) => !bob.owns(key);
  const expected = await network.records(network.accounts.filter((account) => account !== bob));
  const gone = [...network.gone].filter(notBobs);
  await until('the records of the others, and an empty buffer', async () => {
    none(differences(expected, await readStore(nats.nc, 'misled'), { gone }));
    return (await (await jetstreamManager(nats.nc)).streams.info('misled_ingest')).state.messages === 0;
  }, { within: PATIENCE, every: 250, alive: [misled, nats.child] });
  assert.deepEqual([...(await readStore(nats.nc, 'misled')).keys()].filter(bob.owns).slice(0, 3), []);
  assert.ok(directory.lies() > 0, 'the false document was never asked for');
  assert.ok(!(await readStore(nats.nc, 'misled_repo')).has(bob.stateKey), 'a state of which no signed commit tells');
  assert.deepEqual(await misled.stop(30_000), { code: 0, signal: null }, misled.report());
  await agree('that follows the true directory');
});

step('kill -9 half way loses nothing and invents nothing', async () => {
  const [alice, bob, carol] = network.accounts;
  const stored = async () => (await mirror.store()).size;
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
      { within: PATIENCE, alive: mirror.alive });
    await mirror.kill();
  } finally {
    await writing;
  }
  await alice.remove(early);
  await bob.batch(200, 'com.example.whileDown');

  mirror.start();
  await work(3);
  await agree('after a kill -9');

  await mirror.kill();
  mirror.start();
  await alice.post('after the second kill');
  await agree('after a second kill -9');
});

step('a new handle changes no record, and is known, also after kill -9', async () => {
  const [alice, bob, carol] = network.accounts;
  const before = await agree('before a new handle');
  const handle = await alice.rename('alice-anew');
  assert.equal((await mirror.identified(alice)).handle, handle);
  assert.deepEqual(await mirror.store(), before);
  await alice.post('under a new handle');
  await agree('after a new handle');

  await mirror.kill();
  mirror.start('ingest');  // from now on it lives on when kv is killed
  mirror.start('kv');
  await betweenKills(bob, carol, (account) => account.rename(`${account === bob ? 'bob' : 'carol'}-anew`));
  await agree('after new handles between kills');
  for (const account of [bob, carol]) assert.match((await mirror.identified(account)).handle, /^(bob|carol)-anew\.test$/);
});

step('a new signing key is learnt from #identity, or from the first commit, also after kill -9', async () => {
  const [alice, bob, carol, dave] = network.accounts;
  const old = new Map();
  for (const account of network.accounts) old.set(account, (await mirror.identified(account)).key);

  await alice.post('with the old key');
  const key = await alice.rotateKey();
  await alice.announceKey();
  await alice.post('with the new key');
  await dave.post('with the old key');
  await dave.rotateKey();
  await dave.post('with the new key, of which nothing was told');
  await dave.announceKey();
  await agree('after new keys');
  assert.equal((await mirror.identified(alice)).key, key);

  await betweenKills(bob, carol, async (account) => {
    await account.rotateKey();
    await account.announceKey();
  });
  await agree('after new keys between kills');
  for (const account of network.accounts) assert.notEqual((await mirror.identified(account)).key, old.get(account));
});

step('in the end every account is synchronised and verified', async () => {
  await agree('in the end');
  assert.equal(network.present.length, 4);
  for (const account of network.present) {
    const newest = await account.newestRev();
    const state = await mirror.stateOf(account, 'to be of its newest commit', ({ rev }) => assert.equal(rev, newest));
    const { did, status, verified, reasons = [] } = state;
    assert.deepEqual({ did, status, verified, reasons },
      { did: account.did, status: 'synchronised', verified: true, reasons: [] }, state.error);
    await mirror.identified(account);
  }
});

test('recordkv, asked to stop, ends with 0', { timeout: PATIENCE }, () => mirror.stop());
