// Owns: what an account of a real PDS does: records of every shape, and the events of its life. Every act goes through
// the endpoint that an app or an administrator uses, where there is one. Nothing about the store.
import { writeFile } from 'node:fs/promises';

import { keyOfUri } from './record_key.mjs';

export const LIKE = 'app.bsky.feed.like';
export const POST = 'app.bsky.feed.post';
export const PROFILE = 'app.bsky.actor.profile';
export const ODD = 'com.example.oddThing';

/** @typedef {import('@atproto/api').AtpAgent} AtpAgent */
/** @typedef {import('@atproto/dev-env').TestPds} TestPds */

const multikey = (/** @type {string} */ didKey) => didKey.replace('did:key:', '');
const at = (/** @type {number} */ n) => new Date(Date.UTC(2025, 0, 1) + n * 1000).toISOString();

/** One account and what it does. Every act is over when the PDS has sequenced it. */
export class Account {
  #count = 0;
  active = true;

  /**
   * @param {import('./pds_network.mjs').PdsNetwork} network @param {TestPds} host @param {AtpAgent} agent
   * @param {string} name
   */
  constructor(network, host, agent, name) {
    this.network = network;
    this.host = host;
    this.agent = agent;
    this.name = name;
    this.password = `${name}-secret`;
    this.did = agent.assertDid;
    const [partition, , , , token] = keyOfUri(`at://${this.did}/x.y.z/self`).split('.');
    this.token = token;
    this.stateKey = `${partition}.${token}`;  // in bucket repo
  }

  /** Is this key of the store one of its records'? */
  owns = (/** @type {string} */ key) => key.split('.').at(-2) === this.token;

  /** What the directory says of it: its signing key, a multikey, and its handle. */
  async identity() {
    const { verificationMethods, alsoKnownAs } = await (await fetch(`${this.network.plc}/${this.did}/data`)).json();
    return { key: multikey(verificationMethods.atproto), handle: alsoKnownAs[0].replace('at://', '') };
  }

  /** The rev of its newest commit. @returns {Promise<string>} */
  async newestRev() {
    return (await this.agent.com.atproto.sync.getLatestCommit({ did: this.did })).data.rev;
  }

  /**
   * Another handle. The directory learns it, and the PDS sends #identity.
   * @param {string} name @returns {Promise<string>} the handle
   */
  async rename(name) {
    const handle = `${name}.test`;
    await this.agent.com.atproto.identity.updateHandle({ handle });
    return handle;
  }

  /**
   * Another signing key. The directory learns it, and the PDS signs with it from now on. It announces nothing yet.
   * @returns {Promise<string>} the new key, a multikey
   */
  async rotateKey() {
    const { actorStore, plcClient, plcRotationKey } = this.host.ctx;
    const did = await actorStore.reserveKeypair();
    const key = await actorStore.getReservedKeypair(did);
    await plcClient.updateAtprotoKey(this.did, plcRotationKey, did);
    await writeFile((await actorStore.getLocation(this.did)).keyLocation, await key.export());
    await actorStore.clearReservedKeypair(did);
    return multikey(did);
  }

  /** What the PDS's own script for new keys does next: a commit without ops, of which #sync tells, behind #identity. */
  async announceKey() {
    const { actorStore, sequencer } = this.host.ctx;
    const commit = await actorStore.transact(this.did, async ({ repo }) => {
      await repo.processWrites([]);
      return repo.getSyncEventData();
    });
    await sequencer.sequenceIdentityEvt(this.did);
    await sequencer.sequenceSyncEvt(this.did, commit);
  }

  async deactivate() {
    this.active = false;
    await this.agent.com.atproto.server.deactivateAccount({});
  }

  async reactivate() {
    await this.agent.com.atproto.server.activateAccount();
    this.active = true;
  }

  /** An administrator of its PDS takes it down, or lets it return. */
  async takeDown(applied = true) {
    const subject = { $type: /** @type {const} */ ('com.atproto.admin.defs#repoRef'), did: this.did };
    await this.host.getClient().com.atproto.admin.updateSubjectStatus(
      { subject, takedown: { applied, ...(applied && { ref: 'test' }) } },
      { headers: this.host.adminAuthHeaders(), encoding: 'application/json' });
    this.active = !applied;
  }

  /** The token that its PDS would send by mail. @param {'delete_account' | 'plc_operation'} purpose */
  mailed(purpose) {
    return this.host.ctx.accountManager.createEmailToken(this.did, purpose);
  }

  async delete() {
    const token = await this.mailed('delete_account');
    await this.agent.com.atproto.server.deleteAccount({ did: this.did, password: this.password, token });
    this.active = false;
  }

  /** A post of a deactivated account. The PDS would refuse it, so meanwhile it takes the account for an active one. */
  async postWhileInactive() {
    const { accountManager } = this.host.ctx;
    await accountManager.activateAccount(this.did);
    const post = await this.post();
    await accountManager.deactivateAccount(this.did, null);
    return post;
  }

