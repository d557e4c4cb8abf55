// The look-ups of accounts' signing keys.
//
// Owns: the queue of look-ups, how many run at a time, and how an answer or a failure gets into an account.
// Does not know: events and their order, DID documents and directories (identity/resolver.hpp).
#pragma once

#include "account_cache.hpp"
#include "recordkv/core/event.hpp"
#include "recordkv/core/meter.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/identity/resolver.hpp"

#include <chrono>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

namespace recordkv::stages {

/// The directory. look_up() may suspend; its errors are those of identity::resolver::look_up(). The other functions may
/// be absent.
struct identity_port {
  std::function<task<result<identity::account_identity>>(std::string did)> look_up;
  /// Called when the account's document has changed: an answer under way may be older than the change.
  std::function<void(const std::string& did)> changed;
  /// Ends the look-ups under way with errc::closed.
  std::function<void()> close;
  /// Why look-ups don't succeed now; an empty text: they do.
  std::function<std::string()> last_error;
};

/// Why a look-up failed, in one word: "did_not_found", "did_document", "identity".
std::string_view word_of_look_up(const error& e) noexcept;
/// Stores PDS and handle in the account, and that its identity is right at this time (seconds since 1970).
void keep_identity(account& a, const identity::account_identity& found, std::int64_t now);

struct look_up_rules {
  std::size_t at_once = 64;                              ///< look-ups under way; more wait in a queue
  std::chrono::milliseconds confirm_after{2'000};        ///< ask again after this: the directory may lag
  std::chrono::milliseconds between_doubts{60'000};      ///< between look-ups of one account for bad signatures
  std::chrono::seconds max_age{std::chrono::hours(24)};  ///< an older key is looked up again, one at a time
  std::chrono::milliseconds between_renewals{100};       ///< between look-ups of old keys
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
};

/// Why an account is looked up. Counters use the words.
enum class look_up_cause { no_key, identity_event, bad_signature, old_key };
std::string_view name(look_up_cause c) noexcept;

class key_look_ups {
 public:
  /// `answered` is called when a look-up has ended. It is not called after one for old_key: nothing waits for that.
  key_look_ups(identity_port port, look_up_rules rules, std::function<void(const std::string& did)> answered,
               meters& counters);

  /// Looks the account up, now or once there is room. The account stays in use until the look-up has ended. Success
  /// sets its key, PDS, handle and key_checked. Failure sets its look_up_failure for no_key and bad_signature. For the
  /// other causes, failure changes nothing: the old key stays.
  void start(account& a, look_up_cause cause, nursery& into);
  /// Starts a look-up for old_key if the key is old. Does nothing while another look-up for old_key or of this account
  /// is under way, or while any look-up waits.
  void renew_if_old(account& a, nursery& into);

  /// Whether a bad signature is a reason to look the account up. True at most once per account within between_doubts.
  bool doubt(account& a) const;

  /// Ends the look-ups. `answered` is not called any more.
  void close() noexcept;

  bool idle() const noexcept { return under_way_ == 0; }
  std::string last_error() const { return port_.last_error && !idle() ? port_.last_error() : std::string(); }

 private:
  struct waiting {
    account* of;
    look_up_cause cause;
  };
  task<> work();
  task<bool> look_up(account& a, look_up_cause cause);
  task<result<identity::account_identity>> ask(const account& a, look_up_cause cause);

  identity_port port_;
  look_up_rules rules_;
  std::function<void(const std::string& did)> answered_;
  meters& counters_;
  std::deque<waiting> queue_;
  std::size_t under_way_ = 0;
  bool renewing_ = false;  // a look-up for old_key is under way or waiting
  std::chrono::steady_clock::time_point next_renewal_;
  bool closed_ = false;
  event closing_;
};

}  // namespace recordkv::stages
