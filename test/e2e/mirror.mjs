// Owns: recordkv beside a real network: its start, and the facts that tests wait for: the store equals what the network
// says, an account's state is as expected. Also steps of a test that stand on one another.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PATIENCE, bounded, program, until } from './processes.mjs';
import { startRecordkv } from './services.mjs';
import { differences, none, readStore } from './store.mjs';

/** @typedef {import('./pds_account.mjs').Account} Account */
/** @typedef {import('./processes.mjs').Child} Child */

/** Steps that stand on the ones before: after a failure the later ones say so, and wait for nothing that can't come. */
export function steps() {
  let sound = true;
  return (/** @type {string} */ name, /** @type {(t: import('node:test').TestContext) => Promise<void>} */ run) =>
    test(name, { timeout: 4 * PATIENCE }, async (t) => {
      assert.ok(sound, 'not tried, because the test before it failed');
      sound = false;
      await run(t);
      sound = true;
    });
}

export class Mirror {
  /** @type {Map<string, Child>} by stages */ #children = new Map();

  /**
   * @param {import('./processes.mjs').Processes} processes @param {import('./pds_network.mjs').PdsNetwork} network
   * @param {Awaited<ReturnType<import('./services.mjs')['startNats']>>} nats
   * @param {{settings?: Record<string, string>, wanted?: (collection: string) => boolean}} [about] settings of all
   *   processes; which collections the store wants
   */
  constructor(processes, network, nats, { settings = {}, wanted = () => true } = {}) {
    this.processes = processes;
    this.network = network;
    this.nats = nats;
    this.settings = settings;
    this.wanted = wanted;
  }

  /**
   * A process that no fact below depends on.
   * @param {string} [stages] @param {Record<string, string>} [settings] @param {Record<string, string>} [env]
   */
  launch(stages = 'ingest,kv', settings = {}, env = {}) {
    const { network, nats } = this;
    return startRecordkv(this.processes, {
      nats: nats.url, stages, env, settings: {
        'source.kind': 'firehose', 'source.url': network.firehose, 'source.start': 'oldest', 'kv.verify': 'full',
        'identity.plc_url': network.plc, 'identity.allow_private_hosts': 'true', ...this.settings, ...settings,
      },
    });
  }

  /** @param {string} [stages] @param {Record<string, string>} [env] */
  start(stages = 'ingest,kv', env = {}) {
    this.#children.set(stages, this.launch(stages, {}, env));
  }

  /** kill -9 @param {string} [stages] */
  async kill(stages = 'ingest,kv') {
    const child = this.#children.get(stages);
    assert.ok(child && !child.ended, `nothing to kill; ${child?.report() ?? 'nothing was started'}`);
    this.#children.delete(stages);
    assert.equal((await child.kill()).signal, 'SIGKILL', child.report());
  }

  /**
   * kill -9 of stage kv while it does something: at the nth passing of a point in its code. It was killed before, too.
   * @param {string} point "NAME:N" @param {() => Promise<unknown>} act leads it there
   */
  async killAt(point, act) {
    await this.kill('kv');
    this.start('kv', { RECORDKV_TEST_CRASH: point });
    const child = this.#children.get('kv');
    assert.ok(child);
    this.#children.delete('kv');
    await act();
    const { signal } = await bounded(`kv to reach ${point}; ${child.report()}`, child.end, PATIENCE);
    assert.equal(signal, 'SIGKILL', child.report());
    this.start('kv');
  }

  /** Each process, asked to stop, ends with 0. */
  async stop() {
    assert.ok(this.#children.size > 0, 'nothing to stop');
    for (const child of this.#children.values())
      assert.deepEqual(await child.stop(30_000), { code: 0, signal: null }, child.report());
  }

  get alive() {
    return [...this.#children.values(), this.nats.child];
  }

  store(bucket = 'record') {
    return readStore(this.nats.nc, bucket);
  }

  /** Waits until the store equals what the PDSes list of every active account, and holds nothing else. */
  async agree(/** @type {string} */ when) {
    const expected = await this.network.records(this.network.present, this.wanted);
    await this.network.assertOthersInactive();
    return until(`the store to equal the PDS ${when}`, async () => {
      const store = await this.store();
      return none(differences(expected, store, { gone: this.network.gone })) && store;
    }, { within: PATIENCE, every: 250, alive: this.alive });
  }

  /**
   * Waits for an account's state that passes the check.
   * @param {Account} account @param {string} what @param {(state: any) => unknown} check @param {string} [bucket]
   * @returns {Promise<any>}
   */
  stateOf(account, what, check, bucket = 'repo') {
    return until(`the state of ${account.did} ${what}`, async () => {
      const state = /** @type {any} */ ((await this.store(bucket)).get(account.stateKey)?.value);
      assert.ok(state, 'it has none');
      await check(state);
      return state;
    }, { within: PATIENCE, every: 100, alive: this.alive });
  }

  /** Waits until the account's state names the key and the handle that the directory has. */
  identified(/** @type {Account} */ account) {
    return this.stateOf(account, 'to name its key and its handle', async ({ key, handle }) =>
      assert.deepEqual({ key, handle }, await account.identity()));
  }

  /** A command beside the running processes. @param {string[]} words */
  begin(...words) {
    return this.processes.start('recordkv repo', program('RECORDKV'),
      ['--set', `nats.url=${this.nats.url}`, '--set', `identity.plc_url=${this.network.plc}`, 'repo', ...words]);
  }

  /**
   * The same, to its end.
   * @param {string[]} words @returns {Promise<{code: number | null, out: string, report: string}>}
   */
  async command(...words) {
    const child = this.begin(...words);
    const { code } = await child.end;
    return { code, out: child.stdout, report: child.report() };
  }

  /**
   * Waits until `repo show` says these things of the account.
   * @param {Account} account @param {Record<string, unknown>} expected @returns {Promise<any>} all that it says
   */
  shown(account, expected) {
    return until(`repo show of ${account.did}`, async () => {
      const { code, out, report } = await this.command('show', account.did, '--json');
      assert.equal(code, 0, report);
      const all = JSON.parse(out);
      assert.deepEqual(Object.fromEntries(Object.keys(expected).map((name) => [name, all[name]])), expected, out);
      return all;
    }, { within: PATIENCE, every: 250, alive: this.alive });
  }
}
