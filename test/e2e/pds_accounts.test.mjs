// Owns: proof that accounts which go, return and move do so in the store, on real PDSes. Two of them, a PLC directory
// and a relay run on loopback: accounts are deactivated, taken down, deleted, made anew under the same handle, moved,
// and added by hand. In each step recordkv is killed (-9) at some moment. After each the store equals what the PDSes
// list of every active account, and holds nothing of the others; `repo show` says how each account stands.
// Does not know: records and their shapes (pds.test.mjs).
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { jetstream, jetstreamManager } from '@nats-io/jetstream';

import { Mirror, steps } from './mirror.mjs';
import { LIKE, ODD, POST } from './pds_account.mjs';
import { Move } from './pds_move.mjs';
import { PdsNetwork } from './pds_network.mjs';
import { Relay } from './pds_relay.mjs';
import { PATIENCE, Processes, bounded, freePort, program, until } from './processes.mjs';
import { keyOfUri } from './record_key.mjs';
import { startNats } from './services.mjs';

/** @typedef {import('./pds_account.mjs').Account} Account */
/** @typedef {import('@atproto/dev-env').TestPds} TestPds */

const WANTED = ['app.bsky.*', 'com.example.kept.*'];
const wanted = (/** @type {string} */ collection) => WANTED.some((w) => collection.startsWith(w.slice(0, -1)));

const processes = new Processes();
const step = steps();
/** @type {PdsNetwork} */ let network;
/** @type {TestPds} */ let one;
/** @type {TestPds} */ let two;
/** @type {Relay} */ let relay;
/** @type {Awaited<ReturnType<typeof startNats>>} */ let nats;
/** @type {Mirror} */ let mirror;
/** @type {Account} it had records before the relay began, and the relay has told nothing of it */ let stranger;

const start = () => { mirror.start('ingest'); mirror.start('kv'); };
const kill = () => Promise.all([mirror.kill('ingest'), mirror.kill('kv')]);
const agree = (/** @type {string} */ when) => mirror.agree(when);

/** Some records of each kind, and some that the store does not want. */
async function fill(/** @type {Account} */ account) {
  await account.profile(`the profile of ${account.name}`);
  await account.posts(3);
  await account.batch(100, 'com.example.kept.things');
  await account.create(ODD, { of: account.name }, 'self');
}

/** The keys with a value that the store has of an account. */
const held = (/** @type {Account} */ account, /** @type {Map<string, {deleted: boolean}>} */ store) =>
  [...store].filter(([key, { deleted }]) => account.owns(key) && !deleted).map(([key]) => key);

/** Every one of these keys has a delete marker of its own. */
const assertMarked = (/** @type {string[]} */ keys, /** @type {Map<string, {deleted: boolean}>} */ store) =>
  assert.deepEqual(keys.filter((key) => !store.get(key)?.deleted).slice(0, 5), []);

const AT_DELETE = 'repair.delete:50', AT_PUT = 'repair.put:50';  // of the 100 and more that each account has

/** Every message of every stream that has this text in it, delete markers and states included. */
async function messagesWith(/** @type {string} */ text) {
  const { streams } = await jetstreamManager(nats.nc);
  const found = [];
  for await (const { config: { name, retention }, state } of streams.list()) {
    if (retention === 'workqueue') {  // nothing but stage kv may read it
      await until(`stream ${name} to be empty`, async () => (await streams.info(name)).state.messages === 0);
      continue;
    }
    if (state.messages === 0) continue;
    const consumer = await jetstream(nats.nc).consumers.get(name);
    const messages = await consumer.consume();
    for await (const message of messages) {
      if (Buffer.from(message.data).includes(text)) found.push(message.subject);
      if (message.seq >= state.last_seq) break;
    }
    await messages.close();
    await consumer.delete();
  }
  return found;
}

before(async () => {
  for (const [variable, name] of [['RECORDKV', undefined], ['RECORDKV_NATS_SERVER', 'nats-server']]) program(variable, name);
  [network, nats] = await Promise.all([PdsNetwork.create(processes.directory('pds'), 2), startNats(processes)]);
  [one, two] = network.hosts;
  [stranger] = await network.join('stranger');
  await fill(stranger);
  network.accounts = [];
  relay = await Relay.start(network.hosts);
  network.firehose = relay.url;
  mirror = new Mirror(processes, network, nats, {
    wanted, settings: { 'source.collections': WANTED.join(','), 'repos.retry': '500ms' },
  });
}, { timeout: 60_000 });

after(async () => {
  relay?.close();
  await network?.close();
  await processes.close();
}, { timeout: 60_000 });

