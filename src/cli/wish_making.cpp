#include "wish_making.hpp"

#include "recordkv/core/timestamp.hpp"
#include "recordkv/kv/record_key.hpp"
#include "stores_there.hpp"

namespace recordkv::cli {

task<result<void>> can_take_wishes(session s) {
  if (auto there = co_await store_is_there(s); !there) co_return there;
  const auto repo = co_await nats::stream_info(s.nc, kv::store_names::stream_of(s.names().repo()));
  if (!repo && repo.error().code == errc::not_found)
    co_return fail(errc::not_found, "there is no bucket {} that could take a wish; run recordkv first",
                   s.names().repo());
  if (!repo) co_return repo.error();
  co_return result<void>{};
}

task<result<made_wish>> make_wish(session s, named_account account, kv::wish_kind what, unsigned partitions) {
  kv::bucket repo(s.nc, s.names().repo());
  made_wish out{.what = {.did = account.did, .what = what},
                .handle = std::move(account.handle),
                .partition = kv::partition_of(account.did, partitions)};
  auto before = co_await repo.get(kv::repo_key(account.did, partitions));
  if (!before && before.error().code != errc::not_found) co_return before.error();
  if (before && !before->deleted)
    if (auto state = kv::parse_repo_state(before->value)) out.before = std::move(*state);
  out.what.at = timestamp_now();
  auto seq = co_await kv::make_wish(repo, out.what);
  if (!seq) co_return fail(seq.error().code, "the wish for {} can't be written: {}", account.did, seq.error().text);
  out.seq = *seq;
  co_return out;
}

}  // namespace recordkv::cli
