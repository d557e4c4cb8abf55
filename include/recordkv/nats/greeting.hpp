// What a NATS server announces before a client logs in: the INFO line.
//
// Owns: one plain TCP connection for one line; the server versions that recordkv refuses.
// Does not know: nats.c. The line is read first, so that errors can tell "absent", "too old" and "no JetStream" apart.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <chrono>
#include <string>
#include <string_view>

namespace recordkv::nats {

struct greeting {
  std::string version;
  std::string server_id;
  bool jetstream = false;
  bool auth_required = false;
  bool tls_required = false;
  bool tls_verify = false;  ///< the server asks for a client certificate
  std::size_t max_payload = 0;
  std::string domain;  ///< the server's own JetStream domain, or empty if it has no name
};

/// The greeting of the first of the comma-separated `urls` whose server answers. errc::unreachable: no server answers;
/// the text names them all.
task<result<greeting>> greet(std::string urls, std::chrono::milliseconds limit = std::chrono::seconds(2));

/// errc::unsupported for versions below 2.10, and for 2.12.7–2.12.9 and 2.14.0–2.14.1 (they can hide messages of a
/// one-per-subject stream after a restart).
result<void> accept(const greeting& g, std::string_view urls);

/// The error for a server without JetStream, if the configuration names no domain behind it.
error no_jetstream(std::string_view urls);

/// `urls` without user names and passwords, for messages.
std::string without_secrets(std::string_view urls);

}  // namespace recordkv::nats