step('a relay of two PDSes is mirrored', async () => {
  const [alice] = await network.join('alice');
  const [bob] = await network.joinAt(two, 'bob');
  for (const account of network.accounts) await fill(account);
  await bob.like(await alice.post());
  await alice.remove(await alice.like(await bob.post()));
  start();
  await agree('at first');
});

step('an account that is deactivated goes, and returns with all that it did meanwhile', async () => {
  const [carol] = await network.join('carol');
  await fill(carol);
  const before = held(carol, await agree('with another account'));
  await mirror.killAt(AT_DELETE, () => carol.deactivate());
  await mirror.shown(carol, { status: 'inactive', upstream_status: 'deactivated' });
  assertMarked(before, await agree('without it'));

  await kill();
  const hidden = await carol.postWhileInactive();
  start();
  await carol.reactivate();
  const { rev } = await carol.post('back again');
  await mirror.shown(carol, { status: 'synchronised', upstream_status: undefined, rev });
  assert.equal((await agree('with it again')).get(keyOfUri(hidden.uri))?.deleted, false);
});

step('an account that is taken down goes, and returns', async () => {
  const [dave] = await network.joinAt(two, 'dave');
  await fill(dave);
  const before = held(dave, await agree('before a take-down'));
  await dave.takeDown();
  await mirror.kill('kv');
  mirror.start('kv');
  await mirror.shown(dave, { status: 'inactive', upstream_status: 'takendown' });
  assertMarked(before, await agree('after a take-down'));

  await mirror.killAt(AT_PUT, () => dave.takeDown(false));
  await mirror.shown(dave, { status: 'synchronised', upstream_status: undefined, rev: await dave.newestRev() });
  await agree('after its end');
  await dave.post('after the take-down');
  await agree('after a post that follows it');
});

step('an account whose #account was lost goes once its repo is asked for, and returns with the next one', async () => {
  const [ivan] = await network.join('ivan');
  await fill(ivan);
  const before = held(ivan, await agree('before a lost #account'));
  relay.lost.set(ivan.did, 0);
  await ivan.deactivate();
  await until('the relay to lose it', () => relay.lost.get(ivan.did) === 1);
  relay.lost.delete(ivan.did);
  await mirror.killAt(AT_DELETE, async () => {
    assert.equal((await mirror.command('resync', ivan.did)).code, 0);
  });
  await mirror.shown(ivan, { status: 'inactive', upstream_status: 'deactivated' });
  assertMarked(before, await agree('without it'));
  await ivan.reactivate();
  await mirror.shown(ivan, { status: 'synchronised', upstream_status: undefined, rev: await ivan.newestRev() });
  await agree('with it again');
});

step('an account that is deleted goes, and nothing of it is left', async () => {
  const [erin] = await network.join('erin');
  await fill(erin);
  const secret = 'a text that nothing may hold on to';
  await erin.post(secret);
  const before = held(erin, await agree('before a deletion'));
  assert.ok((await messagesWith(secret)).length > 0);

  await mirror.killAt(AT_DELETE, () => erin.delete());
  await mirror.shown(erin, { status: 'deleted', upstream_status: 'deleted', handle: undefined, key: undefined,
    pds: undefined, collections: [] });
  assertMarked(before, await agree('after a deletion'));
  assert.deepEqual(await messagesWith(secret), []);
  assert.deepEqual(await messagesWith('the profile of erin'), []);
});

step('another account has the handle of one that was deleted', async () => {
  const erin = network.accounts.find(({ name }) => name === 'erin');
  const [again] = await network.joinAt(two, 'erin');
  assert.ok(erin && again.did !== erin.did);
  await fill(again);
  await kill();
  await again.profile('Erin, made anew');
  start();
  await mirror.shown(again, { status: 'synchronised', handle: 'erin.test', rev: await again.newestRev() });
  await agree('after an account with a former handle');
  await mirror.shown(erin, { status: 'deleted' });
  const { code, out } = await mirror.command('show', 'erin.test', '--json');
  assert.deepEqual([code, JSON.parse(out).did], [0, again.did]);
});

/** Does something of which the relay tells by #account. @returns the number of this #account */
const told = async (/** @type {Account} */ { did }, /** @type {() => Promise<unknown>} */ act) => {
  const before = relay.newest(did, '#account');
  await act();
  return until('the relay to tell of it', () => relay.newest(did, '#account') > before && relay.newest(did, '#account'));
};

/** Waits until recordkv has acted on this #account. The account's state then becomes as expected. */
const settled = async (/** @type {Account} */ account, /** @type {number} */ number,
  /** @type {Record<string, unknown>} */ expected) => {
  await mirror.stateOf(account, `to be of #account ${number}`, ({ account_seq: numbers }) =>
    assert.equal(/** @type {any} */ (Object.values(numbers)[0])[1], number));
  return mirror.shown(account, expected);
};

