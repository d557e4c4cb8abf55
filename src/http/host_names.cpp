#include "host_names.hpp"

#include <netdb.h>
#include <boost/asio/post.hpp>

#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

namespace recordkv::http {

// Outlives host_names while a look-up is under way.
struct host_names::shared {
  explicit shared(asio::any_io_executor ex) : loop(std::move(ex)) {}

  std::mutex mutex;
  std::optional<asio::any_io_executor> loop;  // guarded; absent once the loop may be gone

  // the loop's alone
  int under_way = 0;
  event freed;
};

struct host_names::query {
  std::string host;
  int failure = 0;
  std::vector<asio::ip::address> found;
  bool done = false;  // the loop's alone
  event answered;

  void run() noexcept;
};

namespace {

std::optional<asio::ip::address> address_in(const sockaddr* from) {
  if (from->sa_family == AF_INET) {
    asio::ip::address_v4::bytes_type bytes;
    std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in*>(from)->sin_addr, bytes.size());
    return asio::ip::address_v4(bytes);
  }
  if (from->sa_family != AF_INET6) return {};
  const auto* const v6 = reinterpret_cast<const sockaddr_in6*>(from);
  asio::ip::address_v6::bytes_type bytes;
  std::memcpy(bytes.data(), &v6->sin6_addr, bytes.size());
  return asio::ip::address_v6(bytes, v6->sin6_scope_id);
}

}  // namespace

void host_names::query::run() noexcept {
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  failure = ::getaddrinfo(host.c_str(), nullptr, &wanted, &first);
  if (failure != 0) return;
  for (const addrinfo* a = first; a != nullptr; a = a->ai_next)
    if (const auto address = address_in(a->ai_addr)) found.push_back(*address);
  ::freeaddrinfo(first);
}

host_names::host_names(asio::any_io_executor loop) : shared_(std::make_shared<shared>(std::move(loop))) {}

host_names::~host_names() {
  const std::scoped_lock held(shared_->mutex);
  shared_->loop.reset();
}

task<result<std::vector<asio::ip::address>>> host_names::look_up(std::string host, cut_off& ending) {
  boost::system::error_code no_address;
  if (const auto literal = asio::ip::make_address(host, no_address); !no_address)
    co_return std::vector<asio::ip::address>{literal};

  const auto common = shared_;
  const auto ours = std::make_shared<query>();
  ours->host = std::move(host);
  const cut_off::wait wait(ending, [common, ours] {
    common->freed.notify();
    ours->answered.notify();
  });
  while (common->under_way >= at_once && !ending.ended()) co_await common->freed.wait();
  if (ending.ended()) co_return fail(errc::timed_out, "looking up {}: not begun in time", ours->host);
  try {
    std::thread([common, ours] {
      ours->run();
      const std::scoped_lock held(common->mutex);
      if (!common->loop) return;
      asio::post(*common->loop, [common, ours] {
        ours->done = true;
        --common->under_way;
        common->freed.notify();
        ours->answered.notify();
      });
    }).detach();
  } catch (const std::system_error& e) {
    co_return fail(errc::unreachable, "looking up {}: no thread: {}", ours->host, e.what());
  }
  ++common->under_way;
  while (!ours->done && !ending.ended()) co_await ours->answered.wait();
  if (!ours->done) co_return fail(errc::timed_out, "looking up {}: no answer in time", ours->host);
  if (ours->failure != 0)
    co_return fail(errc::unreachable, "looking up {}: {}", ours->host, ::gai_strerror(ours->failure));
  co_return std::move(ours->found);
}

}  // namespace recordkv::http
