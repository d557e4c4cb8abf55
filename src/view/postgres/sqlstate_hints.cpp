#include "postgres/sqlstate_hints.hpp"

#include <algorithm>
#include <array>

namespace recordkv::view::postgres {
namespace {

struct hint {
  std::string_view state;  // a SQLSTATE, or the beginning of several; the first that fits counts
  errc code;
  std::string_view explanation, remedy;
};

constexpr std::array hints{
    hint{"53100", errc::no_space,
         "the disk is full: ", "make room on PostgreSQL's machine; the work goes on by itself"},
    hint{"53300", errc::unavailable, "",
         "raise max_connections, or the CONNECTION LIMIT of the role or the database, or end other programs' "
         "connections"},
    hint{"53", errc::unavailable, "", "give PostgreSQL more of it; the work goes on by itself"},
    hint{"55P03", errc::locked, "locked by another program: ", "see pg_locks for the process that holds it"},
    hint{"40P01", errc::locked, "locked crosswise with another program: ", "it is tried again"},
    hint{"40", errc::unavailable, "", "it is tried again"},
    hint{"08P01", errc::unavailable, "",
         "if a pooler says so, see its limits (max_client_conn, pool_mode), or name the server itself"},
    hint{"57014", errc::storage, "", "see pg_stat_activity for what keeps the server busy"},
    hint{"57P03", errc::unavailable, "", "it is tried again"},
    hint{"57P", errc::unavailable, "", "it is tried again once the server is back"},
    hint{"2BP01", errc::storage, "",
         "an object of yours (a VIEW?) depends on the older table; drop it, and make it again afterwards"},
    hint{"28", errc::storage, "", "check user and password in index.database, and pg_hba.conf on the server"},
    hint{"3D000", errc::storage, "", "create it: createdb NAME"},
    hint{"3F000", errc::storage, "", "create the schema, or set search_path for this user"},
    hint{"42501", errc::storage, "", "grant it: GRANT CREATE, USAGE ON SCHEMA public TO the user of index.database"},
    hint{"25006", errc::storage, "", "it is a standby: name the primary, or write ?target_session_attrs=read-write"},
    hint{"25P03", errc::unavailable, "", "it is tried again"},
    hint{"42", errc::storage, "", "mend the statement; if it is not a hook's, report it"},
    hint{"XX", errc::storage, "", "see the server's log"},
    hint{"58", errc::storage, "", "see the server's log"},
};

const hint* hint_for(std::string_view state) noexcept {
  const auto* const at = std::ranges::find_if(hints, [&](const hint& h) { return state.starts_with(h.state); });
  return at == hints.end() ? nullptr : at;
}

}  // namespace

errc code_of(std::string_view state) noexcept {
  const auto* const h = hint_for(state);
  return h == nullptr ? errc::storage : h->code;
}

errc code_of_dial(std::string_view state) noexcept {
  if (state.starts_with("28") || state == "3D000") return errc::storage;
  return code_of(state) == errc::no_space ? errc::no_space : errc::unavailable;
}

std::string explained(std::string_view state, std::string_view reason) {
  const auto* const h = hint_for(state);
  return h == nullptr ? std::string(reason) : fmt::format("{}{}; {}", h->explanation, reason, h->remedy);
}

bool blames_record(std::string_view state) noexcept {
  constexpr std::array<std::string_view, 5> classes{"22", "23", "54", "P0001", "44"};
  return std::ranges::any_of(classes, [&](std::string_view c) { return state.starts_with(c); });
}

}  // namespace recordkv::view::postgres
