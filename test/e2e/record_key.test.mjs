// Owns: proof that the JavaScript key codec of these tests is the reference's, on worked examples computed by the
// reference itself. Without it the other suites could agree with the service on a common mistake.
import assert from 'node:assert/strict';
import test from 'node:test';

import { decodeKey, encodeKey, keyOfUri, murmur3, partitionOf, uriOfKey } from './record_key.mjs';

test('hashes, and the first non-zero hex digit', () => {
  const utf8 = new TextEncoder();
  for (const [text, hash, partition] of [
    ['', 0, '0'], ['a', 0x3c2569b2, '3'], ['ab', 0x9bbfd75f, '9'], ['abc', 0xb3dd93fa, 'b'], ['abcd', 0x43ed676a, '4'],
    ['hello', 0x248bfa47, '2'], ['hello, world', 0x149bbb7f, '1'], ['did:web:éxample.com', 0xc58e7cf0, 'c'],
    ['did:plc:3dxeoy4hmcfzrztuyyts6uuw', 0x03b33a82, '3'], ['did:plc:joptu6d2nwwdsvdvsb74pwrv', 0x008bc5fc, '8'],
    ['did:plc:zeropartitionaaaaal2cl3b', 8, '0'], ['did:plc:zeropartitionaaaaawdub2y', 10, '0'],
  ]) {
    assert.equal(murmur3(utf8.encode(String(text))), hash, String(text));
    assert.equal(partitionOf(String(text)), partition, String(text));
  }
});

test('keys of the worked examples, both ways', () => {
  for (const [did, collection, rkey, key] of [
    ['did:plc:l3rouwludahu3ui3bt66mfvj', 'app.bsky.feed.like', '3k5nobkf2w72g',
      '1.app.bsky.feed.like.did/3Aplc/3Al3rouwludahu3ui3bt66mfvj.3k5nobkf2w72g'],
    ['did:web:localhost%3A3000', 'com.example.thing', '~1.2-3_',
      '1.com.example.thing.did/3Aweb/3Alocalhost/253A3000./7E1/2E2-3_'],
    ['did:plc:zeropartitionaaaaawdub2y', 'a-0.b-1.c', '_', '0.a-0.b-1.c.did/3Aplc/3Azeropartitionaaaaawdub2y._'],
    ['did:plc:qlhxnyjaacdu5jvapiqtbgqg', 'place.stream.broadcast.origin',
      'did:plc:qlhxnyjaacdu5jvapiqtbgqg::did:web:prod-sea0.stream.place',
      '1.place.stream.broadcast.origin.did/3Aplc/3Aqlhxnyjaacdu5jvapiqtbgqg.did/3Aplc/3Aqlhxnyjaacdu5jvapiqtbgqg'
      + '/3A/3Adid/3Aweb/3Aprod-sea0/2Estream/2Eplace'],
  ]) {
    assert.equal(encodeKey(did, collection, rkey), key);
    assert.equal(keyOfUri(`at://${did}/${collection}/${rkey}`), key);
    assert.deepEqual(decodeKey(`$KV.record.${key}`), { partition: key[0], collection, did, rkey });
    assert.equal(uriOfKey(key), `at://${did}/${collection}/${rkey}`);
  }
  assert.throws(() => decodeKey('1.did/3Aplc/3Aabc.self'), /not a record key/);
});
