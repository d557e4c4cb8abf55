// Reading TLS by whole records must never hold up the sender: a socket pair, the bytes of records, no TLS.
#include "tls_records.hpp"

#include <poll.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

using boost::asio::ip::tcp;

namespace {

using pair = std::pair<tcp::socket, tcp::socket>;

pair connected(boost::asio::io_context& io) {
  tcp::acceptor door(io, {boost::asio::ip::address_v4::loopback(), 0});
  tcp::socket there(io);
  there.connect(door.local_endpoint());
  return {door.accept(), std::move(there)};
}

// One record: its header as in RFC 8446, 5.1, and as many bytes.
std::string record(std::size_t size) {
  std::string out = "\x17\x03\x03";
  out += static_cast<char>(size >> 8);
  out += static_cast<char>(size & 0xff);
  return out.append(size, 'x');
}

// Reads as the bridge does. True when all of it came; false when the kernel says for 10 s that it can be read, or
// nothing, and no record becomes whole.
bool read_all(tcp::socket& from, std::size_t total) {
  recordkv::nats::tls_records records;
  records.attached(from.native_handle());
  std::string into(1 << 15, 0);
  auto heard = std::chrono::steady_clock::now();
  while (total > 0 && std::chrono::steady_clock::now() - heard < std::chrono::seconds(10)) {
    pollfd p{.fd = from.native_handle(), .events = POLLIN, .revents = 0};
    ::poll(&p, 1, 1000);
    while (const auto n = records.ready()) {
      boost::asio::read(from, boost::asio::buffer(into, n));
      total -= n;
      heard = std::chrono::steady_clock::now();
    }
  }
  return total == 0;
}

}  // namespace

// On the loopback interface a packet has 64 KiB, which is half of what a new socket may hold. A packet that ended in
// the middle of a record closed the window for the rest of that record.
TEST_CASE("a record that begins at the end of a large packet is read to its end") {
  boost::asio::io_context io;
  for (const std::size_t size : {24, 465, 3000, 9001, 16385}) {
    INFO("records of " << size);
    auto [to, from] = connected(io);
    std::string some;
    while (some.size() < 8 << 20) some += record(size);
    std::jthread writer([&to, &some] {
      boost::system::error_code given_up;
      boost::asio::write(to, boost::asio::buffer(some), given_up);
    });
    CHECK(read_all(from, some.size()));
    from.close();
  }
}
