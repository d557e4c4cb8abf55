// Drives nats.c with Asio. The rules of this seam are in docs/architecture.md.
//
// Owns: the natsConnection, the duplicate of its socket, the read and write turns.
// Does not know: requests, inboxes, JetStream. nats.c is included only in bridge.cpp, dial.cpp and message.cpp.
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/nats/connection.hpp"
#include "recordkv/nats/message.hpp"
#include "stale_write_guard.hpp"
#include "tls_records.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

struct __natsConnection;
struct __natsSubscription;

namespace recordkv::nats {

class bridge {
 public:
  /// Called on the loop, never from inside a call into the bridge.
  struct listener {
    std::function<void()> readable;                 ///< a read has ended; the parser has queued its messages
    std::function<void(bool up)> turned;            ///< nats.c may be called again, or no longer
    std::function<void(std::string why)> given_up;  ///< the servers refuse the connection; the bridge keeps trying
    std::function<void(const std::string& text)> denied;  ///< the server denied a publish or a subscription
  };

  bridge(asio::io_context& io, listener to);
  ~bridge();
  bridge(const bridge&) = delete;

  result<void> open(const nats_config& config);

  /// False from the moment nats.c loses the connection until it has attached a new socket. Meanwhile no call may
  /// enter nats.c: nats.c holds its mutex through a whole reconnect attempt, and the call would block the loop for 2 s.
  bool up() const noexcept { return up_; }

  result<void> publish(const char* subject, const char* reply, const header_list& headers, std::string_view data);
  /// What has just been published must not arrive late (connection::publish).
  void note_guarded();
  result<__natsSubscription*> subscribe(const char* subject);
  static void drain(__natsSubscription* from, std::vector<message>& into);
  static void unsubscribe(__natsSubscription* gone);

  /// Makes a new connection, because the present one is up but receives nothing.
  void start_over();
  /// How often a new connection was made; a mere reconnect does not count. Subscriptions of earlier connections are
  /// dead.
  std::uint64_t renewals() const noexcept { return renewals_; }

  std::string server_id() const;
  std::size_t max_payload() const;

 private:
  // nats.c calls these from any thread with its mutex held: they only post.
  static int attach(void** self, void* bridge_, __natsConnection* nc, int socket);
  static int want_read(void* self, bool on);
  static int want_write(void* self, bool on);
  static int detach(void* self);
  static void ended(void* self, __natsConnection* nc);
  static void complained(void* self, int status);

  template <class Work>
  void later(Work work);
  void shut();
  void write_rest();
  void drop(std::string_view why);
  void given_up(const std::string& why);
  void try_later(std::chrono::milliseconds pause);
  void make_anew();
  void attached(int socket);
  void lost();
  void read_turn();
  void write_turn();
  std::uint64_t buffered() const;
  void look_for_late();
  bool late();

  asio::io_context& io_;
  std::shared_ptr<bridge*> self_ = std::make_shared<bridge*>(this);
  listener to_;
  __natsConnection* nc_ = nullptr;
  asio::posix::stream_descriptor socket_;  // the duplicate; nats.c owns the original
  std::atomic<bool> up_{false};
  std::atomic<bool> write_wanted_{false};
  std::atomic<bool> write_posted_{false};
  std::shared_ptr<std::atomic<bool>> closed_;  // nats.c has reported that it has ended
  std::atomic<bool> closing_{false};           // the bridge closes the connection itself: no report
  bool write_waiting_ = false;
  stale_write_guard guard_;
  std::uint64_t written_ = 0;  // bytes given to the kernel, since the attach
  tls_records records_;
  nats_config config_;
  std::string refusal_;  // the last refusal that was logged
  std::chrono::steady_clock::time_point attached_at_;
  int quick_losses_ = 0;  // consecutive losses, each within a second of its attach
  std::uint64_t renewals_ = 0;
  asio::steady_timer retry_, look_;
};

}  // namespace recordkv::nats
