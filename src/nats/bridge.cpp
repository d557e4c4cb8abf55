// Over 300 lines: every call of nats.c that must keep the rules of docs/architecture.md, "nats.c and Asio".
#include "bridge.hpp"

#include "dial.hpp"
#include "recordkv/core/log.hpp"

#include <nats/nats.h>
#include <unistd.h>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace recordkv::nats {
namespace {

constexpr int read_size = 256 * 1024;
constexpr std::string_view no_data = "the connection is up, but nothing can be read from it; connecting again";
constexpr std::string_view too_late =
    "stopped, or cut off, with unsent messages that are now too old; dropped with the connection; connecting again";

// Owns the descriptor on its way to the loop, and closes it if the loop never runs again.
struct owned_fd {
  explicit owned_fd(int n) : fd(n) {}
  owned_fd(owned_fd&& o) noexcept : fd(std::exchange(o.fd, -1)) {}
  owned_fd& operator=(owned_fd&&) = delete;
  ~owned_fd() {
    if (fd >= 0) ::close(fd);
  }
  int release() noexcept { return std::exchange(fd, -1); }
  int fd;
};

}  // namespace

bridge::bridge(asio::io_context& io, listener to) : io_(io), to_(std::move(to)), socket_(io), retry_(io), look_(io) {}

bridge::~bridge() {
  shut();
  *self_ = nullptr;
}

// Posts to the loop. Work that is still queued when the bridge is destroyed does nothing.
template <class Work>
void bridge::later(Work work) {
  asio::post(io_, [self = self_, work = std::move(work)]() mutable {
    if (*self) work(**self);
  });
}

void bridge::shut() {
  write_rest();
  up_ = false;
  if (!nc_) return;
  closing_ = true;
  if (socket_.is_open()) stale_write_guard::spare(socket_.native_handle());
  natsConnection_Close(nc_);
  closed_->wait(false);  // nats.c reports the end on its own thread; this is its last callback
  natsConnection_Destroy(std::exchange(nc_, nullptr));
}

// On close, nats.c waits 500 ms for the answer to unwritten data. Only the loop could read that answer. Unwritten data
// is therefore written first.
void bridge::write_rest() {
  if (!nc_ || !up_ || !write_wanted_ || write_waiting_ || late()) return;
  errno = 0;  // see read_turn
  natsConnection_ProcessWriteEvent(nc_);
}

result<void> bridge::open(const nats_config& config) {
  shut();  // ends an earlier attempt that failed half-way
  closed_ = std::make_shared<std::atomic<bool>>(false);
  closing_ = false;
  quick_losses_ = 0;
  config_ = config;
  auto options = options_for(config_, read_size);
  if (!options) return options.error();
  natsOptions* raw = options->get();
  natsStatus s = natsOptions_SetEventLoop(
      raw, this,
      [](void** self, void* b, natsConnection* nc, natsSock fd) {
        return static_cast<natsStatus>(attach(self, b, nc, fd));
      },
      [](void* self, bool on) { return static_cast<natsStatus>(want_read(self, on)); },
      [](void* self, bool on) { return static_cast<natsStatus>(want_write(self, on)); },
      [](void* self) { return static_cast<natsStatus>(detach(self)); });
  if (s == NATS_OK) s = natsOptions_SetClosedCB(raw, [](natsConnection* nc, void* self) { ended(self, nc); }, this);
  // nats.c's default handler would write to stderr.
  const auto on_error = [](natsConnection*, natsSubscription*, natsStatus e, void* self) { complained(self, e); };
  if (s == NATS_OK) s = natsOptions_SetErrorHandler(raw, on_error, this);
  if (s != NATS_OK) return fail(errc::bad_config, "nats.c refuses its settings: {}", natsStatus_GetText(s));
  auto dialled = dial(raw, config, renewals_ == 0);
  if (!dialled) return dialled.error();
  nc_ = *dialled;
  return {};
}

void bridge::ended(void* self, __natsConnection* nc) {
  auto& b = *static_cast<bridge*>(self);
  const auto closed = b.closed_;  // the bridge may be destroyed as soon as this is true
  const char* why = nullptr;
  natsConnection_GetLastError(nc, &why);
  if (!b.closing_)
    b.later([closed, text = std::string(why ? why : "closed")](bridge& there) {
      if (there.closed_ == closed) there.given_up(text);  // otherwise a new connection was made meanwhile
    });
  *closed = true;
  closed->notify_all();
}

