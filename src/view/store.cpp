#include "recordkv/view/store.hpp"

#include "sqlite.hpp"
#include "statements.hpp"

#include "position_text.hpp"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <functional>
#include <tuple>

namespace recordkv::view {
namespace {

/// Runs `work` on the one thread of `pool` and resumes the caller on its own executor, also when `work` throws.
template <class Work>
task<std::invoke_result_t<Work&>> elsewhere(asio::thread_pool& pool, Work work) {
  const auto home = co_await asio::this_coro::executor;
  auto there = asio::bind_executor(pool.get_executor(), asio::use_awaitable);
  co_await asio::post(std::move(there));
  std::optional<std::invoke_result_t<Work&>> answer;
  std::exception_ptr thrown;
  try {
    answer.emplace(work());
  } catch (...) {
    thrown = std::current_exception();
  }
  auto back = asio::bind_executor(home, asio::use_awaitable);
  co_await asio::post(std::move(back));
  if (thrown) std::rethrow_exception(thrown);
  co_return std::move(*answer);
}

/// The changes in the table's own order, so that neighbours in the batch meet the same page while it is at hand. Of
/// several changes of one key the last stays last: they stand in one array, so their addresses are their order.
std::vector<const change*> by_key(const std::vector<change>& changes) {
  std::vector<const change*> out;
  out.reserve(changes.size());
  for (const auto& c : changes) out.push_back(&c);
  std::ranges::sort(out, [](const change* a, const change* b) {
    return std::tie(a->did, a->collection, a->rkey, a) < std::tie(b->did, b->collection, b->rkey, b);
  });
  return out;
}

/// Written once, before anything else. WAL lets readers go on while a batch is written. synchronous=NORMAL syncs at
/// checkpoints only: rows and position share a transaction, so after a power cut the database is older but whole, and
/// the view goes on from the older position. FULL would buy nothing, as the store can always be read again.
constexpr auto settings =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-131072; PRAGMA temp_store=MEMORY;"
    "PRAGMA wal_autocheckpoint=16000; PRAGMA journal_size_limit=67108864;"
    "CREATE TABLE IF NOT EXISTS recordkv_position (view TEXT PRIMARY KEY, hash TEXT NOT NULL, created TEXT NOT NULL,"
    " generation INTEGER NOT NULL, seq TEXT NOT NULL) WITHOUT ROWID";

}  // namespace

struct store::impl {
  /// What apply() needs of one plan, prepared once.
  struct statements {
    std::string hash;
    statement look;
    statement move;
    statement upsert;
    statement erase;
  };

  explicit impl(database d) : db(std::move(d)) {}
  ~impl() { thread.join(); }  // before the statements and the connection go

  result<opened> prepare(const plan& p);
  result<applied> apply(const plan& p, const std::vector<change>& changes, const position& previous,
                        const position& next);
  result<void> clear(const plan& p, const position& seen);

  result<bool> exists(std::string_view table);
  result<void> create_anew(const plan& p);
  result<statements*> statements_of(const plan& p);
  result<void> move(statements& s, const plan& p, const position& previous, const position& next);
  result<void> write(statements& s, const plan& p, const change& c, applied& count);

