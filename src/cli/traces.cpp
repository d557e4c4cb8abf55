#include "traces.hpp"

#include "account_names.hpp"
#include "output.hpp"
#include "recordkv/atproto/syntax.hpp"
#include "stores_there.hpp"
#include "trace_place.hpp"
#include "trace_search.hpp"

#include <boost/json/serialize.hpp>

namespace recordkv::cli {
namespace {

// "1" is the answer that something is left. An account or a store that can't be found is no answer.
int without_answer(const error& e) {
  const int code = complain(e);
  return code == no ? usage : code;
}

// A deleted account's handle is no longer in its state, and leads nowhere in the network.
task<result<std::string>> account_of(session s, std::string name) {
  if (atproto::is_did(name)) co_return name;
  auto known = co_await known_account(s, name);
  if (!known) co_return known.error();
  if (*known) co_return std::move(**known);
  network_names network(s.nc.io().get_executor(), s.cfg);
  co_return co_await network.did_of(std::move(name));
}

class trace_lines {
 public:
  explicit trace_lines(bool as_json) : json_(as_json) {}
  void add(trace_place p) {
    write_out("{}\n", json_ ? boost::json::serialize(place_report(p)) : place_line(p));
    flush_output();
    all_.push_back(std::move(p));
  }
  void add(std::vector<trace_place> some) {
    for (auto& p : some) add(std::move(p));
  }
  int finish(std::string_view did) {
    write_error("{}", traces_verdict(all_, did));
    return traces_code(all_);
  }

 private:
  bool json_;
  std::vector<trace_place> all_;
};

task<int> search(session s, invocation i) {
  if (auto there = co_await store_is_there(s); !there) co_return without_answer(there.error());
  auto did = co_await account_of(s, i.repo.account);
  if (!did) co_return without_answer(did.error());
  const auto partitions = co_await store_partitions(s);
  trace_lines lines(i.json);
  lines.add(co_await search_buffer(s, *did, partitions));
  lines.add(co_await search_store(s, *did));
  lines.add(co_await search_states(s, *did));
  lines.add(co_await search_views(s, *did));
  co_return lines.finish(*did);
}

}  // namespace

int print_traces(const invocation& i, const config& cfg) {
  auto name = account_name(i.repo.account, "repo traces");
  if (!name) return complain(name.error());
  auto one = i;
  one.repo.account = std::move(*name);
  return with_nats(cfg, [&](session s) { return search(s, one); });
}

}  // namespace recordkv::cli
