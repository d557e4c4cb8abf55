// From a DID to the account's signing key, PDS and handle.
//
// Owns: what a DID document must say; the requests at the directory and at did:web hosts, their number and pace.
// Callers that ask for the same DID share one look-up. Failures are remembered for a short time.
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
  /// The directory's addresses are not checked, because the configuration names the directory. Every other host is
  /// named by an account.
  std::string plc_url = "https://plc.directory";
  bool allow_private_hosts = false;  ///< allows private addresses, and did:web:localhost over http
  std::size_t at_once = 32;          ///< requests under way; at least two
  std::size_t per_host = 16;         ///< of these at the directory; did:web hosts have the rest, and never more
  std::chrono::milliseconds timeout{10'000};   ///< of one request
  std::chrono::milliseconds patience{30'000};  ///< how long look_up() tries again
  std::chrono::milliseconds remember_failure{60'000};
};

/// Counters: identity_requests by outcome (found, not_found, unusable, forbidden, rate_limited, status, garbage,
/// too_large, timed_out, unreachable). identity_look_ups: those without a request of their own (shared, remembered,
/// refused), and those without an answer (gave_up).
class resolver {
 public:
  resolver(asio::any_io_executor loop, resolver_options options, meters& counters);
  ~resolver();  ///< as close()
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;

  /// Asks the directory or the did:web host; earlier answers are not kept. Look-ups of one DID at the same time share
  /// one request. At the directory, patience counts from its last answer to any look-up. A long queue alone therefore
  /// fails no look-up. Errors:
  ///   errc::not_found    there is no such DID, or it is a tombstone. An answer, not a failure.
  ///   errc::malformed    the document is unusable, the DID's method is unknown, or its host may not be asked.
  ///   errc::unreachable, errc::timed_out   no answer within options.patience. Remembered for a short time.
  ///   errc::bad_config   plc_url is no URL.
  ///   errc::closed       close() was called.
  task<result<account_identity>> look_up(std::string did);

  /// Call it when the document has changed, as an #identity event says. A remembered failure no longer counts. A
  /// request under way may have been answered before the change, so it is repeated.
  void changed(std::string_view did);

  /// Ends look-ups under way, and answers later ones with errc::closed.
  void close() noexcept;

  /// Why look-ups at the directory don't succeed now, as a text for people. Empty: they do.
  const std::string& last_error() const noexcept;
  /// DIDs that are being looked up, including those in the queue.
  std::size_t under_way() const noexcept;

 private:
  class impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace recordkv::identity
