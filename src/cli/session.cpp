// A connection for one command.
//
// Owns: connecting, the exit code of an error. Does not know: what the command does.
#include "commands.hpp"
#include "output.hpp"

#include "recordkv/core/log.hpp"
#include "recordkv/nats/greeting.hpp"

#include <boost/asio/co_spawn.hpp>

#include <exception>
#include <optional>

namespace recordkv::cli {

int complain(const error& e) {
  write_error("recordkv: {}\n", e.text);
  switch (e.code) {
    case errc::not_found:
    case errc::lease_lost:
    case errc::conflict: return no;
    case errc::unreachable:
    case errc::timed_out:
    case errc::unauthorized:
    case errc::unsupported: return unreachable;
    case errc::bad_config:
    case errc::mismatch: return usage;
    default: return no;
  }
}

namespace {

// Runs a coroutine to its end on a loop that nothing else uses yet.
template <class T>
T await_here(asio::io_context& io, task<T> what) {
  std::optional<T> out;
  std::exception_ptr thrown;
  asio::co_spawn(io, std::move(what), [&](std::exception_ptr e, T value) {
    thrown = e;
    out.emplace(std::move(value));
  });
  while (!out) io.run_one();
  if (thrown) std::rethrow_exception(thrown);
  return std::move(*out);
}

}  // namespace

result<void> connect(asio::io_context& io, nats::connection& nc, const config& cfg) {
  const auto guard = asio::make_work_guard(io);
  auto hello = await_here(io, nats::greet(cfg.nats.url));
  if (!hello) return hello.error();
  if (auto fine = nats::accept(*hello, nats::without_secrets(cfg.nats.url)); !fine) return fine.error();
  if (!hello->jetstream && cfg.nats.api().empty()) return nats::no_jetstream(nats::without_secrets(cfg.nats.url));
  if (hello->tls_verify && cfg.nats.tls_cert.empty())
    return fail(errc::unauthorized,
                "the NATS server at {} asks for a client certificate; set nats.tls_cert and nats.tls_key",
                nats::without_secrets(cfg.nats.url));
  return nc.start({.url = cfg.nats.url,
                   .creds = cfg.nats.creds,
                   .nkey_seed = cfg.nats.nkey_seed,
                   .tls_ca = cfg.nats.tls_ca,
                   .tls_cert = cfg.nats.tls_cert,
                   .tls_key = cfg.nats.tls_key,
                   .api_prefix = cfg.nats.api(),
                   .inbox_prefix = cfg.nats.inbox_prefix});
}

result<int> try_nats(const config& cfg, std::function<task<int>(session)> body) {
  log::set_level(log::level::error);
  asio::io_context io(1);
  nats::connection nc(io);
  if (auto connected = connect(io, nc, cfg); !connected) return connected.error();
  auto whole = [](nats::connection& c, const config& f,
                  const std::function<task<int>(session)>& b) -> task<result<int>> {
    auto facts = co_await nats::jetstream_facts(c);
    if (!facts) co_return facts.error();
    session s{c, f, *facts};
    co_return co_await b(s);
  };
  auto code = await_here(io, whole(nc, cfg, body));
  flush_output();  // the answer first, then the end of the connection
  return code;
}

int with_nats(const config& cfg, std::function<task<int>(session)> body) {
  auto code = try_nats(cfg, std::move(body));
  return code ? *code : complain(code.error());
}

}  // namespace recordkv::cli
