#include "postgres/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace recordkv::view::postgres {
namespace {

struct word {
  std::string_view state;  // whole, or its class
  std::string_view before, remedy;
};

constexpr std::array words{
    word{"53100", "the disk is full: ", "make room on PostgreSQL's machine; the work goes on by itself"},
    word{"53300", "",
         "raise max_connections, or the CONNECTION LIMIT of the role or the database, or end other programs' "
         "connections"},
    word{"53", "", "give PostgreSQL more of it; the work goes on by itself"},
    word{"55P03", "locked by another program: ", "see pg_locks for who holds it"},
    word{"40P01", "locked crosswise with another program: ", "it is tried again"},
    word{"40", "", "it is tried again"},
    word{"08P01", "", "a pooler says so? see its limits (max_client_conn, pool_mode), or name the server itself"},
    word{"57014", "", "see pg_stat_activity for what keeps the server busy"},
    word{"57P03", "", "it is tried again"},
    word{"57P", "", "it is tried again once the server is back"},
    word{"2BP01", "",
         "something of your own (a VIEW?) depends on the older table; drop it, and make it again afterwards"},
    word{"28", "", "check user and password in index.database, and pg_hba.conf on the server"},
    word{"3D000", "", "create it: createdb NAME"},
    word{"3F000", "", "create the schema, or set search_path for this user"},
    word{"42501", "", "grant it: GRANT CREATE, USAGE ON SCHEMA public TO the user of index.database"},
    word{"25006", "", "it is a standby: name the primary, or write ?target_session_attrs=read-write"},
    word{"25P03", "", "it is tried again"},
    word{"42", "", "mend the statement; if it is none of a hook, report it"},
    word{"XX", "", "see the server's log"},
    word{"58", "", "see the server's log"},
};

}  // namespace

std::string explained(std::string_view state, std::string_view reason) {
  const auto* const at = std::ranges::find_if(words, [&](const word& w) { return state.starts_with(w.state); });
  if (at == words.end()) return std::string(reason);
  return fmt::format("{}{}; {}", at->before, reason, at->remedy);
}

bool blames_record(std::string_view state) noexcept {
  constexpr std::array<std::string_view, 5> classes{"22", "23", "54", "P0001", "44"};
  return std::ranges::any_of(classes, [&](std::string_view c) { return state.starts_with(c); });
}

}  // namespace recordkv::view::postgres
