// ECDSA over P-256 with a nonce that depends on key and message only.
//
// Owns: the arithmetic, by OpenSSL's big numbers; EVP of OpenSSL 3.0 has no deterministic signatures.
// Does not know: where secrets come from. They are for tests: the nonce is one hash, not RFC 6979.
#pragma once

#include "keys.hpp"

namespace recordkv::sim::p256 {

signature sign(const digest& secret, const digest& message);
compressed_point point(const digest& secret);

}  // namespace recordkv::sim::p256
