// From a DID to the account's signing key, PDS and handle.
//
// Owns: what a DID document must say, the requests to the directory and to did:web hosts, their bounds, the memory of
// failures. All callers that ask for the same DID share one look-up.
// Does not know: where answers are kept (the account's state has them), signatures, stages. One thread: the loop's.
// Sources: atproto.com specifications "did", "handle"; did:plc and did:web methods.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace recordkv::identity {

/// What a DID document says, checked.
struct account_identity {
  std::string key;     ///< multikey (atproto/signature.hpp reads it)
  std::string pds;     ///< "https://host[:port]"; empty: the document names none
  std::string handle;  ///< the first at:// name, lower case, not checked in the other direction; empty: none
  bool operator==(const account_identity&) const = default;
};

/// Reads a DID document. errc::malformed with a word: "json", "id" (not this DID), "no_key" (no usable #atproto key).
/// A bad service or handle counts as absent. `allow_http`: a PDS may be http.
result<account_identity> read_did_document(std::string_view did, std::string_view json, bool allow_http = false);

struct resolver_options {
  /// Which addresses the directory may have is not checked: the configuration names it. Every other host is named by
  /// its account.
  std::string plc_url = "https://plc.directory";
  bool allow_private_hosts = false;  ///< lifts the rule against private addresses; did:web:localhost over http
  std::size_t at_once = 32;          ///< requests under way; at least two
  std::size_t per_host = 16;         ///< of these at the directory. Slow did:web hosts have the rest, and never more.
  std::chrono::milliseconds timeout{10'000};   ///< of one request
  std::chrono::milliseconds patience{30'000};  ///< of look_up(): it tries again until then
  std::chrono::milliseconds remember_failure{60'000};
};

/// Counters: identity_requests by outcome (found, not_found, unusable, forbidden, rate_limited, status, garbage,
/// too_large, timed_out, unreachable); identity_look_ups by what ended them without a request of their own (shared,
/// remembered, refused) or without an answer (gave_up).
class resolver {
 public:
  resolver(asio::any_io_executor loop, resolver_options options, meters& counters);
  ~resolver();  ///< as close()
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;

  /// Asks the directory or the did:web host, without a memory of earlier answers. Look-ups of one DID under way are
  /// shared. Patience counts from the directory's last answer to anyone, so a long queue alone fails no look-up.
  /// Errors:
  ///   errc::not_found    there is no such DID, or it is a tombstone. An answer, not a failure.
  ///   errc::malformed    the document is unusable, the DID's method is unknown, or its host may not be asked.
  ///   errc::unreachable, errc::timed_out   no answer within options.patience. Remembered for a short time.
  ///   errc::bad_config   plc_url is no URL.
  ///   errc::closed       close() was called.
  task<result<account_identity>> look_up(std::string did);

  /// The document has changed, as an #identity event says. A remembered failure no longer counts. A request under way
  /// may have been answered before the change, so it is repeated.
  void changed(std::string_view did);

  /// Ends look-ups under way, and answers later ones with errc::closed.
  void close() noexcept;

  /// Why look-ups at the directory don't succeed now, for a person: it is down or answers 429. Empty: they do.
  const std::string& last_error() const noexcept;
  /// DIDs that are being looked up, those in the queue included.
  std::size_t under_way() const noexcept;

 private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace recordkv::identity
