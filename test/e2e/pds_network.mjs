// Owns: a real PLC directory and one or more real PDSes on loopback, which accounts are on them, and what all of them
// say (describeRepo, listRecords and getRepoStatus, read as plain JSON). Nothing about the store, nor about what an
// account does (pds_account.mjs).
import assert from 'node:assert/strict';

import { AtpAgent } from '@atproto/api';
import { TestNetworkNoAppView, TestPds } from '@atproto/dev-env';

import { Account } from './pds_account.mjs';
import { keyOfUri } from './record_key.mjs';
import { parseExactly } from './store.mjs';

/** The network, its accounts, and the keys of what was deleted on it. */
export class PdsNetwork {
  /** @type {Account[]} */ accounts = [];
  /** @type {Set<string>} */ gone = new Set();

  /** @param {TestNetworkNoAppView} network @param {TestPds[]} hosts all its PDSes; the first one is `network.pds` */
  constructor(network, hosts) {
    this.network = network;
    this.hosts = hosts;
    this.plc = network.plc.url;
    /** What recordkv follows: the first PDS, or a relay. */
    this.firehose = `ws://127.0.0.1:${network.pds.port}`;
  }

  /** @param {string} dir where the PDSes keep their files @param {number} [hosts] @returns {Promise<PdsNetwork>} */
  static async create(dir, hosts = 1) {
    process.env.TMPDIR = dir;
    const network = await TestNetworkNoAppView.create({});
    const all = [network.pds];
    while (all.length < hosts) all.push(await TestPds.create({ didPlcUrl: network.plc.url }));
    return new PdsNetwork(network, all);
  }

  /** New accounts of the first PDS. @param {string[]} names */
  join(...names) {
    return this.joinAt(this.network.pds, ...names);
  }

  /** @param {TestPds} host @param {string[]} names */
  async joinAt(host, ...names) {
    for (const name of names) {
      const agent = new AtpAgent({ service: host.url });
      await agent.createAccount({ email: `${name}@example.com`, handle: `${name}.test`, password: `${name}-secret` });
      this.accounts.push(new Account(this, host, agent, name));
    }
    return this.accounts.slice(-names.length);
  }

  /** The accounts that are active. */
  get present() {
    return this.accounts.filter((account) => account.active);
  }

  /**
   * Everything the accounts hold, by key of the store.
   * @param {Account[]} [accounts] @param {(collection: string) => boolean} [wanted]
   * @returns {Promise<Map<string, import('./store.mjs').Expected>>}
   */
  async records(accounts = this.present, wanted = () => true) {
    const all = new Map();
    for (const { did, host } of accounts) {
      const { collections } = await ask(host, 'com.atproto.repo.describeRepo', { repo: did });
      for (const collection of collections.filter(wanted)) {
        for (let cursor = ''; ;) {
          const query = { repo: did, collection, limit: '100', ...(cursor && { cursor }) };
          const page = await ask(host, 'com.atproto.repo.listRecords', query);
          for (const { uri, cid, value } of page.records) all.set(keyOfUri(uri), { cid, value });
          cursor = page.cursor;
          if (!cursor || page.records.length === 0) break;
        }
      }
    }
    return all;
  }

  /** No PDS calls an account active that is not among `present`. */
  async assertOthersInactive() {
    for (const { active, did, host } of this.accounts) {
      if (active) continue;
      const answer = await fetch(`${host.url}/xrpc/com.atproto.sync.getRepoStatus?did=${did}`);
      const said = await answer.json();
      assert.ok(answer.ok ? said.active === false : said.error === 'RepoNotFound', `${did}: ${JSON.stringify(said)}`);
    }
  }

  async close() {
    for (const host of this.hosts.slice(1)) await host.close();
    await this.network.close();
  }
}

/** @param {TestPds} host @param {string} method @param {Record<string, string>} query @returns {Promise<any>} */
async function ask(host, method, query) {
  const answer = await fetch(`${host.url}/xrpc/${method}?${new URLSearchParams(query)}`);
  if (!answer.ok) throw new Error(`${method} answered ${answer.status}`);
  return parseExactly(await answer.text());
}