  database db;
  std::map<std::string, statements, std::less<>> prepared;
  asio::thread_pool thread{1};
};

result<bool> store::impl::exists(std::string_view table) {
  auto s = db.prepare("SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?");
  if (!s) return s.error();
  s->bind(1, table);
  return s->step() == SQLITE_ROW;
}

/// An empty table and an empty position, whatever there was. Inside a transaction.
result<void> store::impl::create_anew(const plan& p) {
  if (auto done = db.run(drop_statement(p)); !done) return done.error();
  for (const auto& sql : create_statements(p))
    if (auto done = db.run(sql); !done) return done.error();
  auto s = db.prepare("INSERT OR REPLACE INTO recordkv_position VALUES (?, ?, '', 0, ?)");
  if (!s) return s.error();
  const auto hash = p.hash();
  const auto nothing = seq_text({});
  s->bind(1, p.name);
  s->bind(2, hash);
  s->bind(3, nothing);
  if (s->step() != SQLITE_DONE) return db.failure("reset a position");
  return {};
}

result<store::opened> store::impl::prepare(const plan& p) {
  auto t = transaction::begin(db);
  if (!t) return t.error();
  auto found = exists(p.name);
  if (!found) return found.error();
  auto s = db.prepare("SELECT hash, created, generation, seq FROM recordkv_position WHERE view = ?");
  if (!s) return s.error();
  s->bind(1, p.name);
  const int code = s->step();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("read a position");
  const bool known = code == SQLITE_ROW;
  if (!known && *found)
    return fail(errc::mismatch, "table {} exists and is no view of recordkv's; rename view {} in {}, or drop the table",
                p.name, p.name, p.file);
  opened out;
  if (known && *found && s->text(0) == p.hash()) {
    if (auto seq = parse_seq(s->text(3))) {
      out.at = {std::string(s->text(1)), static_cast<std::uint64_t>(s->integer(2)), std::move(*seq)};
      return out;  // nothing was changed: the transaction may die
    }
  }
  s->reset();
  out.rebuilt = known;
  if (auto done = create_anew(p); !done) return done.error();
  if (auto done = t->commit(); !done) return done.error();
  return out;
}

result<store::impl::statements*> store::impl::statements_of(const plan& p) {
  const auto hash = p.hash();
  if (const auto at = prepared.find(p.name); at != prepared.end() && at->second.hash == hash) return &at->second;
  auto look = db.prepare("SELECT hash, created, generation, seq FROM recordkv_position WHERE view = ?");
  if (!look) return look.error();
  auto move = db.prepare("UPDATE recordkv_position SET created = ?, generation = ?, seq = ? WHERE view = ?");
  if (!move) return move.error();
  auto upsert = db.prepare(upsert_statement(p));
  if (!upsert) return upsert.error();
  auto erase = db.prepare(erase_statement(p));
  if (!erase) return erase.error();
  statements made{hash, std::move(*look), std::move(*move), std::move(*upsert), std::move(*erase)};
  return &prepared.insert_or_assign(p.name, std::move(made)).first->second;
}

/// Compare-and-set: the position goes from `previous` to `next`, or nobody moves. The transaction holds the write lock,
/// so that nobody writes between the look and the move. Partitions that `next` does not name belong to others.
result<void> store::impl::move(statements& s, const plan& p, const position& previous, const position& next) {
  s.look.bind(1, p.name);
  const int code = s.look.step();
  if (code != SQLITE_ROW && code != SQLITE_DONE) return db.failure("read a position");
  const bool there = code == SQLITE_ROW && s.look.text(0) == s.hash && s.look.text(1) == previous.created &&
                     static_cast<std::uint64_t>(s.look.integer(2)) == previous.generation;
  auto seq = there ? parse_seq(s.look.text(3)) : std::nullopt;
  if (code == SQLITE_ROW) s.look.reset();
  const auto stands = [&](const std::map<std::string, std::uint64_t>& in, const std::string& label) {
    const auto at = in.find(label);
    return at == in.end() ? 0 : at->second;
  };
  for (const auto& [label, to] : next.seq) {
    if (seq && stands(*seq, label) != stands(previous.seq, label)) seq.reset();
    if (seq) (*seq)[label] = to;
  }
  if (!seq)
    return fail(errc::conflict,
                "view {} is no longer where this process left it: another one writes to it, or rebuilt it", p.name);
  const auto text = seq_text(*seq);
  s.move.bind(1, next.created);
  s.move.bind(2, static_cast<std::int64_t>(next.generation));
  s.move.bind(3, text);
  s.move.bind(4, p.name);
  if (s.move.step() != SQLITE_DONE) return db.failure("move a position");
  return {};
}

result<void> store::impl::write(statements& s, const plan& p, const change& c, applied& count) {
  if (c.collection != p.collection) return {};  // not of this view, whoever handed it in
  const auto row = c.erase ? std::nullopt : extract(p, c.json);
  auto& one = row ? s.upsert : s.erase;
  one.bind(1, c.did);
  one.bind(2, c.collection);
  one.bind(3, c.rkey);
  if (row)
    for (int at = 4; const auto& value : *row) one.bind_cell(at++, value);
  if (one.step() != SQLITE_DONE) return db.failure(row ? "write a row" : "delete a row");
  if (row)
    ++count.rows;
  else
    count.erased += static_cast<std::uint64_t>(db.changes());
  if (!row && !c.erase) ++count.rejected;
  return {};
}

result<store::applied> store::impl::apply(const plan& p, const std::vector<change>& changes, const position& previous,
                                          const position& next) {
  auto t = transaction::begin(db);
  if (!t) return t.error();
  auto s = statements_of(p);
  if (!s) return s.error();
  if (auto done = move(**s, p, previous, next); !done) return done.error();
  applied count;
  for (const auto* c : by_key(changes))
    if (auto done = write(**s, p, *c, count); !done) return done.error();
  if (auto done = t->commit(); !done) return done.error();
  return count;
}

result<void> store::impl::clear(const plan& p, const position& seen) {
  auto t = transaction::begin(db);
  if (!t) return t.error();
  auto s = statements_of(p);
  if (!s) return s.error();
  const position same{.created = seen.created, .generation = seen.generation};
  if (auto done = move(**s, p, same, same); !done) return done.error();
  if (auto done = create_anew(p); !done) return done.error();
  return t->commit();
}

result<std::unique_ptr<store>> store::open(const std::string& path, std::chrono::milliseconds patience) {
  std::error_code ec;  // a directory that can't be made shows when SQLite opens the file, with the reason
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ec);
  auto db = database::open(path, database::access::read_write, patience);
  if (!db) return db.error();
  if (auto done = db->run(settings); !done) return done.error();
  return std::unique_ptr<store>(new store(std::make_unique<impl>(std::move(*db))));
}

store::store(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
store::~store() = default;

task<result<store::opened>> store::prepare(const plan& p) {
  auto work = [&] { return impl_->prepare(p); };
  co_return co_await elsewhere(impl_->thread, std::move(work));
}

task<result<store::applied>> store::apply(const plan& p, std::vector<change> changes, position previous,
                                          position next) {
  auto work = [&] { return impl_->apply(p, changes, previous, next); };
  co_return co_await elsewhere(impl_->thread, std::move(work));
}

task<result<void>> store::clear(const plan& p, position seen) {
  auto work = [&] { return impl_->clear(p, seen); };
  co_return co_await elsewhere(impl_->thread, std::move(work));
}

}  // namespace recordkv::view
