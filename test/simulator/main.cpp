// recordkv-sim: a network of accounts on this machine, for tests and for trying recordkv out.
//
// Owns: the command line, the process's life.
// Does not know: everything else; see world.hpp for what happens, wire_jetstream.hpp and signed/network.hpp for how it
// is told. README.md beside this file describes the signed network: options, faults, control routes.

#include "signed/signed_run.hpp"
#include "truth.hpp"
#include "wire_jetstream.hpp"

#include "recordkv/core/log.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>

namespace {

using namespace recordkv;

struct options : sim::signed_options {
  std::string kind = "jetstream";
  bool die_with_parent = false;
};

constexpr const char* footer = R"(Example:
  recordkv-sim --seed 7 --accounts 200000 --events 50000 --rate 2000 --truth truth.tsv
  prints "listening ws://127.0.0.1:PORT"; read it with any Jetstream client: ws://127.0.0.1:PORT/subscribe?cursor=0
  recordkv-sim --events 0 --past 20000 --rate 1000 --base $(date +%s)000000 --print 3
  goes on for ever, with times of today, and names posts to ask recordkv about

The same --seed, --accounts, --churn, --base and --step give the same events, byte for byte, however many and however
fast. CIDs are the true ones of the records. A finite history is made before "listening" is printed, and the truth file
is complete by then; an endless one writes its truth when it is ended by SIGINT or SIGTERM. GET / tells how far it is,
GET /truth gives the truth of the events so far.

--network signed is a relay, PDS hosts and a PLC directory with real signatures, told as subscribeRepos tells it:
  recordkv-sim --network signed --seed 7 --accounts 1000 --events 20000 --fault forged=3,gap=2
  prints the addresses of all parts, the relay's last; faults and the truth are under /control/ there
  recordkv-sim --network signed --accounts 200000 --settled 100 --events 500000 --record frames.bin
  recordkv-sim --network signed --replay frames.bin --rate 6000
test/simulator/README.md describes its faults and control routes.)";

