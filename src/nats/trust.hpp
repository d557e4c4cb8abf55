// The identity that the process shows to a server, and the servers it trusts: certificates, key, credentials file.
// Their failures are explained in words.
//
// Owns: the checks of these files before a connection is made; finding the cause of a failure in the texts of nats.c
// and OpenSSL.
// Does not know: nats.c's functions. No text contains a secret.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/nats/connection.hpp"

#include <string>
#include <string_view>

namespace recordkv::nats {

bool wants_tls(const nats_config& config);

/// Checks that the configured files can be read and look as they should. nats.c would send a malformed credentials
/// file to the server as a whole, including the key.
result<void> check_files(const nats_config& config);

/// Reads the seed from the file of nats.nkey_seed. The caller wipes it.
result<std::string> seed_in(const std::string& path);
void wipe(std::string& secret);

/// The error for a file that cannot be used. `key`: its configuration key.
error unusable(std::string_view key, std::string_view file, std::string_view detail);

/// The error for a server that answers but does not accept the configured credentials.
error credentials_refused(const nats_config& config);

/// The error of a connection that failed because of TLS. errc::closed: TLS is not the cause. `detail`: nats.c's text.
error tls_failed(const nats_config& config, std::string_view detail);

}  // namespace recordkv::nats