  /**
   * @param {string} collection @param {object} record @param {string} [rkey]
   * @returns {Promise<{uri: string, cid: string, rev?: string}>}
   */
  async create(collection, record, rkey) {
    const { data } = await this.agent.com.atproto.repo.createRecord({
      repo: this.did, collection, record: { $type: collection, ...record }, ...(rkey && { rkey }), validate: false,
    });
    return { uri: data.uri, cid: data.cid, rev: data.commit?.rev };
  }

  /** Creates or replaces. @param {string} collection @param {string} rkey @param {object} record */
  async put(collection, rkey, record) {
    const { data } = await this.agent.com.atproto.repo.putRecord({
      repo: this.did, collection, rkey, record: { $type: collection, ...record }, validate: false,
    });
    return { uri: data.uri, cid: data.cid };
  }

  /** @param {{uri: string}} record @returns {Promise<string>} the key that is a delete marker from now on */
  async remove({ uri }) {
    const [collection, rkey] = uri.split('/').slice(-2);
    await this.agent.com.atproto.repo.deleteRecord({
      repo: this.did, collection: String(collection), rkey: String(rkey),
    });
    this.network.gone.add(keyOfUri(uri));
    return keyOfUri(uri);
  }

  /** @param {string} [text] */
  post(text = `post ${this.#count} of ${this.did}`) {
    return this.create(POST, { text, createdAt: at(this.#count++) });
  }

  /** @param {number} count */
  async posts(count) {
    for (let n = 0; n < count; n++) await this.post();
  }

  /** @param {{uri: string, cid: string}} subject */
  like({ uri, cid }) {
    return this.create(LIKE, { subject: { uri, cid }, createdAt: at(this.#count++) });
  }

  /** @param {string} displayName */
  profile(displayName) {
    return this.put(PROFILE, 'self', { displayName, description: 'ünïcode, 日本語, 👩‍🚀' });
  }

  /**
   * One commit with `count` creates, as large as a commit may be at 200.
   * @param {number} count @param {string} collection
   */
  async batch(count, collection = 'com.example.batch') {
    const writes = Array.from({ length: count }, (_, n) => ({
      $type: /** @type {const} */ ('com.atproto.repo.applyWrites#create'),
      collection, rkey: `entry-${n}`, value: { $type: collection, n, text: `number ${n}` },
    }));
    await this.agent.com.atproto.repo.applyWrites({ repo: this.did, writes, validate: false });
    return writes.map(({ rkey }) => ({ uri: `at://${this.did}/${collection}/${rkey}` }));
  }

  /** One commit that creates, updates and deletes. @param {{uri: string}} doomed @param {{uri: string}} changed */
  async mixedCommit(doomed, changed) {
    const [where, which] = [doomed, changed].map(({ uri }) => uri.split('/').slice(-2));
    await this.agent.com.atproto.repo.applyWrites({
      repo: this.did, validate: false, writes: [
        { $type: 'com.atproto.repo.applyWrites#create', collection: ODD, rkey: 'made-in-a-mix', value: { $type: ODD, n: 1 } },
        { $type: 'com.atproto.repo.applyWrites#update', collection: String(which?.[0]), rkey: String(which?.[1]),
          value: { $type: String(which?.[0]), text: 'changed in a mix' } },
        { $type: 'com.atproto.repo.applyWrites#delete', collection: String(where?.[0]), rkey: String(where?.[1]) },
      ],
    });
    this.network.gone.add(keyOfUri(doomed.uri));
  }

  /** Records at the edges of the data model and of the syntax of record keys. */
  async oddities() {
    const { data: { blob } } = await this.agent.uploadBlob(new TextEncoder().encode('not really a picture'),
      { encoding: 'application/octet-stream' });
    const rkeys = ['weird:key_~1', '~', '_', '-', 'a.b-c_d~e:f', 'x'.repeat(512), 'did:web:example.com:8080', '0'];
    for (const rkey of rkeys) await this.create(ODD, { rkey }, rkey);
    await this.create(ODD, { zero: 0, one: -1, most: Number.MAX_SAFE_INTEGER, least: Number.MIN_SAFE_INTEGER,
      yes: true, no: false, nothing: null, empty: '', list: [], map: {} }, 'scalars');
    await this.create(ODD, { a: { b: { c: { d: [[[{ e: [1, [2, [3]]] }]]] } } }, '': 'an empty name', 'ключ': 'значение',
      long: 'ß'.repeat(5000), controls: '\u0000\u0001\t\r\n"\\/\u007f\u2028', astral: '😀𐍈', combining: 'e\u0301' }, 'nested');
    await this.create(ODD, { bytes: { $bytes: 'AAEC/v8' }, none: { $bytes: '' }, link: { $link: blob.ref.toString() } }, 'links');
    await this.create(ODD, { picture: blob, more: [{ attached: blob }] }, 'blobs');
    await this.create('com.example.a-0.b-1.veryLongName', { n: 1 }, 'self');
  }
}
