#include "plan/sources.hpp"

#include <algorithm>
#include <array>

namespace recordkv::view {
namespace {

constexpr std::array<std::string_view, 3> record_key{"did", "collection", "rkey"};
constexpr std::array<std::string_view, 1> account_key{"did"};
constexpr std::array<std::string_view, 7> record_facts{"did", "collection", "rkey", "uri", "cid", "rev", "time"};

/// In the order of `source`.
constexpr std::array<source_traits, 2> rows{{
    {.of = source::records,
     .name = "records",
     .one = "a record",
     .value = "record",
     .key = record_key,
     .facts = record_facts,
     .facts_in_words = "did, collection, rkey, uri, cid, rev or time",
     .extracts = true},
    {.of = source::accounts,
     .name = "accounts",
     .one = "an account",
     .value = "state",
     .key = account_key,
     .facts = account_key,
     .facts_in_words = "did, or a pointer into its state, such as pointer = \"/rev\"",
     .extracts = false},
}};
static_assert(rows[0].of == source::records && rows[1].of == source::accounts);

}  // namespace

const source_traits& traits_of(source s) noexcept { return rows[static_cast<std::size_t>(s)]; }

bool has_fact(source s, std::string_view fact) noexcept {
  const auto all = traits_of(s).facts;
  return std::ranges::find(all, fact) != all.end();
}

std::span<const std::string_view> plan::key_columns() const noexcept { return traits_of(rows_of).key; }

}  // namespace recordkv::view
