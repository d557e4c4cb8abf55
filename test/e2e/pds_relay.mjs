// Owns: the smallest relay that merges the firehoses of several real PDSes: it gives the frames numbers of its own, and
// keeps all of them for readers that come later. Frames are read and written by the PDS's own code. Unlike a real
// relay, it checks nothing: also what an account's former PDS says of it goes out. On command it loses frames.
import { Frame, MessageFrame } from '@atproto/xrpc-server';
import { WebSocket, WebSocketServer } from 'ws';

const METHOD = '/xrpc/com.atproto.sync.subscribeRepos';

export class Relay {
  /** @type {{did: string, type: string, bytes: Uint8Array}[]} frame n has number n + 1 */ #frames = [];
  /** @type {Set<() => void>} one for each reader */ #readers = new Set();
  #server = new WebSocketServer({ host: '127.0.0.1', port: 0, path: METHOD });
  /** @type {WebSocket[]} */ #upstreams = [];
  /** @type {Error | undefined} */ #fault;
  /** DIDs whose #account is lost, with how many were. @type {Map<string, number>} */ lost = new Map();

  /**
   * Begins with what each PDS sends from now on.
   * @param {import('@atproto/dev-env').TestPds[]} hosts @returns {Promise<Relay>}
   */
  static async start(hosts) {
    const relay = new Relay();
    const listening = new Promise((done, failed) => relay.#server.once('listening', done).once('error', failed));
    relay.#server.on('connection', (reader, { url }) => relay.#serve(reader, new URL(String(url), 'ws://relay')));
    await Promise.all([listening, ...hosts.map((host) => relay.#follow(host))]);
    return relay;
  }

  get url() {
    return `ws://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (this.#server.address()).port}`;
  }

  /** The number of the newest frame of this type about this account; 0: there was none. */
  newest(/** @type {string} */ did, /** @type {string} */ type) {
    if (this.#fault) throw this.#fault;
    return this.#frames.findLastIndex((frame) => frame.did === did && frame.type === type) + 1;
  }

  close() {
    for (const socket of [...this.#upstreams, ...this.#server.clients]) socket.terminate();
    this.#server.close();
  }

  /** @param {import('@atproto/dev-env').TestPds} host */
  async #follow(host) {
    const cursor = await host.ctx.sequencer.curr() ?? 0;
    const upstream = new WebSocket(`ws://127.0.0.1:${host.port}${METHOD}?cursor=${cursor}`);
    this.#upstreams.push(upstream);
    upstream.on('message', (bytes) => this.#take(/** @type {Buffer} */ (bytes)));
    await new Promise((done, failed) => upstream.once('open', done).once('error', failed));
  }

  /** @param {Buffer} bytes */
  #take(bytes) {
    const { header, body } = Frame.fromBytes(bytes);
    if (header.op !== 1) {
      this.#fault ??= new Error(`a PDS has sent the error ${JSON.stringify(body)}`);
      return;
    }
    const { t: type } = header;
    const did = body.did ?? body.repo;
    const losses = this.lost.get(did);
    if (losses !== undefined && type === '#account') {
      this.lost.set(did, losses + 1);
      return;
    }
    const renumbered = new MessageFrame({ ...body, seq: this.#frames.length + 1 }, { type });
    this.#frames.push({ did, type, bytes: renumbered.toBytes() });
    for (const read of this.#readers) read();
  }

  /** @param {WebSocket} reader @param {URL} url */
  #serve(reader, url) {
    const cursor = url.searchParams.get('cursor');
    let sent = cursor === null ? this.#frames.length : Number(cursor);
    const read = () => { while (sent < this.#frames.length) reader.send(this.#frames[sent++].bytes); };
    this.#readers.add(read);
    reader.once('close', () => this.#readers.delete(read));
    read();
  }
}
