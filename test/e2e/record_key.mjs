// Owns: the reference's key form, {partition}.{collection}.{enc(did)}.{enc(rkey)}, in JavaScript: what any client of
// the store needs in order to make a key or to read one. Written from its description alone, so that it checks the
// service rather than repeating it.

/** @typedef {{partition: string, collection: string, did: string, rkey: string}} RecordKey */

/** @param {string} text @returns {string} every UTF-16 unit outside A-Za-z0-9_=/- as "/" and its value in hex */
const encode = (text) =>
  text.replace(/[^A-Za-z0-9_=/-]/g, (unit) => '/' + unit.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0'));

/** @param {string} token @returns {string} */
const decode = (token) => token.replace(/\/([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));

/** @param {string} key with or without the "$KV.record." of its subject @returns {RecordKey} read from the right */
export function decodeKey(key) {
  const tokens = key.replace(/^\$KV\.[^.]+\./, '').split('.').map(decode);
  const [partition, ...rest] = tokens;
  const rkey = rest.pop();
  const did = rest.pop();
  if (partition === undefined || rkey === undefined || did === undefined || rest.length === 0) {
    throw new Error(`not a record key: ${key}`);
  }
  return { partition, collection: rest.join('.'), did, rkey };
}

/** @param {string} did @param {string} collection @param {string} rkey @returns {string} */
export function encodeKey(did, collection, rkey) {
  return [partitionOf(did), ...collection.split('.').map(encode), encode(did), encode(rkey)].join('.');
}

/** @param {string} uri at://did/collection/rkey @returns {string} */
export function keyOfUri(uri) {
  const [did, collection, rkey] = uri.replace(/^at:\/\//, '').split('/');
  if (did === undefined || collection === undefined || rkey === undefined) throw new Error(`not a record's URI: ${uri}`);
  return encodeKey(did, collection, rkey);
}

/** @param {string} key @returns {string} */
export function uriOfKey(key) {
  const { did, collection, rkey } = decodeKey(key);
  return `at://${did}/${collection}/${rkey}`;
}

/** @param {string} did @returns {string} the first non-zero hex digit of the hash; "0" only below 0x10 */
export function partitionOf(did) {
  return /** @type {string} */ (murmur3(new TextEncoder().encode(did)).toString(16).padStart(2, '0')[0]);
}

/** MurmurHash3 x86 32-bit, seed 0. @param {Uint8Array} bytes @returns {number} */
export function murmur3(bytes) {
  const rotate = (/** @type {number} */ x, /** @type {number} */ by) => (x << by) | (x >>> (32 - by));
  const mix = (/** @type {number} */ k) => Math.imul(rotate(Math.imul(k, 0xcc9e2d51), 15), 0x1b873593);
  const word = (/** @type {number} */ at, /** @type {number} */ count) => {
    let k = 0;
    for (let i = 0; i < count; i++) k |= /** @type {number} */ (bytes[at + i]) << (8 * i);
    return k;
  };
  const whole = bytes.length & ~3;
  let h = 0;
  for (let at = 0; at < whole; at += 4) h = (Math.imul(rotate(h ^ mix(word(at, 4)), 13), 5) + 0xe6546b64) | 0;
  if (whole < bytes.length) h ^= mix(word(whole, bytes.length - whole));
  h ^= bytes.length;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
