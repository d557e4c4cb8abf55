// Owns: how these tests start nats-server, recordkv and the simulator, and what fact says that each is ready. Nothing
// about what the tests then expect of them.
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';

import { program, until } from './processes.mjs';
import { readTruth } from './store.mjs';

/** @typedef {import('./processes.mjs').Processes} Processes */
/** @typedef {import('./processes.mjs').Child} Child */
/** @typedef {import('@nats-io/transport-node').NatsConnection} NatsConnection */

/**
 * A JetStream server on a port of its own choosing, and a connection to it that ends with the processes.
 * @param {Processes} processes
 * @returns {Promise<{url: string, child: Child, nc: NatsConnection}>}
 */
export async function startNats(processes) {
  const dir = processes.directory('nats');
  const config = join(dir, 'server.conf');
  await writeFile(config, [
    'listen: "127.0.0.1:-1"', `ports_file_dir: "${dir}"`, 'max_payload: 8MB',
    `jetstream { store_dir: "${join(dir, 'store')}" }`, '',
  ].join('\n'));
  const child = processes.start('nats-server', program('RECORDKV_NATS_SERVER', 'nats-server'), ['-c', config]);
  const url = await until('nats-server to open its port', async () => {
    const file = (await readdir(dir)).find((name) => name.endsWith('.ports'));
    return file && JSON.parse(await readFile(join(dir, file), 'utf8')).nats[0];
  }, { alive: [child] });
  const nc = await connect({ servers: url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  processes.closeFirst(() => nc.close());
  await until('JetStream to answer', async () => (await jetstreamManager(nc)).getAccountInfo(), { alive: [child] });
  return { url, child, nc };
}

/**
 * The service, without HTTP.
 * @param {Processes} processes
 * @param {{nats: string, settings: Record<string, string>, stages?: string, state?: string,
 *   env?: Record<string, string>}} options
 * @returns {Child}
 */
export function startRecordkv(processes, { nats, settings, stages = 'ingest,kv', state = 'state', env = {} }) {
  const all = { 'nats.url': nats, 'state.dir': processes.directory(state), 'http.listen': '', ...settings };
  const sets = Object.entries(all).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  return processes.start(`recordkv ${stages}`, program('RECORDKV'), [`--stages=${stages}`, ...sets], env);
}

/**
 * The simulator: a seeded history told as Jetstream. The same history with more events goes on where the shorter ends.
 * @param {Processes} processes
 * @param {{seed: number, accounts: number, events: number, port?: number}} history
 * @returns {Promise<{url: string, child: Child} & Awaited<ReturnType<typeof readTruth>>>}
 */
export async function startSimulator(processes, { seed, accounts, events, port = 0 }) {
  const truth = join(processes.dir, `truth-${seed}-${events}.tsv`);
  const child = processes.start('recordkv-sim', program('RECORDKV_SIM'), ['--seed', `${seed}`,
    '--accounts', `${accounts}`, '--events', `${events}`, '--port', `${port}`, '--truth', truth]);
  const [, url = ''] = /** @type {RegExpExecArray} */ (await child.line(/^listening (ws:\/\/\S+)/));
  return { url, child, ...await readTruth(truth) };
}
