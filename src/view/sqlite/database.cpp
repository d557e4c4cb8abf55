#include "sqlite/database.hpp"

#include "recordkv/core/file_access.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>

namespace recordkv::view {
namespace {

template <class... Fs>
struct overloaded : Fs... {
  using Fs::operator()...;
};

constexpr int primary(int extended) noexcept { return extended & 0xff; }

std::string_view remedy(errc code, int extended) {
  switch (code) {
    case errc::locked:
      return "another program keeps it locked: end that program's transaction (an open sqlite3 shell?), or give this "
             "process a database of its own";
    case errc::no_space: return "free some disk space; nothing was changed";
    default: break;
  }
  const bool damaged = primary(extended) == SQLITE_CORRUPT || primary(extended) == SQLITE_NOTADB;
  return damaged ? "move the file away and start again: views are rebuilt from the store"
                 : "see the reason above; nothing was changed";
}

/// SQLite's message gives no reason. It makes other files beside the database, so the directory counts as well.
std::string remedy_of_access(const std::string& path, database::access how) {
  const auto use = how == database::access::read_only ? file_use::read : file_use::write;
  auto why = why_not_usable(path, use);
  if (const auto dir = std::filesystem::path(path).parent_path(); why.empty() && !dir.empty())
    why = why_not_usable(dir, use);
  if (why.empty()) return "check that the directory exists and may be written to";
  return why + "; give it to that user, or set state.dir or index.database to another place";
}

/// What a user's statement may not do. SQLite calls it while it compiles.
int guard(void*, int action, const char* table, const char*, const char*, const char*) {
  switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_PRAGMA: return SQLITE_DENY;
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE: return std::string_view(table) == "recordkv_builds" ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_OK;
  }
}

}  // namespace

errc code_of(int extended, int system_error) noexcept {
  switch (primary(extended)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return errc::locked;
    case SQLITE_FULL: return errc::no_space;
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:  // SQLite calls only some of its writes to a full disk SQLITE_FULL
      return system_error == ENOSPC || system_error == EDQUOT ? errc::no_space : errc::storage;
    default: return errc::storage;
  }
}

void statement::bind(int at, std::string_view text) {
  // A null pointer would bind NULL, and not an empty text.
  sqlite3_bind_text64(stmt_.get(), at, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC,
                      SQLITE_UTF8);
}

void statement::bind(int at, std::int64_t n) { sqlite3_bind_int64(stmt_.get(), at, n); }

void statement::bind_null(int at) { sqlite3_bind_null(stmt_.get(), at); }

void statement::bind_cell(int at, const cell& c) {
  std::visit(overloaded{[&](std::monostate) { bind_null(at); }, [&](std::int64_t n) { bind(at, n); },
                        [&](double d) { sqlite3_bind_double(stmt_.get(), at, d); },
                        [&](const std::string& s) { bind(at, std::string_view(s)); }},
             c);
}

int statement::step() {
  const int code = sqlite3_step(stmt_.get());
  if (code != SQLITE_ROW) reset();
  return code;
}

void statement::reset() { sqlite3_reset(stmt_.get()); }
std::string_view statement::sql() const { return sqlite3_sql(stmt_.get()); }
int statement::columns() const { return sqlite3_column_count(stmt_.get()); }
std::string_view statement::name(int at) const { return sqlite3_column_name(stmt_.get(), at); }
bool statement::is_null(int at) const { return sqlite3_column_type(stmt_.get(), at) == SQLITE_NULL; }
std::int64_t statement::integer(int at) const { return sqlite3_column_int64(stmt_.get(), at); }
double statement::real(int at) const { return sqlite3_column_double(stmt_.get(), at); }

cell statement::value(int at) const {
  switch (sqlite3_column_type(stmt_.get(), at)) {
    case SQLITE_NULL: return {};
    case SQLITE_INTEGER: return integer(at);
    case SQLITE_FLOAT: return real(at);
    default: return std::string(text(at));
  }
}

std::string_view statement::text(int at) const {
  const auto* const bytes = reinterpret_cast<const char*>(sqlite3_column_text(stmt_.get(), at));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(stmt_.get(), at))};
}

result<database> database::open(const std::string& path, access how, std::chrono::milliseconds patience) {
  // SQLite's statistics of its memory, which nothing here reads, take a mutex at each allocation.
  [[maybe_unused]] static const bool without = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) == SQLITE_OK;
  database d;
  d.path_ = path;
  d.how_ = how;
  sqlite3* raw = nullptr;
  const int make = how == access::read_write ? SQLITE_OPEN_CREATE : 0;
  const int mode = how == access::read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | make;
  const int code = sqlite3_open_v2(path.c_str(), &raw, mode | SQLITE_OPEN_NOMUTEX, nullptr);
  d.db_.reset(raw);  // also after a failure, because the handle has the reason
  if (code != SQLITE_OK) return d.failure("open it");
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, static_cast<int>(patience.count()));
  d.patience_ = patience;
  return d;
}

