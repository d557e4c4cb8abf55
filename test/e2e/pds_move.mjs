// Owns: the move of an account to another PDS, one act at a time, by the endpoints that an app uses for it. Between the
// acts a test does what it wants. Blobs stay behind: a record needs none to be stored.
import { AtpAgent } from '@atproto/api';

/** @typedef {import('./pds_account.mjs').Account} Account */

export class Move {
  /** @param {Account} account @param {import('@atproto/dev-env').TestPds} host where it goes */
  constructor(account, host) {
    this.account = account;
    this.former = { host: account.host, agent: account.agent };
    this.host = host;
    this.agent = new AtpAgent({ service: host.url });
  }

  /** An inactive account on the new PDS, with the repo of the former one. Neither PDS sends an event. */
  async import() {
    const { did, name, password } = this.account;
    const { data: { did: audience } } = await this.agent.com.atproto.server.describeServer();
    const { data: { token } } = await this.former.agent.com.atproto.server.getServiceAuth(
      { aud: audience, lxm: 'com.atproto.server.createAccount' });
    const { handle } = await this.account.identity();
    await this.agent.com.atproto.server.createAccount({ did, handle, email: `${name}@example.com`, password },
      { headers: { authorization: `Bearer ${token}` }, encoding: 'application/json' });
    await this.agent.login({ identifier: handle, password });
    const { data: repo } = await this.former.agent.com.atproto.sync.getRepo({ did });
    await this.agent.com.atproto.repo.importRepo(repo, { encoding: 'application/vnd.ipld.car' });
  }

  /** The directory names the new PDS and its key. The new PDS sends #identity. */
  async pointDirectory() {
    const { data: credentials } = await this.agent.com.atproto.identity.getRecommendedDidCredentials();
    const token = await this.account.mailed('plc_operation');
    const { data: { operation } } = await this.former.agent.com.atproto.identity.signPlcOperation(
      { token, ...credentials });
    await this.agent.com.atproto.identity.submitPlcOperation({ operation });
    Object.assign(this.account, { host: this.host, agent: this.agent });
  }

  /** The new PDS sends #account, #identity and #sync. */
  async activate() {
    await this.agent.com.atproto.server.activateAccount();
  }

  /** The former PDS sends #account `deactivated`. */
  async deactivateFormer() {
    await this.former.agent.com.atproto.server.deactivateAccount({});
  }

  /** The former PDS sends #account `deleted`. */
  async deleteFormer() {
    const { did, password } = this.account;
    const token = await this.former.host.ctx.accountManager.createEmailToken(did, 'delete_account');
    await this.former.agent.com.atproto.server.deleteAccount({ did, password, token });
  }
}