// Slow consumers and permission errors. nats.c keeps the error text for this thread only during this call.
void bridge::complained(void* self, int status) {
  auto& b = *static_cast<bridge*>(self);
  const auto code = static_cast<natsStatus>(status);
  const char* const last = nats_GetLastError(nullptr);
  std::string text = last && *last ? last : natsStatus_GetText(code);
  if (code != NATS_NOT_PERMITTED) return log::warn("nats", "{}", text);
  b.later([text = std::move(text)](bridge& there) { there.to_.denied(text); });
}

int bridge::attach(void** self, void* bridge_, __natsConnection* nc, int socket) {
  auto& b = *static_cast<bridge*>(bridge_);
  *self = bridge_;
  owned_fd copy(::dup(socket));
  if (copy.fd < 0) return NATS_SYS_ERROR;
  b.later([fd = std::move(copy)](bridge& there) mutable { there.attached(fd.release()); });
  return NATS_OK;
}

int bridge::want_read(void* self, bool on) {
  auto& b = *static_cast<bridge*>(self);
  if (!on && b.up_.exchange(false)) b.later([](bridge& there) { there.lost(); });
  return NATS_OK;
}

int bridge::want_write(void* self, bool on) {
  auto& b = *static_cast<bridge*>(self);
  b.write_wanted_ = on;
  if (on && !b.write_posted_.exchange(true)) b.later([](bridge& there) { there.write_turn(); });
  return NATS_OK;
}

int bridge::detach(void* self) {
  auto& b = *static_cast<bridge*>(self);
  if (b.up_.exchange(false)) b.later([](bridge& there) { there.lost(); });
  return NATS_OK;
}

void bridge::attached(int socket) {
  boost::system::error_code ignored;
  socket_.close(ignored);
  socket_.assign(socket, ignored);
  records_.attached(socket);
  write_waiting_ = false;
  guard_.attached(socket);
  written_ = 0;
  attached_at_ = std::chrono::steady_clock::now();
  up_ = true;
  to_.turned(true);
  read_turn();
  if (write_wanted_ && !write_posted_.exchange(true)) later([](bridge& there) { there.write_turn(); });
}

void bridge::lost() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  to_.turned(false);
  const bool quick = std::chrono::steady_clock::now() - attached_at_ < std::chrono::seconds(1);
  quick_losses_ = quick ? quick_losses_ + 1 : 0;
  if (quick_losses_ >= 3) drop(no_data);
}

// nats.c (3.4.1, event-loop mode) keeps its parser state across a reconnect. If the connection was lost in the middle
// of a message, the parser takes the next bytes for the rest of that message. After a short rest, every later
// connection is lost at its first read. After a long rest, no message is parsed; connection.cpp notices this by a
// missing echo. Only a new connection has a new parser.
void bridge::start_over() { drop(no_data); }

// Unsent bytes are dropped as well: the socket is cut before nats.c can write again.
void bridge::drop(std::string_view why) {
  log::warn("nats", "{}", why);
  if (socket_.is_open()) stale_write_guard::cut(socket_.native_handle());
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (up_.exchange(false)) to_.turned(false);
  make_anew();
}

// nats.c closes the connection for good after two refusals in a row with the same text. Passwords, certificates and
// credentials files may change while the process runs, so the bridge tries again.
void bridge::given_up(const std::string& why) {
  log::warn("nats", "the server refuses the connection: {}", why);
  to_.given_up(why);
  try_later(std::chrono::seconds(1));
}

void bridge::try_later(std::chrono::milliseconds pause) {
  retry_.expires_after(pause);
  retry_.async_wait([this](boost::system::error_code ec) {
    if (!ec) make_anew();
  });
}

void bridge::make_anew() {
  ++renewals_;
  const nats_config same = config_;
  auto opened = open(same);
  if (opened) return;
  const bool refused = opened.error().code == errc::unauthorized;
  if (refused) to_.given_up(opened.error().text);
  if (refused && opened.error().text != refusal_) log::error("nats", "{}; trying again", opened.error().text);
  refusal_ = opened.error().text;
  try_later(std::chrono::milliseconds(refused ? 2'000 : 300));
}

void bridge::read_turn() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
    if (ec || !up_) return;
    std::size_t room = read_size;  // a plain read takes up to this much at once, a TLS read takes one record
    while (const std::size_t n = up_ && room > 0 ? records_.ready() : 0) {
      errno = 0;  // if OpenSSL fails, nats.c checks errno: an old EAGAIN would mean "nothing yet" for ever
      natsConnection_ProcessReadEvent(nc_);
      room -= std::min(room, n);
    }
    to_.readable();
    if (up_) read_turn();
  });
}