result<statement> database::prepare(const std::string& sql) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql.c_str(), static_cast<int>(sql.size()) + 1,
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (code != SQLITE_OK) return failure("prepare a statement");
  return statement(raw);
}

result<void> database::run(const std::string& sql) {
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    return failure(sql.substr(0, sql.find(' ')));
  return {};
}

result<void> database::run(const std::vector<std::string>& statements) {
  for (const auto& sql : statements)
    if (auto done = run(sql); !done) return done.error();
  return {};
}

result<statement> database::prepare_guest(const std::string& sql) {
  sqlite3_set_authorizer(db_.get(), guard, nullptr);
  auto made = prepare(sql);
  sqlite3_set_authorizer(db_.get(), nullptr, nullptr);
  return made;
}

void database::set_triggers(bool on) {
  if (on == triggers_) return;
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_ENABLE_TRIGGER, on ? 1 : 0, nullptr);
  triggers_ = on;
}

std::string_view database::reason() const { return sqlite3_errmsg(db_.get()); }

bool database::statement_failed() const {
  if (sqlite3_get_autocommit(db_.get()) != 0) return false;  // the transaction is gone
  switch (sqlite3_errcode(db_.get())) {
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_AUTH: return true;
    default: return primary(sqlite3_errcode(db_.get())) == SQLITE_CONSTRAINT;
  }
}

bool database::busy() const { return primary(sqlite3_errcode(db_.get())) == SQLITE_BUSY; }

result<std::uint64_t> database::empty_wal() {
  auto ask = prepare("PRAGMA page_size");
  if (!ask) return ask.error();
  if (ask->step() != SQLITE_ROW) return failure("read its page size");
  const auto page = static_cast<std::uint64_t>(ask->integer(0));
  ask->reset();
  int frames = 0, written = 0;
  sqlite3_busy_timeout(db_.get(), 0);
  const int code = sqlite3_wal_checkpoint_v2(db_.get(), "main", SQLITE_CHECKPOINT_TRUNCATE, &frames, &written);
  auto why = failure("empty its write-ahead log");  // before the next call changes the reason
  sqlite3_busy_timeout(db_.get(), static_cast<int>(patience_.count()));
  if (code == SQLITE_OK) return 0;
  if (primary(code) != SQLITE_BUSY) return why;
  constexpr std::uint64_t header_of_frame = 24;
  return static_cast<std::uint64_t>(std::max(frames, 0)) * (page + header_of_frame);
}

error database::failure(std::string_view doing) const {
  const int extended = sqlite3_extended_errcode(db_.get());
  const auto code = code_of(extended, sqlite3_system_errno(db_.get()));
  const int kind = primary(extended);
  const bool access =
      code == errc::storage && (kind == SQLITE_READONLY || kind == SQLITE_PERM || kind == SQLITE_CANTOPEN);
  return fail(code, "database {}: cannot {}: {}; {}", path_, doing, sqlite3_errmsg(db_.get()),
              access ? remedy_of_access(path_, how_) : remedy(code, extended));
}

result<savepoint> savepoint::begin(database& d) {
  if (auto done = d.run("SAVEPOINT recordkv"); !done) return done.error();
  return savepoint(d);
}

result<void> savepoint::keep() { return db_->run("RELEASE recordkv"); }
result<void> savepoint::undo() { return db_->run("ROLLBACK TO recordkv; RELEASE recordkv"); }

result<transaction> transaction::begin(database& d) {
  // IMMEDIATE waits for the write lock here, where nothing has been read yet, and never later.
  if (auto done = d.run("BEGIN IMMEDIATE"); !done) return done.error();
  return transaction(d);
}

result<transaction> transaction::read(database& d) {
  if (auto done = d.run("BEGIN"); !done) return done.error();
  return transaction(d);
}

result<void> transaction::commit() {
  if (auto done = db_->run("COMMIT"); !done) return done.error();
  db_ = nullptr;
  return {};
}

transaction::~transaction() {
  // It fails only if SQLite has rolled back by itself, for instance on a full disk.
  if (db_ != nullptr) static_cast<void>(db_->run("ROLLBACK"));
}

}  // namespace recordkv::view
