#include "postgres/connection.hpp"

#include "postgres/reachable.hpp"
#include "postgres/sqlstate_hints.hpp"
#include "recordkv/view/store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace recordkv::view::postgres {
namespace {

using wait_type = asio::posix::stream_descriptor::wait_type;

constexpr std::chrono::seconds patience_of_a_dial{15}, patience_with_addresses{10};

std::string one_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::string out(text);
  std::ranges::replace_if(out, [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return out;
}

std::uint64_t as_number(std::string_view text) {
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

/// A server's refusal of a connection. libpq gives its SQLSTATE only within a verbose text:
/// "FATAL:  53300: sorry, too many clients already". `state` empty: no server answered.
struct farewell {
  std::string state, reason;
};

farewell farewell_in(std::string_view text) {
  constexpr std::size_t digits = 5;
  farewell out;
  for (auto at = text.find(":  "); at != text.npos; at = text.find(":  ", at + 1)) {
    const auto state = text.substr(at + 3, digits);
    const auto is_code = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
    if (state.size() < digits || !std::ranges::all_of(state, is_code)) continue;
    auto rest = text.substr(at + 3 + digits);
    if (!rest.starts_with(": ")) continue;
    rest.remove_prefix(2);
    out = {std::string(state), one_line(rest.substr(0, rest.find('\n')))};
  }
  return out;
}

}  // namespace

bool reply::refused() const {
  const auto s = PQresultStatus(result_.get());
  return s == PGRES_FATAL_ERROR || s == PGRES_BAD_RESPONSE || s == PGRES_NONFATAL_ERROR;
}

std::string_view reply::state() const {
  const char* const s = PQresultErrorField(result_.get(), PG_DIAG_SQLSTATE);
  return s == nullptr ? std::string_view{} : s;
}

std::string reply::reason() const {
  const char* const s = PQresultErrorField(result_.get(), PG_DIAG_MESSAGE_PRIMARY);
  return one_line(s == nullptr ? PQresultErrorMessage(result_.get()) : s);
}

std::string_view reply::text(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
}

std::uint64_t reply::number(int row, int column) const { return as_number(text(row, column)); }
std::uint64_t reply::affected() const { return as_number(PQcmdTuples(result_.get())); }

// --- the wire ---

/// Lives as long as a handler of its socket.
struct connection::wire {
  explicit wire(asio::io_context& io) : socket(io) {}
  asio::posix::stream_descriptor socket;  // a duplicate; libpq owns the original
  event turned;
  bool reading = false, writing = false;  // a wait is on its way
};

connection::connection(asio::io_context& io, std::string url, std::chrono::milliseconds patience)
    : io_(io), url_(std::move(url)), shown_(without_password(url_)), patience_(patience) {}

connection::~connection() { drop(); }

void connection::drop() noexcept {
  if (wire_) {
    boost::system::error_code ignored;
    wire_->socket.close(ignored);
    wire_.reset();
  }
  PQfinish(std::exchange(pg_, nullptr));
}

bool connection::attach() {
  if (wire_) {
    boost::system::error_code ignored;
    wire_->socket.close(ignored);
  }
  wire_ = std::make_shared<wire>(io_);
  const int copy = ::fcntl(PQsocket(pg_), F_DUPFD_CLOEXEC, 0);
  boost::system::error_code ec;
  if (copy >= 0) wire_->socket.assign(copy, ec);
  return copy >= 0 && !ec;
}

void connection::arm(bool write) {
  bool& waits = write ? wire_->writing : wire_->reading;
  if (std::exchange(waits, true)) return;
  wire_->socket.async_wait(write ? wait_type::wait_write : wait_type::wait_read,
                           [w = wire_, write](boost::system::error_code) {
                             (write ? w->writing : w->reading) = false;
                             w->turned.notify();
                           });
}

/// Sends what waits, waits until the socket is ready, and reads. False: the connection is lost, or time is up.
/// `only_send`: returns once everything is sent, because no answer would come.
task<bool> connection::turn(deadline until, bool only_send) {
  const int left = PQflush(pg_);
  if (left < 0) co_return false;
  if (left == 0 && only_send) co_return true;
  arm(false);
  if (left > 0) arm(true);
  const auto w = wire_;
  if (!co_await w->turned.wait_for(until - std::chrono::steady_clock::now())) {
    late_ = true;
    co_return false;
  }
  co_return w == wire_&& PQconsumeInput(pg_) == 1;
}

error connection::lost(std::string_view doing) {
  const auto why = late_            ? std::string("no answer came in time")
                   : pg_ == nullptr ? std::string("the connection is closed")
                                    : one_line(PQerrorMessage(pg_));
  late_ = false;
  drop();
  return fail(errc::unavailable, "database {}: cannot {}: {}; the next attempt connects anew", shown_, doing, why);
}

error connection::failure(std::string_view doing, const reply& r) const {
  return fail(code_of(r.state()), "database {}: cannot {}: {}", shown_, doing, explained(r.state(), r.reason()));
}

// --- connecting ---

result<void> connection::check(const std::string& url) {
  char* words = nullptr;
  PQconninfoOption* const read = PQconninfoParse(url.c_str(), &words);
  const std::string why = words == nullptr ? "out of memory" : words;
  PQfreemem(words);
  if (read == nullptr)  // libpq quotes what it does not understand, and that may be the password
    return fail(errc::bad_config, "database {}: {}; write postgresql://user@host/database, with %XX for odd letters",
                without_password(url), one_line(why.substr(0, why.find('"'))));
  PQconninfoFree(read);
  return {};
}

task<result<void>> connection::ready() {
  // Twice: the first read finds the server's last message, the second finds the end.
  const bool stands = pg_ != nullptr && PQconsumeInput(pg_) == 1 && PQconsumeInput(pg_) == 1;
  if (stands && PQstatus(pg_) == CONNECTION_OK) co_return result<void>{};
  drop();
  late_ = false;
  auto done = co_await dial(std::chrono::steady_clock::now() + patience_of_a_dial);
  if (done) done = settle();
  if (!done) drop();
  co_return done;
}

task<result<void>> connection::dial(deadline until) {
  address named;
  if (PQconninfoOption* const all = PQconninfoParse(url_.c_str(), nullptr)) {
    for (const auto* o = all; o->keyword != nullptr; ++o)
      if (o->val != nullptr) named.take(o->keyword, o->val);
    PQconninfoFree(all);
  }
  auto found = co_await resolved(std::move(named));
  if (!found) co_return fail(errc::unavailable, "database {}: cannot connect: {}", shown_, found.error().text);
  const auto answering = co_await reachable(std::move(*found), patience_with_addresses);
  // A silent network is noticed within a minute. The URL may override what stands before it, and not what follows.
  std::vector<const char*> keys{
      "fallback_application_name", "keepalives_idle", "keepalives_interval", "keepalives_count",
      "tcp_user_timeout",          "dbname",          "client_encoding"};
  std::vector<const char*> values{"recordkv", "30", "10", "3", "60000", url_.c_str(), "UTF8"};
  for (const auto& [key, text] : answering.overrides()) {
    keys.push_back(key);
    values.push_back(text->c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  pg_ = PQconnectStartParams(keys.data(), values.data(), 1);
  const bool begun = pg_ != nullptr && PQstatus(pg_) != CONNECTION_BAD;
  if (begun) PQsetErrorVerbosity(pg_, PQERRORS_VERBOSE);
  for (auto next = PGRES_POLLING_WRITING; begun && next != PGRES_POLLING_OK;) {
    if (next == PGRES_POLLING_FAILED || !attach()) break;  // the socket may be another one at each step
    arm(next == PGRES_POLLING_WRITING);
    const auto w = wire_;
    late_ = !co_await w->turned.wait_for(until - std::chrono::steady_clock::now());
    if (late_ || w != wire_) break;
    next = PQconnectPoll(pg_);
  }
  if (pg_ == nullptr || PQstatus(pg_) != CONNECTION_OK) {
    const auto said = late_ || pg_ == nullptr ? farewell{} : farewell_in(PQerrorMessage(pg_));
    auto why = lost("connect");
    if (!said.state.empty())
      co_return fail(code_of_dial(said.state), "database {}: cannot connect: {}", shown_,
                     explained(said.state, said.reason));
    why.text += "; check that PostgreSQL runs, and that index.database names it, its user and a database";
    co_return why;
  }
  co_return result<void>{};
}

result<void> connection::settle() {
  ++dials_;
  PQsetNoticeProcessor(pg_, [](void*, const char*) {}, nullptr);  // by default notices go to stderr
  PQsetErrorVerbosity(pg_, PQERRORS_DEFAULT);
  if (PQsetnonblocking(pg_, 1) != 0 || !attach()) return lost("connect");
  return {};
}

// --- round trips ---

task<result<std::vector<reply>>> connection::run(std::vector<request> all, duration limit) {
  if (pg_ == nullptr) co_return lost("send");
  const auto until = std::chrono::steady_clock::now() + limit + patience_;
  bool sent = PQenterPipelineMode(pg_) == 1;
  std::vector<const char*> values;
  for (const auto& r : all) {
    values.clear();
    for (const auto& v : r.parameters) values.push_back(v ? v->c_str() : nullptr);
    const char* const sql = r.sql.c_str();
    const int count = static_cast<int>(values.size());
    const int done = r.only_parsed ? PQsendPrepare(pg_, "", sql, 0, nullptr)
                                   : PQsendQueryParams(pg_, sql, count, nullptr, values.data(), nullptr, nullptr, 0);
    sent = sent && done == 1;
  }
  if (!sent || PQpipelineSync(pg_) != 1) co_return lost("send");
  std::vector<reply> out;
  for (bool synced = false; !synced;) {
    while (pg_ != nullptr && PQisBusy(pg_) == 1)
      if (!co_await turn(until)) co_return lost("hear an answer");
    PGresult* const got = pg_ == nullptr ? nullptr : PQgetResult(pg_);
    if (got == nullptr && pg_ != nullptr && PQstatus(pg_) == CONNECTION_OK) continue;  // the end of one request
    reply r(got);
    if (pg_ == nullptr || PQstatus(pg_) == CONNECTION_BAD) co_return lost("hear an answer");
    if (r.status() == PGRES_PIPELINE_SYNC)
      synced = true;
    else if (r.status() != PGRES_PIPELINE_ABORTED)
      out.push_back(std::move(r));
  }
  if (PQexitPipelineMode(pg_) != 1 || out.empty()) co_return lost("hear an answer");
  co_return out;
}

/// The last result of a request outside pipeline mode.
task<result<reply>> connection::last_reply(deadline until) {
  for (reply last(nullptr);;) {
    while (pg_ != nullptr && PQisBusy(pg_) == 1)
      if (!co_await turn(until)) co_return lost("hear an answer");
    if (pg_ == nullptr) co_return lost("hear an answer");
    PGresult* const r = PQgetResult(pg_);
    if (PQstatus(pg_) == CONNECTION_BAD) {
      PQclear(r);
      co_return lost("hear an answer");
    }
    if (r == nullptr) co_return last;
    last = reply(r);
    if (last.status() == PGRES_COPY_IN) co_return last;  // it would come again and again
  }
}

task<result<reply>> connection::copy(std::string sql, const pieces& more, duration limit) {
  if (pg_ == nullptr) co_return lost("send");
  const auto until = std::chrono::steady_clock::now() + limit + patience_;
  if (PQsendQuery(pg_, sql.c_str()) != 1) co_return lost("send");
  auto begun = co_await last_reply(until);
  if (!begun || begun->status() != PGRES_COPY_IN) co_return begun;
  std::string piece;
  while (more(piece)) {
    if (PQputCopyData(pg_, piece.data(), static_cast<int>(piece.size())) != 1) co_return lost("send rows");
    while (PQflush(pg_) == 1)
      if (!co_await turn(until, true)) co_return lost("send rows");
    piece.clear();
  }
  if (PQputCopyEnd(pg_, nullptr) != 1) co_return lost("send rows");
  co_return co_await last_reply(until);
}

}  // namespace recordkv::view::postgres