void bridge::write_turn() {
  write_posted_ = false;
  if (!up_ || !write_wanted_ || write_waiting_) return;
  if (late()) return drop(too_late);
  errno = 0;  // see read_turn
  const auto before = buffered();
  natsConnection_ProcessWriteEvent(nc_);
  written_ += before - std::min(before, buffered());
  if (!write_wanted_ || !up_) return;
  write_waiting_ = true;  // the socket's buffer is full
  socket_.async_wait(asio::posix::stream_descriptor::wait_write, [this](boost::system::error_code ec) {
    if (ec) return;
    write_waiting_ = false;
    write_turn();
  });
}

std::uint64_t bridge::buffered() const { return static_cast<std::uint64_t>(std::max(0, natsConnection_Buffered(nc_))); }

bool bridge::late() { return guard_.late(written_, std::chrono::steady_clock::now()); }

void bridge::note_guarded() {
  const bool looking = guard_.on_the_way();
  guard_.published(written_ + buffered(), std::chrono::steady_clock::now());
  if (!looking) look_for_late();
}

// If the server stops reading, no write turn runs. A timer therefore looks for late messages.
void bridge::look_for_late() {
  look_.expires_after(std::chrono::milliseconds(250));
  look_.async_wait([this](boost::system::error_code ec) {
    if (ec || !up_) return;
    if (late()) return drop(too_late);
    if (guard_.on_the_way()) look_for_late();
  });
}

result<void> bridge::publish(const char* subject, const char* reply, const header_list& headers,
                             std::string_view data) {
  if (!up_) return fail(errc::unreachable, "NATS is not connected");
  natsStatus s;
  if (headers.empty()) {
    s = reply ? natsConnection_PublishRequest(nc_, subject, reply, data.data(), static_cast<int>(data.size()))
              : natsConnection_Publish(nc_, subject, data.data(), static_cast<int>(data.size()));
  } else {
    natsMsg* m = nullptr;
    s = natsMsg_Create(&m, subject, reply, data.data(), static_cast<int>(data.size()));
    for (const auto& h : headers)
      if (s == NATS_OK) s = natsMsgHeader_Set(m, h.name, h.value.c_str());
    if (s == NATS_OK) s = natsConnection_PublishMsg(nc_, m);
    natsMsg_Destroy(m);
  }
  if (s == NATS_OK) return {};
  if (s == NATS_MAX_PAYLOAD) return fail(errc::too_large, "{} bytes exceed the NATS server's max_payload", data.size());
  return fail(errc::unreachable, "publish to {} failed: {}", subject, natsStatus_GetText(s));
}

result<__natsSubscription*> bridge::subscribe(const char* subject) {
  if (!up_) return fail(errc::unreachable, "NATS is not connected");
  natsSubscription* s = nullptr;
  const natsStatus status = natsConnection_SubscribeSync(&s, nc_, subject);
  if (status != NATS_OK)
    return fail(errc::unreachable, "subscribe to {} failed: {}", subject, natsStatus_GetText(status));
  natsSubscription_SetPendingLimits(s, -1, -1);  // credit is the bound; nothing is dropped
  return s;
}

void bridge::drain(__natsSubscription* from, std::vector<message>& into) {
  int count = 0, bytes = 0;
  if (natsSubscription_GetPending(from, &count, &bytes) != NATS_OK) return;
  // Takes exactly the pending count: one more poll would write an error stack.
  for (int i = 0; i < count; ++i) {
    natsMsg* m = nullptr;
    if (natsSubscription_NextMsg(&m, from, 0) == NATS_OK) into.emplace_back(m);
  }
}

void bridge::unsubscribe(__natsSubscription* gone) { natsSubscription_Destroy(gone); }

std::string bridge::server_id() const {
  char id[64] = "";
  if (up_) natsConnection_GetConnectedServerId(nc_, id, sizeof id);
  return id;
}

std::size_t bridge::max_payload() const { return static_cast<std::size_t>(natsConnection_GetMaxPayload(nc_)); }

}  // namespace recordkv::nats
