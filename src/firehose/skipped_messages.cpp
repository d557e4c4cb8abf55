#include "skipped_messages.hpp"

#include "recordkv/core/log.hpp"
#include "recover_did.hpp"

namespace recordkv::firehose {

frame skipped_messages::notice(std::string_view bytes, std::string_view word, std::uint64_t behind) {
  frame f;
  f.what = frame::notice::unreadable;
  f.info.kind = atproto::event_kind::unreadable;
  f.info.did = recover_did(bytes);
  f.info.name = word;
  counters_.add("source_skipped", "unreadable");
  last_ = fmt::format("behind seq {}: {}, account {}", behind, word, f.info.did.empty() ? "unknown" : f.info.did);
  tell(told_.count(url_, rate_limited::clock::now()));
  return f;
}

void skipped_messages::tell_rest() { tell(told_.overdue(url_, rate_limited::clock::now())); }

void skipped_messages::tell(std::uint64_t n) {
  if (n == 0) return;
  log::warn(part_, "{}: skipped {} message{} that can't be read, the last {}", url_, n, n == 1 ? "" : "s", last_);
}

}  // namespace recordkv::firehose
