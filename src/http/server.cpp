#include "recordkv/http/server.hpp"

#include "recordkv/core/backoff.hpp"
#include "recordkv/core/log.hpp"
#include "recordkv/core/parse_number.hpp"
#include "session.hpp"

#include <algorithm>
#include <optional>

namespace recordkv::http {

using namespace std::chrono_literals;
using boost::system::error_code;
using tcp = asio::ip::tcp;

namespace {

constexpr auto min_pause = 10ms;
constexpr auto max_pause = 1000ms;
constexpr auto complaint_interval = 60s;
constexpr int admitted_at_once = 16;
constexpr std::string_view busy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 47\r\n"
    "Retry-After: 1\r\nConnection: close\r\n\r\nToo many connections are open. Try again later.";

struct address {
  std::string host;
  std::string port;
};

std::optional<address> parse_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == text.npos) return {};
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto number = parse_number<unsigned>(port);
  if (!number || *number > 65535) return {};
  if (host.empty() || (!bracketed && host.find(':') != host.npos)) return {};
  return address{std::string(host), std::string(port)};
}

error not_listening(const std::string& where, const error_code& ec) {
  if (ec == asio::error::address_in_use)
    return fail(errc::conflict,
                "can't listen on {}: another program has this address; end it, or set http.listen to another port",
                where);
  if (ec == asio::error::access_denied)
    return fail(errc::unauthorized,
                "can't listen on {}: the system does not permit it; set http.listen to a port above 1023", where);
  return fail(errc::bad_config, "can't listen on {}: {}; set http.listen to an address of this machine, or to \"\"",
              where, ec.message());
}

error_code bind_to(tcp::acceptor& acceptor, const tcp::endpoint& where) {
  error_code ec;
  acceptor.open(where.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor.bind(where, ec);
  if (!ec) acceptor.listen(tcp::acceptor::max_listen_connections, ec);
  if (!ec) acceptor.non_blocking(true, ec);
  error_code ignored;
  if (ec) acceptor.close(ignored);
  return ec;
}

// Without a coroutine or a wait: each connection of a flood costs one write and leaves nothing behind.
void turn_away(tcp::socket socket) {
  error_code ec;
  socket.non_blocking(true, ec);
  socket.write_some(asio::buffer(busy), ec);
  socket.shutdown(tcp::socket::shutdown_send, ec);
  char scrap[2048];  // unread input would reset the connection before the client reads the answer
  socket.read_some(asio::buffer(scrap), ec);
}

}  // namespace

server::server(asio::io_context& io, std::vector<route> routes, meters& counters, limits bounds)
    : routes_(std::move(routes)),
      counters_(counters),
      bounds_(bounds),
      acceptor_(io.get_executor()),
      children_(io.get_executor()) {}

server::~server() = default;

result<void> server::listen(const std::string& host_port) {
  const auto where = parse_address(host_port);
  if (!where)
    return fail(errc::bad_config, R"(can't listen on "{}": http.listen wants host:port, such as "127.0.0.1:2580")",
                host_port);
  tcp::resolver names(acceptor_.get_executor());
  error_code ec;
  const auto found = names.resolve(where->host, where->port, tcp::resolver::passive, ec);
  for (const auto& one : found) {
    ec = bind_to(acceptor_, one.endpoint());
    if (!ec) break;
  }
  if (ec) return not_listening(host_port, ec);
  port_ = acceptor_.local_endpoint(ec).port();
  return {};
}

task<> server::run() {
  backoff pause(min_pause, max_pause);
  while (!closed_ && acceptor_.is_open()) {
    auto [ec, socket] = co_await acceptor_.async_accept(use_task);
    if (closed_) break;
    if (!ec) {
      pause.reset();
      admit(std::move(socket));
      admit_waiting();
    } else if (ec != asio::error::connection_aborted) {
      not_accepted(ec);
      co_await stopped_.wait_for(pause.next());
    }
  }
  co_await children_.join();
}

void server::close() noexcept {
  if (closed_) return;
  closed_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  stopped_.notify();
  for (const auto& one : open_) one->end("stopped");
}

// The connection stays in the kernel's queue, which would wake the acceptor again at once.
void server::not_accepted(const error_code& ec) {
  const bool out = ec == asio::error::no_descriptors || ec == error_code(ENFILE, boost::system::system_category());
  counters_.add("http_refused", out ? "no_descriptors" : "accept_failed");
  const auto now = std::chrono::steady_clock::now();
  if (!complained_ || now - *complained_ > complaint_interval) {
    log::warn("http", "can't accept connections: {}; trying again{}", ec.message(),
              out ? " (raise the limit of open files, ulimit -n)" : "");
    complained_ = now;
  }
  if (out) make_room();
}

// A turn of the loop can be long. A connection in a long queue must not wait one turn for each connection before it.
void server::admit_waiting() {
  error_code ec;
  for (int i = 1; i < admitted_at_once; ++i) {
    tcp::socket next(acceptor_.get_executor());
    acceptor_.accept(next, ec);
    if (ec) return;
    admit(std::move(next));
  }
}

void server::admit(tcp::socket socket) {
  if (open_.size() >= bounds_.connections && !make_room()) {
    counters_.add("http_refused", "too_many");
    turn_away(std::move(socket));
    return;
  }
  counters_.add("http_accepted");
  auto one = std::make_shared<session>(std::move(socket), routes_, counters_, bounds_);
  open_.push_back(one);
  children_.spawn(serve(std::move(one)));
}

task<> server::serve(std::shared_ptr<session> one) {
  co_await one->run();
  std::erase(open_, one);
}

// Ends the connection that has been idle longest, unless a request has just arrived on it.
bool server::make_room() {
  auto found = open_.end();
  for (auto it = open_.begin(); it != open_.end(); ++it) {
    const auto since = (*it)->idle_since();
    if (since && (found == open_.end() || *since < *(*found)->idle_since()) && !(*it)->has_input()) found = it;
  }
  if (found == open_.end()) return false;
  (*found)->end("made_room");
  open_.erase(found);
  return true;
}

}  // namespace recordkv::http
