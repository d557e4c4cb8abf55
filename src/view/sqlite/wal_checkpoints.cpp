#include "sqlite/wal_checkpoints.hpp"

#include <boost/asio/post.hpp>

namespace recordkv::view {

void wal_checkpoints::attach(database& writer) { writer.set_commit_hook(&committed, this); }

int wal_checkpoints::committed(void* self, sqlite3* writer, const char* schema, int pages) {
  auto& me = *static_cast<wal_checkpoints*>(self);
  if (pages < me.asked_at_) me.asked_at_ = 0;  // the log has begun anew
  const auto& at = me.pages_;
  if (pages >= at.within)
    // It never waits. If it can't, because the other connection is at it or a reader holds the log, the next one can.
    sqlite3_wal_checkpoint_v2(writer, schema, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  else if (pages >= at.beside && (me.asked_at_ == 0 || pages >= me.asked_at_ + at.again))
    me.ask(pages);
  return SQLITE_OK;
}

/// If the other connection can't do it, a commit does it later.
void wal_checkpoints::ask(int pages) {
  if (at_work_.exchange(true)) return;
  asked_at_ = pages;
  asio::post(thread_, [this] {
    if (auto db = database::open(path_, database::access::existing, std::chrono::milliseconds(0)))
      static_cast<void>(db->run("PRAGMA synchronous=NORMAL; PRAGMA wal_checkpoint(PASSIVE)"));
    at_work_ = false;
  });
}

}  // namespace recordkv::view
