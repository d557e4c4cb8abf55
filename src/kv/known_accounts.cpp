#include "recordkv/kv/known_accounts.hpp"

#include "recordkv/kv/repo_state.hpp"
#include "recordkv/nats/pull_consumer.hpp"

namespace recordkv::kv {

std::uint64_t known_accounts::hash(std::string_view s) noexcept {
  std::uint64_t h = 14695981039346656037u;
  for (const char c : s) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return h;
}

namespace {

// Calls `show` for the messages that belong to an account.
void show_states(const std::vector<nats::message>& batch, std::size_t prefix,
                 const std::function<void(std::string_view, const nats::message&)>& show) {
  for (const auto& m : batch)
    if (const auto account = account_of_repo_key(m.subject().substr(prefix)); !account.empty()) show(account, m);
}

}  // namespace

// A state that is written meanwhile moves to the end of the stream. So the end is asked for again, until no state has
// moved. The number of rounds is bounded: states may be written faster than they are read.
task<result<void>> read_states(nats::connection& nc, store_names names, int api_level, meters& counters,
                               state_parts what, std::function<void(std::string_view, const nats::message&)> show,
                               std::function<bool()> go_on) {
  constexpr int max_rounds = 16;
  const auto stream = store_names::stream_of(names.repo());
  const auto prefix = std::string_view("$KV..").size() + names.repo().size();
  auto repo = co_await nats::stream_info(nc, stream);
  if (!repo) co_return repo.error();
  nats::consumer_spec spec{.stream = stream,
                           .policy = nats::acks::none,
                           .headers_only = what == state_parts::headers,
                           .once = true,
                           .credit = 8192};
  nats::pull_consumer states(nc, std::move(spec), counters, api_level);
  if (auto attached = co_await states.attach(); !attached) co_return attached;
  // Compares sequences. The number of pending messages is only an estimate while keys are overwritten.
  int rounds = 0;
  for (std::uint64_t read = 0; read < repo->last_seq && repo->messages > 0;) {
    if (!go_on()) co_return fail(errc::closed, "reading bucket repo: stopped");
    auto batch = co_await states.next();
    if (!batch && batch.error().code == errc::closed) break;  // nothing more is there
    if (!batch) co_return batch.error();
    show_states(*batch, prefix, show);
    read = nats::parse_delivery(batch->back().reply())->stream_seq;
    if (read < repo->last_seq || ++rounds == max_rounds) continue;
    if (auto now = co_await nats::stream_info(nc, stream)) repo = std::move(now);
  }
  if (nc.up() && go_on())  // otherwise the server removes it, minutes later
    (void)co_await nats::api(nc, fmt::format("CONSUMER.DELETE.{}.{}", stream, states.name()));
  co_return result<void>{};
}

task<result<void>> read_known_accounts(nats::connection& nc, store_names names, int api_level, meters& counters,
                                       known_accounts& into, std::function<bool()> go_on) {
  auto add = [&into](std::string_view encoded_did, const nats::message&) { into.add(encoded_did); };
  co_return co_await read_states(nc, std::move(names), api_level, counters, state_parts::headers, std::move(add),
                                 std::move(go_on));
}

}  // namespace recordkv::kv
