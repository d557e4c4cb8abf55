// How many small messages a second one core takes; on demand: stages-source "[throughput]".
#include "source_rig.hpp"

#include "recordkv/firehose/source_kinds.hpp"

#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/websocket.hpp>

#include <ctime>
#include <iostream>
#include <thread>

using namespace recordkv;
using namespace recordkv::test;

namespace {

using asio::ip::tcp;

// Sends prepared bytes as fast as they are taken, from a thread of its own, so that its work is not measured.
void blast(tcp::acceptor& acceptor, const std::string& bytes, int times) {
  tcp::socket socket = acceptor.accept();
  boost::beast::websocket::stream<tcp::socket&> ws(socket);
  ws.accept();
  boost::system::error_code ec;
  for (int i = 0; i < times && !ec; ++i) asio::write(socket, asio::buffer(bytes), ec);
  char last[16];
  socket.read_some(asio::buffer(last), ec);
}

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

void measure(std::string_view what, const std::string& bytes, std::size_t messages, bool jetstream) {
  constexpr int times = 100;
  source_rig rig;
  asio::io_context server;
  tcp::acceptor acceptor(server, {asio::ip::address_v4::loopback(), 0});
  const auto spec = rig.spec(fmt::format("ws://127.0.0.1:{}", acceptor.local_endpoint().port()));
  std::thread other([&] { blast(acceptor, bytes, times); });
  const auto ex = rig.io.get_executor();
  const auto source = jetstream ? firehose::make_jetstream(ex, spec, rig.counters)
                                : firehose::make_subscribe_repos(ex, spec, rig.counters);
  std::size_t got = 0, batches = 0;
  const auto before = std::chrono::steady_clock::now();
  const double cpu = cpu_seconds();
  auto drain = [](frame_source& s, std::size_t& n, std::size_t& b, std::size_t all) -> task<int> {
    while (n < all) {
      const auto batch = co_await s.next();
      if (!batch) break;
      n += batch->size();
      ++b;
    }
    co_return 0;
  };
  finish(rig.io, drain(*source, got, batches, messages * times), std::chrono::minutes(2));
  const double used = cpu_seconds() - cpu;
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  source->close();
  other.join();
  REQUIRE(got == messages * times);
  const auto n = static_cast<double>(got);
  std::cout << fmt::format("{}: {:.0f}/s by the clock, {:.0f}/s of CPU, {} a batch, {} bytes each\n", what, n / took,
                           n / used, got / batches, bytes.size() / messages);
}

}  // namespace

TEST_CASE("throughput", "[.][throughput]") {
  constexpr std::size_t messages = 5000;
  std::string likes;
  for (std::size_t i = 0; i < messages; ++i) {
    const auto m = wire::like(1'750'000'000'000'000 + i, "did:plc:44ybard66vv44zksje25o7dz");
    likes += wire::ws_frame(0x81, m.size(), m);
  }
  measure("jetstream", likes, messages, true);

  std::string deletes;
  for (std::size_t i = 0; i < messages; ++i) {
    const auto m = fmt::format(R"({{"did":"did:plc:44ybard66vv44zksje25o7dz","time_us":{},"kind":"identity"}})", i + 1);
    deletes += wire::ws_frame(0x81, m.size(), m);
  }
  measure("jetstream, tiny", deletes, messages, true);
}

TEST_CASE("throughput of frames", "[.][throughput]") {
  constexpr std::size_t messages = 1000;
  // Without a seq: the same bytes are sent again and again.
  std::string bare;
  for (std::size_t i = 0; i < messages; ++i) {
    const auto m = wire::padded(0, 5000);
    bare += wire::ws_frame(0x82, m.size(), m);
  }
  measure("firehose, 5 kB", bare, messages, false);
}
