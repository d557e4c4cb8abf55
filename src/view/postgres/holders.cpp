#include "postgres/holders.hpp"

#include "postgres/text.hpp"
#include "sql/statements.hpp"

namespace recordkv::view::postgres {
namespace {

// pid, program, user, state, start of the transaction; then further columns.
constexpr std::string_view holder_columns =
    "a.pid, a.application_name, a.usename, a.state, to_char(a.xact_start AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";

std::string described(const reply& r, int row) {
  if (r.is_null(row, 0))
    return fmt::format("the prepared transaction {} of user {} since {}", r.text(row, 1), r.text(row, 2),
                       r.text(row, 4));
  std::string about;
  for (const int i : {1, 2, 3}) {
    if (r.text(row, i).empty()) continue;
    about += fmt::format("{}{}{}", about.empty() ? "" : ", ", i == 2 ? "user " : "", r.text(row, i));
  }
  if (!r.text(row, 4).empty()) about += fmt::format(" since {}", r.text(row, 4));
  return fmt::format("process {} ({})", r.text(row, 0), about.empty() ? "details hidden from this role" : about);
}

}  // namespace

task<std::string> holders_of(session& s, std::vector<std::string> tables) {
  array_text names;
  for (const auto& t : tables) names.add(std::string_view(identifier(t)));
  auto ask = opening_to_read(s.patience);
  ask.push_back({fmt::format("SELECT DISTINCT {} FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid "
                             "WHERE l.granted AND l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid() "
                             "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND "
                             "l.relation IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name) LIMIT 5",
                             holder_columns),
                 {std::move(names).done()}});
  auto found = co_await s.db.run(std::move(ask));
  std::string out;
  if (found && !found->back().refused())
    for (int i = 0; i < found->back().rows(); ++i) out += (out.empty() ? "" : ", ") + described(found->back(), i);
  co_await s.leave();
  co_return out;
}

task<result<open_transaction>> oldest_transaction(session& s) {
  auto ask = opening_to_read(s.patience);
  ask.push_back(
      {fmt::format("SELECT {}, extract(epoch FROM now() - a.xact_start)::bigint AS age FROM pg_stat_activity AS a "
                   "WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.xact_start IS NOT "
                   "NULL AND a.application_name <> current_setting('application_name') UNION ALL SELECT NULL, gid, "
                   "owner, 'prepared', to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
                   "extract(epoch FROM now() - prepared)::bigint FROM pg_prepared_xacts WHERE database = "
                   "current_database() ORDER BY age DESC LIMIT 1",
                   holder_columns),
       {}});
  auto found = co_await s.run("look for open transactions", std::move(ask));
  if (!found) co_return found.error();
  const auto& r = found->back();
  open_transaction out;
  if (r.rows() == 0) co_return out;
  out.seconds = static_cast<double>(r.number(0, 5));
  out.holder = described(r, 0);
  out.remedy = r.is_null(0, 0) ? fmt::format("COMMIT PREPARED or ROLLBACK PREPARED '{}'", r.text(0, 1))
                               : fmt::format("SELECT pg_terminate_backend({})", r.text(0, 0));
  co_return out;
}

}  // namespace recordkv::view::postgres
