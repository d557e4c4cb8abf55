// Reading the fields of a CBOR map into views, each with its type.
//
// Owns: the loop that every message, op and commit block has in common.
// Does not know: which fields those are; a table lists them.
#pragma once

#include "recordkv/atproto/cbor.hpp"

#include <span>
#include <string_view>

namespace recordkv::atproto {

enum class presence { required, required_or_null, optional };

struct field {
  std::string_view name;
  cbor::kind type;
  presence rule;
  std::string_view* into;
  bool seen = false;
};

/// Reads the pairs of the map that `r` has just begun. Fields of the table go to their views; null counts as absent
/// where a field is not required. Every other pair goes to `other(key, r)`, with `r` at the value's first token. It
/// reads the whole value and returns an empty word, or it returns what is wrong.
///
/// The first fault ends the walk and is returned: the field's name, or the reader's flaw. A repeated field is a fault,
/// because a reader of any key order does not notice it.
template <class Other>
std::string_view read_fields(cbor::reader& r, std::span<field> table, Other other) {
  for (auto left = r.count(); left != 0; --left) {
    if (r.next() == cbor::kind::bad) return r.flaw();
    const auto key = r.view();
    if (r.next() == cbor::kind::bad) return r.flaw();
    field* known = nullptr;
    for (auto& f : table) {
      if (f.name == key) known = &f;
    }
    if (known == nullptr) {
      if (const std::string_view flaw = other(key, r); !flaw.empty()) return flaw;
      continue;
    }
    if (known->seen) return known->name;
    const bool null = r.what() == cbor::kind::null && known->rule != presence::required;
    if (!null && r.what() != known->type) return known->name;
    known->seen = true;
    if (!null) *known->into = r.view();
  }
  for (const auto& f : table) {
    if (!f.seen && f.rule != presence::optional) return f.name;
  }
  return {};
}

/// For `other`: skips a field that does not matter.
inline std::string_view skip_value(cbor::reader& r) { return r.skip() ? std::string_view{} : r.flaw(); }

}  // namespace recordkv::atproto
