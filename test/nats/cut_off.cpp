// A connection that breaks in the middle of a message: what nats.c's parser still waits for must not swallow what the
// next connection brings. And one that is cut off for a while: no guarded write may come late.
#include "../support/nats_process.hpp"

#include <catch2/generators/catch_generators.hpp>

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// nats.c does not free what had come of the message.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:natsBuf_Create\n"; }

using namespace recordkv;
using namespace recordkv::test;

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

/// Passes bytes on in both directions; once the client has subscribed, it gets `last_words` and both sides are cut off.
void forward(int client, int server, const char* last_words) {
  char buffer[65536];
  pollfd both[2] = {{.fd = client, .events = POLLIN, .revents = 0}, {.fd = server, .events = POLLIN, .revents = 0}};
  while (::poll(both, 2, -1) > 0)
    for (int i = 0; i < 2; ++i) {
      if (!both[i].revents) continue;
      const auto n = ::read(both[i].fd, buffer, sizeof buffer);
      if (n <= 0) return;
      if (i == 0 && last_words &&
          std::string_view(buffer, static_cast<std::size_t>(n)).find("SUB ") != std::string_view::npos) {
        [[maybe_unused]] const auto sent = ::write(client, last_words, std::string_view(last_words).size());
        return;
      }
      for (ssize_t done = 0; done < n;) {
        const auto sent = ::write(both[1 - i].fd, buffer + done, static_cast<std::size_t>(n - done));
        if (sent <= 0) return;
        done += sent;
      }
    }
}

/// A process between client and server. The first connection ends with `last_words`, if any; others are left alone.
class cutting_proxy {
 public:
  explicit cutting_proxy(std::uint16_t to, const std::string& last_words = "") {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    constexpr int room = 4096;
    ::setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    auto at = loopback(0);
    socklen_t size = sizeof at;
    REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&at), size) == 0);
    ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    ::listen(listener, 16);
    const auto target = loopback(to);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::signal(SIGPIPE, SIG_IGN);
      for (const char* words = last_words.empty() ? nullptr : last_words.c_str();; words = nullptr) {
        const int client = ::accept(listener, nullptr, nullptr);
        const int server = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::connect(server, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0)
          forward(client, server, words);
        ::close(client);
        ::close(server);
      }
    }
    ::close(listener);
  }
  ~cutting_proxy() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  cutting_proxy(const cutting_proxy&) = delete;
  std::string url() const { return fmt::format("nats://127.0.0.1:{}", port_); }
  /// As a network that is cut: nothing goes through, and neither side is told.
  void hold() const { ::kill(pid_, SIGSTOP); }
  void go_on() const { ::kill(pid_, SIGCONT); }

 private:
  std::uint16_t port_ = 0;
  int pid_ = 0;
};

task<result<void>> answered(nats::connection& nc, std::chrono::steady_clock::duration within) {
  const auto until = std::chrono::steady_clock::now() + within;
  for (;;) {
    auto answer = co_await nc.request({.subject = "$JS.API.INFO"}, 1s);
    if (answer) co_return result<void>{};
    if (std::chrono::steady_clock::now() > until) co_return answer.error();
  }
}

}  // namespace

TEST_CASE("cut off in the middle of a message, it is connected again and hears what it is told") {
  captured_log log;
  nats_process server;
  const int announced = GENERATE(200, 1'000'000);  // the rest of it ends soon, or not for hours
  INFO("of a message of " << announced << " bytes three have come");
  cutting_proxy proxy(server.port(), fmt::format("MSG _INBOX.some 1 {}\r\nabc", announced));
  asio::io_context io(1);
  {
    nats::connection nc(io);
    REQUIRE(nc.start({.url = proxy.url()}).has_value());
    REQUIRE(becomes(io, [&] { return nc.connects() >= 2; }));
    const auto heard = run_coroutine(io, answered(nc, 12s));
    INFO("the log:\n" << fmt::format("{}", fmt::join(log.lines, "\n")));
    REQUIRE(heard);
    CHECK(heard->has_value());
  }
}

TEST_CASE("X7: a guarded write does not arrive late when the network does, though the kernel has taken it") {
  captured_log log;
  nats_process server;
  const cutting_proxy proxy(server.port());
  asio::io_context io(1);
  nats::connection nc(io), other(io);
  REQUIRE(nc.start({.url = proxy.url()}).has_value());
  REQUIRE(other.start({.url = server.url()}).has_value());
  auto heard = other.subscribe("x");
  REQUIRE(heard.has_value());
  REQUIRE(run_coroutine(io, other.flush())->has_value());
  REQUIRE(run_coroutine(io, nc.flush())->has_value());

  const bool is_guarded = GENERATE(true, false);
  proxy.hold();  // its few kilobytes of room are full at once
  REQUIRE(nc.publish("filler", "", {}, std::string(64 << 10, 'f'), is_guarded).has_value());
  REQUIRE(nc.publish("x", "", {}, "before", is_guarded).has_value());
  if (is_guarded) REQUIRE(becomes(io, [&] { return !nc.up(); }));
  proxy.go_on();
  if (is_guarded) REQUIRE(becomes(io, [&] { return nc.connects() == 2; }));
  REQUIRE(run_coroutine(io, nc.flush())->has_value());
  REQUIRE(nc.publish("x", "", {}, "after", is_guarded).has_value());
  std::vector<std::string> got;
  REQUIRE(becomes(io, [&] {
    for (const auto& m : heard->take()) got.emplace_back(m.data());
    return !got.empty() && got.back() == "after";
  }));
  CHECK(got == (is_guarded ? std::vector<std::string>{"after"} : std::vector<std::string>{"before", "after"}));
  CHECK(nc.connects() == (is_guarded ? 2 : 1));
}

TEST_CASE("X7: what only the holder of a lease writes into a bucket does not arrive late either") {
  nats_rig rig;
  const cutting_proxy proxy(rig.server.port());
  nats::connection late(rig.io);
  REQUIRE(late.start({.url = proxy.url()}).has_value());
  kv::bucket states(rig.nc, "repo"), far(late, "repo");
  REQUIRE(rig.run(states.open()).has_value());
  REQUIRE(rig.run(states.put("a", "1")).has_value());
  REQUIRE(rig.run(late.flush()).has_value());

  const bool of_lease = GENERATE(true, false);
  proxy.hold();  // its few kilobytes of room are full at once
  REQUIRE(late.publish("filler", "", {}, std::string(64 << 10, 'f')).has_value());
  std::optional<result<std::uint64_t>> written;
  kv::write w{.key = "a", .value = "2", .expected = 1, .of_lease = of_lease};
  asio::co_spawn(rig.io, far.update(std::move(w)), [&](std::exception_ptr e, result<std::uint64_t> r) {
    if (e) std::rethrow_exception(e);
    written = std::move(r);
  });
  if (of_lease) {
    REQUIRE(rig.waits_for([&] { return written.has_value(); }));
    CHECK(written->error().code == errc::unreachable);
    kv::write again{.key = "a", .value = "2", .expected = 1, .of_lease = true};
    CHECK(rig.run(far.update(std::move(again))).error().code == errc::unreachable);  // it does not wait either
  } else {
    settle_down(rig.io);
  }
  proxy.go_on();
  if (of_lease) REQUIRE(rig.waits_for([&] { return late.connects() == 2; }));
  REQUIRE(rig.run(late.flush()).has_value());
  REQUIRE(rig.waits_for([&] { return written.has_value(); }));
  CHECK(rig.run(states.get("a"))->value == (of_lease ? "1" : "2"));
}
