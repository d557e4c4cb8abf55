#include "bridge.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/nats/greeting.hpp"

#include <nats/nats.h>
#include <unistd.h>
#include <boost/asio/post.hpp>

#include <utility>

namespace recordkv::nats {
namespace {

// The descriptor on its way to the loop: closed if the loop never runs again.
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

error translate(natsStatus s, const std::string& url) {
  const char* last = nats_GetLastError(nullptr);
  const std::string detail = last && *last ? last : natsStatus_GetText(s);
  switch (s) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
      return fail(errc::unauthorized, "the NATS server at {} refuses our credentials; check nats.url and nats.creds",
                  url);
    case NATS_NO_SERVER:
      return fail(errc::unreachable, "no NATS server answers at {}; start one, or set nats.url", url);
    case NATS_TIMEOUT:
      return fail(errc::unreachable, "the NATS server at {} did not answer in time; is that port a NATS server?", url);
    case NATS_SSL_ERROR:
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_SECURE_CONNECTION_WANTED:
      return fail(errc::unauthorized,
                  "TLS with the NATS server at {} failed ({}); check tls:// in nats.url and nats.tls_ca", url, detail);
    default: return fail(errc::unreachable, "connecting to NATS at {} failed: {}", url, detail);
  }
}

std::vector<std::string> split_urls(const std::string& list) {
  std::vector<std::string> out;
  std::size_t from = 0;
  while (from <= list.size()) {
    const auto comma = std::min(list.find(',', from), list.size());
    if (comma > from) out.push_back(list.substr(from, comma - from));
    from = comma + 1;
  }
  return out;
}

using options_ptr = std::unique_ptr<natsOptions, decltype(&natsOptions_Destroy)>;

natsStatus set_servers(natsOptions* o, const nats_config& c) {
  const auto urls = split_urls(c.url);
  std::vector<const char*> raw;
  for (const auto& u : urls) raw.push_back(u.c_str());
  natsStatus s = natsOptions_SetServers(o, raw.data(), static_cast<int>(raw.size()));
  if (s == NATS_OK && !c.creds.empty()) s = natsOptions_SetUserCredentialsFromFiles(o, c.creds.c_str(), nullptr);
  if (s == NATS_OK && !c.tls_ca.empty()) {
    s = natsOptions_SetSecure(o, true);
    if (s == NATS_OK) s = natsOptions_LoadCATrustedCertificates(o, c.tls_ca.c_str());
  }
  return s;
}

natsStatus set_behaviour(natsOptions* o, const nats_config& c) {
  natsStatus s = natsOptions_SetName(o, c.name.c_str());
  const auto also = [&s](natsStatus next) { s = s == NATS_OK ? next : s; };
  also(natsOptions_SetSendAsap(o, true));         // no flusher thread: a publish arms one write
  also(natsOptions_SetIOBufSize(o, 256 * 1024));  // an eighth of the reads
  also(natsOptions_SetMaxReconnect(o, -1));
  also(natsOptions_SetReconnectWait(o, 100));
  also(natsOptions_SetReconnectJitter(o, 100, 200));
  also(natsOptions_SetPingInterval(o, 10'000));
  also(natsOptions_SetTimeout(o, 2'000));
  also(natsOptions_SetMaxPendingMsgs(o, 1 << 20));  // times 1024 it must fit an int; lifted per subscription
  also(natsOptions_DisableNoResponders(o, true));   // NextMsg swallows a 503 together with its request id
  return s;
}

}  // namespace

bridge::bridge(asio::io_context& io, listener to) : io_(io), to_(std::move(to)), socket_(io), retry_(io) {}

bridge::~bridge() {
  shut();
  *self_ = nullptr;
}

// Posts to the loop. What is still queued there when the bridge has gone does nothing.
template <class Work>
void bridge::later(Work work) {
  asio::post(io_, [self = self_, work = std::move(work)]() mutable {
    if (*self) work(**self);
  });
}

void bridge::shut() {
  up_ = false;
  if (!nc_) return;
  closing_ = true;
  natsConnection_Close(nc_);
  closed_.wait(false);  // nats.c tells of the end on a thread of its own, and that is its last word
  natsConnection_Destroy(std::exchange(nc_, nullptr));
}

result<void> bridge::open(const nats_config& config) {
  shut();  // an earlier attempt that got half-way
  closed_ = closing_ = false;
  quick_losses_ = 0;
  config_ = config;
  natsOptions* raw = nullptr;
  if (natsOptions_Create(&raw) != NATS_OK) throw std::bad_alloc();
  const options_ptr options(raw, &natsOptions_Destroy);
  natsStatus s = set_servers(raw, config);
  if (s == NATS_OK) s = set_behaviour(raw, config);
  if (s == NATS_OK)
    s = natsOptions_SetEventLoop(
        raw, this,
        [](void** self, void* b, natsConnection* nc, natsSock fd) {
          return static_cast<natsStatus>(attach(self, b, nc, fd));
        },
        [](void* self, bool on) { return static_cast<natsStatus>(want_read(self, on)); },
        [](void* self, bool on) { return static_cast<natsStatus>(want_write(self, on)); },
        [](void* self) { return static_cast<natsStatus>(detach(self)); });
  const auto on_closed = [](natsConnection* nc, void* self) {
    const char* why = nullptr;
    natsConnection_GetLastError(nc, &why);
    auto& b = *static_cast<bridge*>(self);
    if (!b.closing_) b.later([text = std::string(why ? why : "closed")](bridge& there) { there.to_.given_up(text); });
    b.closed_ = true;
    b.closed_.notify_all();
  };
  if (s == NATS_OK) s = natsOptions_SetClosedCB(raw, on_closed, this);
  // Slow-consumer and permission errors; the default handler would write to stderr by itself.
  const auto on_error = [](natsConnection*, natsSubscription*, natsStatus e, void*) {
    log::warn("nats", "{}", natsStatus_GetText(e));
  };
  if (s == NATS_OK) s = natsOptions_SetErrorHandler(raw, on_error, nullptr);
  const auto shown = without_secrets(config.url);
  if (s != NATS_OK) return fail(errc::bad_config, "nats.url {} is not usable: {}", shown, natsStatus_GetText(s));
  s = natsConnection_Connect(&nc_, raw);
  if (s != NATS_OK) return translate(s, shown);
  return {};
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
  write_waiting_ = false;
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
  if (quick_losses_ >= 3) renew();
}

// nats.c keeps its parser's state over a reconnect (3.4.1, event-loop mode): cut off in the middle of a message it
// takes what comes next for the rest of it. Of a short rest every later connection is lost at its first read, behind a
// long one it stays deaf (connection.cpp listens for an echo). Only a new connection has a new parser.
void bridge::renew() {
  log::warn("nats", "the connection stands and nothing can be read from it; making it anew");
  ++renewals_;
  const nats_config same = config_;
  if (open(same)) return;
  retry_.expires_after(std::chrono::milliseconds(300));
  retry_.async_wait([this](boost::system::error_code ec) {
    if (!ec) renew();
  });
}

void bridge::start_over() {
  boost::system::error_code ignored;
  socket_.close(ignored);
  if (up_.exchange(false)) to_.turned(false);
  renew();
}

void bridge::read_turn() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code ec) {
    if (ec || !up_) return;
    natsConnection_ProcessReadEvent(nc_);
    to_.readable();
    if (up_) read_turn();
  });
}

void bridge::write_turn() {
  write_posted_ = false;
  if (!up_ || !write_wanted_ || write_waiting_) return;
  natsConnection_ProcessWriteEvent(nc_);
  if (!write_wanted_ || !up_) return;
  write_waiting_ = true;  // the socket's buffer is full
  socket_.async_wait(asio::posix::stream_descriptor::wait_write, [this](boost::system::error_code ec) {
    if (ec) return;
    write_waiting_ = false;
    write_turn();
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
  natsSubscription_SetPendingLimits(s, -1, -1);  // bounded by credit, not by dropping
  return s;
}

void bridge::drain(__natsSubscription* from, std::vector<message>& into) {
  int count = 0, bytes = 0;
  if (natsSubscription_GetPending(from, &count, &bytes) != NATS_OK) return;
  // Exactly as many as there are: one poll too many would write an error stack.
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
