#include "signed_run.hpp"

#include "network_hosts.hpp"
#include "network_truth.hpp"
#include "recording.hpp"
#include "signed_feed.hpp"
#include "signed_server.hpp"

#include "recordkv/core/log.hpp"

#include <fmt/format.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <fstream>

namespace recordkv::sim {
namespace {

int failed(const error& e) {
  log::error("simulator", "{}", e.text);
  return e.code == errc::bad_config ? 2 : 3;
}

template <class Write>
bool write_file(const std::string& path, const Write& write) {
  if (path.empty()) return true;
  std::ofstream file(path, std::ios::binary);
  write(file);
  if (file.flush()) return true;
  log::error("simulator", "cannot write {}", path);
  return false;
}

bool write_truths(const signed_options& o, network& n, std::uint64_t events) {
  return write_file(o.truth_file, [&](std::ostream& out) { write_truth(out, n, o.partitions, events); }) &&
         write_file(o.accounts_file, [&](std::ostream& out) { write_accounts(out, n); });
}

/// Binds every port and prints what it is, but for the last line. The options learn the URLs.
result<std::uint16_t> bind_all(signed_server& server, signed_options& o) {
  for (std::uint32_t i = 0; i < o.web_accounts; ++i) {
    const auto port = server.listen({role::web, i}, 0);
    if (port.has_error()) return port.error();
    fmt::print("web {}\n", o.network.web_dids.emplace_back(fmt::format("did:web:localhost%3A{}", *port)));
  }
  for (std::uint32_t i = 0; i < o.pds_hosts; ++i) {
    const auto port = server.listen({role::pds, i}, 0);
    if (port.has_error()) return port.error();
    fmt::print("pds {}\n", o.network.pds.emplace_back(fmt::format("http://127.0.0.1:{}", *port)));
  }
  const auto plc = server.listen({role::plc, 0}, 0);
  if (plc.has_error()) return plc.error();
  const auto relay = server.listen({role::relay, 0}, o.port);
  if (relay.has_error()) return relay.error();
  fmt::print("plc http://127.0.0.1:{}\n", *plc);
  fmt::print("control http://127.0.0.1:{}/control\n", *relay);
  fmt::print("relay ws://127.0.0.1:{}/xrpc/com.atproto.sync.subscribeRepos\n", *relay);
  return relay;
}

void serve(asio::io_context& io, signed_server& server, signed_feed& feed, hosts& h, std::uint16_t port) {
  fmt::print("listening ws://127.0.0.1:{}\n", port);
  std::fflush(stdout);
  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](boost::system::error_code, int) { io.stop(); });
  server.start(h);
  asio::co_spawn(io, feed.run(), asio::detached);
  io.run();
}

int run_live(signed_options& o, const fault_plan& plan) {
  signed_feed feed(o.pace);
  asio::io_context io(1);
  network* net = nullptr;
  signed_server::conduct conduct{.disconnect_after = o.disconnect_after,
                                 .delay = std::chrono::milliseconds(o.delay_ms)};
  conduct.on_cut = [&net] { net->note({.kind = name(fault::disconnect), .did = {}, .expect = "equal"}); };
  if (o.exit_when_served) conduct.complete = [&io] { io.stop(); };
  signed_server server(io, feed, conduct);
  const auto port = bind_all(server, o);
  if (port.has_error()) return failed(port.error());
  network n(o.rules, o.network, plan,
            [&feed](std::uint64_t seq, std::string_view message) { feed.append(seq, message); });
  net = &n;
  network_hosts all(n, feed, o.partitions,
                    {.cut = [&server] { server.cut(); }, .clients = [&server] { return server.clients(); }});
  feed.begin([&n](std::uint64_t left) { return n.next(left), true; }, [&] { write_truths(o, n, feed.emitted()); });
  if (o.print > 0) print_tour(popular(n, o.print));
  if (o.keep_exports) all.keep_exports();
  serve(io, server, feed, all, *port);
  return write_truths(o, n, feed.emitted()) ? 0 : 1;
}

int make_recording(signed_options& o, const fault_plan& plan) {
  recorder to(o.record_file);
  o.network.pds.assign(o.pds_hosts, "http://127.0.0.1");
  network n(o.rules, o.network, plan, [&to](std::uint64_t, std::string_view message) { to.append(message); });
  const std::uint64_t until = o.pace.events - o.pace.events / 10;
  while (to.messages() < o.pace.events) n.next(until > to.messages() ? until - to.messages() : 1);
  if (const auto done = to.finish(n); done.has_error()) return failed(done.error());
  fmt::print("recorded {} messages\n", to.messages());
  return write_truths(o, n, to.messages()) ? 0 : 1;
}

int replay(signed_options& o) {
  o.pace.events = 0;  // the file says when it ends
  signed_feed feed(o.pace);
  asio::io_context io(1);
  signed_server::conduct conduct{.disconnect_after = o.disconnect_after};
  if (o.exit_when_served) conduct.complete = [&io] { io.stop(); };
  signed_server server(io, feed, conduct);
  o.web_accounts = 0;
  const auto port = bind_all(server, o);
  if (port.has_error()) return failed(port.error());
  player from(feed, o.network.pds, [&server] { server.cut(); }, [&server] { return server.clients(); });
  if (const auto opened = from.open(o.replay_file); opened.has_error()) return failed(opened.error());
  feed.begin([&from](std::uint64_t) { return from.next(); }, {});
  serve(io, server, feed, from, *port);
  return 0;
}

}  // namespace

int run_signed(signed_options o) {
  fault_plan plan;
  if (const auto added = plan.add(o.faults); added.has_error()) return failed(added.error());
  if (!o.replay_file.empty()) return replay(o);
  if (o.record_file.empty()) return run_live(o, plan);
  if (o.pace.events == 0) return failed(error{errc::bad_config, "--record wants --events above 0"});
  return make_recording(o, plan);
}

}  // namespace recordkv::sim
