#include "account_search.hpp"

#include "progress.hpp"
#include "recordkv/kv/known_accounts.hpp"
#include "recordkv/kv/record_key.hpp"

#include <boost/beast/core/string.hpp>

#include <algorithm>

namespace recordkv::cli {
namespace {

void visit(const state_visitor& to, std::string_view encoded_did, std::string_view stored) {
  if (auto state = kv::parse_repo_state(stored))
    to.take(*state, stored);
  else
    to.unreadable(kv::decode_part(encoded_did), state.error());
}

}  // namespace

task<result<void>> visit_states(session s, state_visitor to, bool with_progress) {
  auto repo = co_await nats::stream_info(s.nc, kv::store_names::stream_of(s.names().repo()));
  if (!repo && repo.error().code == errc::not_found)
    co_return fail(errc::not_found, "no account has a state: there is no bucket {}; run recordkv first",
                   s.names().repo());
  if (!repo) co_return repo.error();
  progress bar("accounts");
  const double total = std::max(1.0, static_cast<double>(repo->messages));
  kv::known_accounts seen;
  auto show = [&](std::string_view encoded_did, const nats::message& m) {
    if (to.enough() || seen.contains(encoded_did) || !m.header_value("KV-Operation").empty()) return;
    seen.add(encoded_did);
    visit(to, encoded_did, m.data());
    if (with_progress && seen.size() % 5000 == 0)
      bar.show(static_cast<double>(seen.size()) / total, fmt::format("{} read", seen.size()));
  };
  meters counters;
  auto go_on = [&to] { return !to.enough(); };
  auto read = co_await kv::read_states(s.nc, s.names(), s.facts.api_level, counters, kv::state_parts::headers_and_value,
                                       std::move(show), std::move(go_on));
  if (!read && read.error().code == errc::closed && to.enough()) co_return result<void>{};
  co_return read;
}

task<result<std::vector<std::string>>> accounts_of_handle(session s, std::string handle) {
  std::vector<std::string> dids;
  auto take = [&](const kv::repo_state& state, std::string_view) {
    if (boost::beast::iequals(state.handle, handle)) dids.push_back(state.did);
  };
  state_visitor to{.take = std::move(take),
                   .unreadable = [](const auto&, const auto&) {},
                   .enough = [&] { return dids.size() >= max_of_handle; }};
  if (auto read = co_await visit_states(s, std::move(to), true); !read) co_return read.error();
  co_return dids;
}

}  // namespace recordkv::cli