void describe_signed(CLI::App& app, options& o) {
  const auto add = [&app](const char* name, auto& into, const char* text) {
    return app.add_option(name, into, text)->group("Options of --network signed");
  };
  add("--settled", o.network.settled, "percent of accounts whose repo is older than the stream")
      ->capture_default_str()
      ->check(CLI::Range(0, 100));
  add("--records", o.network.records, "records that such an account has at the start")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000));
  add("--likes", o.network.likes, "likes that all accounts together have beside them, shared out evenly")
      ->capture_default_str();
  add("--alike", o.network.alike, "such accounts start with one of N sets of records; 0: each with its own")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000));
  add("--p256", o.network.p256, "percent of accounts with a P-256 key; the others have K-256")
      ->capture_default_str()
      ->check(CLI::Range(0, 100));
  add("--pds", o.pds_hosts, "PDS hosts, a port each")->capture_default_str()->check(CLI::Range(1, 1'000));
  add("--web", o.web_accounts, "the first N accounts are did:web, a port each")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000));
  add("--fault", o.faults, "faults by kind: forged=3 in the run, or forged=1/500 of the commits; comma separated");
  add("--disconnect-after", o.disconnect_after, "cut each connection of the stream after N messages; 0: never")
      ->capture_default_str();
  add("--delay", o.delay_ms, "milliseconds before each answer over HTTP; before a connection's first one twice as long")
      ->capture_default_str()
      ->check(CLI::Range(0, 60'000));
  app.add_flag("--keep-exports", o.keep_exports, "make the export of each repo at the start, and keep it")
      ->group("Options of --network signed");
  add("--accounts-truth", o.accounts_file, "write what became of each account to this file, as JSON lines");
  add("--record", o.record_file, "write --events messages to this file, and the accounts beside it, and end");
  add("--replay", o.replay_file, "serve such a file");
}

void describe(CLI::App& app, options& o) {
  app.footer(footer);
  app.add_option("--network", o.kind, "jetstream: records as JSON; signed: repos with keys and signatures")
      ->capture_default_str()
      ->check(CLI::IsMember({"jetstream", "signed"}));
  app.add_option("--seed", o.rules.seed, "which network")->capture_default_str();
  app.add_option("--accounts", o.rules.accounts, "accounts in it")
      ->capture_default_str()
      ->check(CLI::Range(1, 50'000'000));
  app.add_option("--events", o.pace.events, "events in all; 0: no end")->capture_default_str();
  app.add_option("--rate", o.pace.rate, "events a second; 0: as fast as they are taken")->capture_default_str();
  app.add_option("--past", o.pace.past, "events that have happened before the start")->capture_default_str();
  app.add_option("--window", o.pace.window, "events that an endless history keeps")
      ->capture_default_str()
      ->check(CLI::Range(1ULL, 1'000'000'000ULL));
  app.add_option("--churn", o.rules.churn, "of a million steps, those that change one of 48 keys again and again")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--base", o.rules.base_us, "time of the first event, unix microseconds")->capture_default_str();
  app.add_option("--step", o.rules.step_us, "microseconds between two events")
      ->capture_default_str()
      ->check(CLI::Range(2, 1'000'000'000));
  app.add_option("--port", o.port, "port on 127.0.0.1; 0: a free one")->capture_default_str();
  app.add_option("--partitions", o.partitions, "for the keys of the truth")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--truth", o.truth_file, "write what a mirror must hold in the end to this file");
  app.add_option("--print", o.print, "print that many popular posts and who likes them, then go on");
  app.add_flag("--wait-for-client", o.pace.wait_for_client, "nothing more happens until the first client is there");
  app.add_flag("--on-time", o.pace.on_time,
               "each event happens at its own time: --base and --step say when; no --rate");
  app.add_flag("--exit-when-served", o.exit_when_served, "end once a client has been sent a whole finite history");
  app.add_flag("--die-with-parent", o.die_with_parent, "end when the process that started this one ends");
  describe_signed(app, o);
}

bool write_truth(const options& o, const sim::truth& t, std::uint64_t events) {
  std::ofstream file(o.truth_file, std::ios::binary);
  t.write(file, o.rules, events);
  if (file.flush()) return true;
  log::error("simulator", "cannot write {}", o.truth_file);
  return false;
}

int run(const options& o) {
  sim::feed feed(o.rules, o.pace);
  const std::uint64_t known = feed.past().end();  // what has been made by now
  const bool truth_now = !o.truth_file.empty() && feed.total() > 0;
  if (truth_now || o.print > 0) {
    const sim::truth t = sim::truth_after(o.rules, known, o.partitions);
    if (truth_now && !write_truth(o, t, known)) return 1;
    sim::print_tour(t.popular(o.print));
  }

  asio::io_context io(1);
  std::function<void()> complete;
  if (o.exit_when_served) complete = [&io] { io.stop(); };
  sim::jetstream_server server(io, feed, o.partitions, complete);
  const auto port = server.listen(o.port);
  if (port.has_error()) {
    log::error("simulator", "{}", port.error().text);
    return 3;
  }
  fmt::print("listening ws://127.0.0.1:{}\n", *port);
  std::fflush(stdout);

  asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&io](boost::system::error_code, int) { io.stop(); });
  asio::co_spawn(io, server.accept(), asio::detached);
  asio::co_spawn(io, feed.run(), asio::detached);
  io.run();
  if (!o.truth_file.empty() && !truth_now &&
      !write_truth(o, sim::truth_after(o.rules, feed.emitted(), o.partitions), feed.emitted()))
    return 1;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("recordkv-sim: a simulated network of accounts, on 127.0.0.1");
  describe(app, o);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (o.die_with_parent) {
    const pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) return 0;  // it was faster
  }
  std::signal(SIGPIPE, SIG_IGN);
  if (o.kind == "jetstream") return run(o);
  if (o.web_accounts > o.rules.accounts) o.web_accounts = o.rules.accounts;
  return sim::run_signed(o);
}
