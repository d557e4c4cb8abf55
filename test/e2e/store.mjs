// Owns: reading the whole store as it stands, and comparing it with what ought to be in it. Reads the stream itself, so
// that headers and delete markers are seen as they are; knows the form in which the simulator tells its truth.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

import { jetstream, jetstreamManager } from '@nats-io/jetstream';

import { uriOfKey } from './record_key.mjs';

/** @typedef {import('@nats-io/transport-node').NatsConnection} NatsConnection */
/**
 * @typedef {{value?: unknown, cid: string, rev: string, op: string, time: string, deleted: boolean, seq: number}} Entry
 */
/** @typedef {{value: unknown, cid: string}} Expected */

/**
 * JSON whose integers are compared to the last digit: those beyond 2^53 become text.
 * @param {string} text @returns {any}
 */
export const parseExactly = (text) => JSON.parse(text.replace(/(?<=[:,[])-?\d{16,}(?=[,}\]])/g,
  (digits) => (Number.isSafeInteger(Number(digits)) ? digits : `"integer ${digits}"`)));

/**
 * The simulator's file of truth: what a mirror must hold in the end.
 * @param {string} file
 * @returns {Promise<{live: Map<string, Expected & {text: string}>, gone: Set<string>}>}
 */
export async function readTruth(file) {
  const live = new Map();
  const gone = new Set();
  for (const line of (await readFile(file, 'utf8')).split('\n')) {
    const [key = '', state, , cid, , , , text = ''] = line.split('\t');
    if (state === 'live') live.set(key, { cid, text, value: parseExactly(text) });
    else if (state === 'deleted') gone.add(key);
  }
  assert.ok(live.size > 0, 'a file of truth without a key');
  return { live, gone };
}

/**
 * Every key with its latest message, delete markers included. Reads up to the sequence that was the last one at the
 * start: "pending" in a message is no sign of the end, it can stay above 0 where keys are overwritten meanwhile.
 * @param {NatsConnection} nc @param {string} [bucket] @returns {Promise<Map<string, Entry>>}
 */
export async function readStore(nc, bucket = 'record') {
  const stream = `KV_${bucket}`;
  const { state } = await (await jetstreamManager(nc)).streams.info(stream);
  /** @type {Map<string, Entry>} */ const entries = new Map();
  if (state.messages === 0) return entries;
  const consumer = await jetstream(nc).consumers.get(stream);
  const messages = await consumer.consume({ max_messages: 1000 });
  for await (const message of messages) {
    const header = (/** @type {string} */ name) => message.headers?.get(name) ?? '';
    const operation = header('KV-Operation');
    const deleted = operation === 'DEL';
    const text = message.string();
    assert.ok(deleted || operation === '', `${message.subject}: ${operation} in the store; only DEL is allowed`);
    entries.set(message.subject.slice(`$KV.${bucket}.`.length), {
      ...(deleted ? {} : { value: parseExactly(text) }),
      cid: header('cid'), rev: header('rev'), op: header('op'), time: header('time'), deleted, seq: message.seq,
    });
    if (deleted) assert.equal(text, '', `${message.subject}: a delete marker with a value`);
    if (message.seq >= state.last_seq) break;
  }
  await messages.close();
  await consumer.delete();
  return entries;
}

/**
 * What the store has wrong. Keys of accounts that `mine` does not know are not looked at.
 * @param {Map<string, Expected>} expected by key @param {Map<string, Entry>} store
 * @param {{gone?: Iterable<string>, mine?: (key: string) => boolean, foreign?: boolean}} [about] keys that must be
 *   delete markers; which keys are looked at; whether values by other writers, which have no cid, may stand
 * @returns {string[]} one line per difference
 */
export function differences(expected, store, { gone = [], mine = () => true, foreign = false } = {}) {
  /** @type {string[]} */ const found = [];
  for (const [key, { value, cid }] of expected) {
    const entry = store.get(key);
    if (!entry || entry.deleted) {
      found.push(`${entry ? 'deleted' : 'missing'}: ${uriOfKey(key)}`);
    } else if (entry.cid !== cid && !(foreign && entry.cid === '')) {
      found.push(`cid ${entry.cid || 'absent'} instead of ${cid}: ${uriOfKey(key)}`);
    } else {
      try {
        assert.deepStrictEqual(entry.value, value);
      } catch {
        found.push(`value differs: ${uriOfKey(key)}: ${JSON.stringify(entry.value).slice(0, 200)}`);
      }
    }
  }
  for (const [key, entry] of store) {
    if (!entry.deleted && mine(key) && !expected.has(key)) found.push(`not upstream: ${uriOfKey(key)}`);
  }
  for (const key of gone) {
    if (!store.get(key)?.deleted) found.push(`no delete marker: ${uriOfKey(key)}`);
  }
  return found;
}

/** @param {string[]} found @returns {true} throws the first few, for until() */
export function none(found) {
  if (found.length > 0) throw new Error(`${found.length} differences, such as ${found.slice(0, 5).join('; ')}`);
  return true;
}