step('an account moves to another PDS, and nothing that its former PDS says is believed', async () => {
  const [frank] = await network.join('frank');
  await fill(frank);
  const before = held(frank, await agree('before a move'));
  const move = new Move(frank, two);
  await move.import();
  await kill();
  await move.pointDirectory();
  start();
  await told(frank, () => move.activate());
  await mirror.kill('kv');
  const deactivation = await told(frank, () => move.deactivateFormer());
  mirror.start('kv');
  const here = { status: 'synchronised', upstream_status: undefined, pds: two.url, error: undefined };
  await settled(frank, deactivation, here);
  assert.deepEqual(held(frank, await agree('after a move')), before);

  const { rev } = await frank.post('at the new PDS');
  await mirror.shown(frank, { ...here, rev });
  const after = held(frank, await agree('after a post at the new PDS'));
  await settled(frank, await told(frank, () => move.deleteFormer()), here);
  assert.deepEqual(held(frank, await agree('after the deletion of the former account')), after);
  await frank.post('and another one');
  await agree('in the end of a move');
});

step('an account that is inactive at both PDSes during its move goes, and returns', async () => {
  const [grace] = await network.joinAt(two, 'grace');
  await fill(grace);
  const before = held(grace, await agree('before another move'));
  const move = new Move(grace, one);
  await move.import();
  await move.pointDirectory();
  await mirror.killAt(AT_DELETE, () => move.deactivateFormer());
  grace.active = false;
  await mirror.shown(grace, { status: 'inactive', upstream_status: 'deactivated', pds: one.url });
  assertMarked(before, await agree('while it is nowhere'));

  await mirror.killAt(AT_PUT, () => move.activate());
  grace.active = true;
  await mirror.shown(grace, { status: 'synchronised', upstream_status: undefined, pds: one.url });
  await agree('after another move');
  const { rev } = await grace.post('at its new PDS');
  await mirror.shown(grace, { status: 'synchronised', rev });
  await agree('after a post that follows the move');
});

step('an account that existed before is added by hand', async () => {
  assert.equal((await mirror.command('show', stranger.did)).code, 1, 'it is known already');
  /** @type {import('./processes.mjs').Child | undefined} */ let adding;
  await mirror.killAt(AT_PUT, async () => { adding = mirror.begin('add', stranger.did, '--wait'); });
  assert.ok(adding);
  const { code } = await bounded('repo add --wait', adding.end, PATIENCE);
  assert.equal(code, 0, adding.report());
  network.accounts.push(stranger);
  await agree('with an account of before');
  const rev = await stranger.newestRev();
  await mirror.shown(stranger, { status: 'synchronised', rev, complete: true, followed: true, verified: true });
  await stranger.post('followed from now on');
  await agree('with its next post');
});

step('in the end each account stands as its PDS says', async () => {
  for (const account of network.present) {
    const { did } = account;
    await mirror.shown(account, { did, status: 'synchronised', verified: true, rev: await account.newestRev() });
    await mirror.identified(account);
  }
  const gone = network.accounts.filter(({ active }) => !active);
  assert.deepEqual(gone.map(({ name }) => name), ['erin']);
  await mirror.kill('kv');
  mirror.start('kv');
  await network.accounts[0].post('the last');
  await agree('in the end');
});

/** What a developer does first: an empty directory, no configuration, no NATS server. */
step('`recordkv up --repo` has the records of an account, and its likes in the table', async () => {
  const [alice] = network.accounts;
  for (const text of ['one', 'two', 'three']) await stranger.like(await alice.post(text));
  await stranger.post('mine');
  const records = await network.records([stranger], (collection) => [LIKE, POST].includes(collection));
  const settings = {
    'nats.url': `nats://127.0.0.1:${await freePort()}`, 'state.dir': processes.directory('up'), 'http.listen': '',
    'source.url': network.firehose, 'identity.plc_url': network.plc, 'identity.allow_private_hosts': 'true',
  };
  const sets = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const up = processes.start('recordkv up', program('RECORDKV'), [...sets, 'up', '--repo', stranger.did],
    { RECORDKV_NATS_SERVER: program('RECORDKV_NATS_SERVER', 'nats-server') });
  const [line, count] = await up.line(/^did:.*: in the store after .* s: (\d+) records.*$/, PATIENCE);
  assert.equal(Number(count), records.size, line);
  await up.line(/^rows of it in views after .* s: likes 3\b.*$/, PATIENCE);
  await up.line(/^try: recordkv likes --by did:/);
  assert.deepEqual(await up.stop(30_000), { code: 0, signal: null }, up.report());
});

test('recordkv, asked to stop, ends with 0', { timeout: PATIENCE }, () => mirror.stop());
