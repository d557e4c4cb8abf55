// Who we are to a server and whom we trust: certificates, key, credentials file; and what fails with them, in words.
//
// Owns: looking at the files before anybody connects; telling apart, from the words of nats.c and OpenSSL, whose fault
// a failure is. Refuses to know: nats.c's functions. No text of it holds a secret.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/nats/connection.hpp"

#include <string>
#include <string_view>

namespace recordkv::nats {

bool wants_tls(const nats_config& config);

/// The files that the configuration names can be read and look like what they should be. nats.c would send all of a
/// malformed credentials file to the server, key and all.
result<void> check_files(const nats_config& config);

/// The seed in a file of nats.nkey_seed, to be wiped.
result<std::string> seed_in(const std::string& path);
void wipe(std::string& secret);

/// A file that OpenSSL does not take: `key` is the configuration's name of it.
error unusable(std::string_view key, std::string_view file, std::string_view detail);

/// The server is there and lets nobody in who comes with what we have.
error credentials_refused(const nats_config& config);

/// A connection that failed over TLS, or nothing that TLS explains (errc::closed). `detail`: nats.c's words.
error tls_failed(const nats_config& config, std::string_view detail);

}  // namespace recordkv::nats
