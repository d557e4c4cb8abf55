// What a SQLSTATE means. The words beside it may be in any language.
#include "postgres/sqlstate_hints.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;
using namespace recordkv::view::postgres;

TEST_CASE("a refused statement: the SQLSTATE tells a lock, a full disk and a passing lack from the rest") {
  for (const auto* const state : {"55P03", "40P01"}) CHECK(code_of(state) == errc::locked);
  CHECK(code_of("53100") == errc::no_space);
  for (const auto* const state : {"53200", "53300", "40001", "57P01", "57P02", "57P03", "25P03", "08P01"})
    CHECK(code_of(state) == errc::unavailable);
  for (const auto* const state : {"", "57014", "2BP01", "28P01", "3D000", "3F000", "42501", "42P01", "25006", "XX000"})
    CHECK(code_of(state) == errc::storage);
}

TEST_CASE("a refused connection: only user, password and database are left to a person") {
  for (const auto* const state : {"28000", "28P01", "3D000"}) CHECK(code_of_dial(state) == errc::storage);
  for (const auto* const state : {"53300", "57P03", "08P01", "42501", "XX000"})
    CHECK(code_of_dial(state) == errc::unavailable);
  CHECK(code_of_dial("53100") == errc::no_space);
}

TEST_CASE("a message in German, or one that names a lock, changes nothing but the text") {
  CHECK(explained("53100", "auf dem Gerät ist kein Speicherplatz mehr frei") ==
        "the disk is full: auf dem Gerät ist kein Speicherplatz mehr frei; make room on PostgreSQL's machine; the work "
        "goes on by itself");
  CHECK(explained("28P01", "Passwort-Authentifizierung für Benutzer »full« fehlgeschlagen")
            .ends_with("check user and password in index.database, and pg_hba.conf on the server"));
  CHECK(explained("99999", "locked and full") == "locked and full");
  CHECK(code_of("99999") == errc::storage);
}

TEST_CASE("which SQLSTATEs blame the record") {
  for (const auto* const state : {"22001", "23505", "54000", "P0001", "44000"}) CHECK(blames_record(state));
  for (const auto* const state : {"", "42P01", "53100", "55P03", "P0002", "40001"}) CHECK_FALSE(blames_record(state));
}
