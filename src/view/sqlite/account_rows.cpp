// What an account has in an SQLite database of views: read-only, blocking, one snapshot.
#include "databases.hpp"
#include "recordkv/core/file_access.hpp"
#include "sql/account_rows_text.hpp"
#include "sqlite/builds.hpp"
#include "sqlite/database.hpp"

#include <filesystem>

namespace recordkv::view {
namespace {

constexpr std::chrono::seconds patience{5};

result<std::vector<account_rows>> all_tables(database& db, const std::string& path) {
  auto former = exists(db, "recordkv_position"), ours = exists(db, "recordkv_builds");
  if (!former) return former.error();
  if (!ours) return ours.error();
  if (*former)
    return fail(errc::unsupported,
                "database {}: an earlier version of recordkv has written it; start stage index once, which converts it",
                path);
  std::vector<account_rows> out;
  if (!*ours) return out;
  auto s = db.prepare(list_builds());
  if (!s) return s.error();
  int code = SQLITE_DONE;
  while ((code = s->step()) == SQLITE_ROW)
    for (auto& t :
         content_tables(std::string(s->text(1)), static_cast<std::uint64_t>(s->integer(0)), s->integer(2) != 0))
      out.push_back(std::move(t));
  if (code != SQLITE_DONE) return db.failure("read its builds");
  return out;
}

result<void> count(database& db, const std::string& did, account_rows& in) {
  auto s = db.prepare(count_of_account(in));
  if (!s) return s.error();
  const auto between = bounds_of(in, did);
  s->bind(1, between.from);
  s->bind(2, between.to);
  if (s->step() != SQLITE_ROW) return db.failure("count rows");
  in.found = static_cast<std::uint64_t>(s->integer(0));
  in.example = s->text(1);
  return {};
}

}  // namespace

result<std::vector<account_rows>> find_account_rows_sqlite(const std::string& path, const std::string& did) {
  std::error_code ec;
  if (const auto why = why_not_usable(path, file_use::read); !why.empty())
    return fail(errc::storage, "database {}: {}; ask as its owner, or as a member of its group", path, why);
  if (!std::filesystem::exists(path, ec)) return fail(errc::not_found, "there is no database {}", path);
  auto db = database::open(path, database::access::read_only, patience);
  if (!db) return db.error();
  auto snapshot = transaction::read(*db);
  if (!snapshot) return snapshot.error();
  auto tables = all_tables(*db, path);
  if (!tables) return tables.error();
  std::vector<account_rows> out;
  for (auto& t : *tables) {
    auto there = exists(*db, t.table);
    if (!there) return there.error();
    if (!*there) continue;
    if (auto counted = count(*db, did, t); !counted) return counted.error();
    out.push_back(std::move(t));
  }
  return out;
}

}  // namespace recordkv::view
