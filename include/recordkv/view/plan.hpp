// A view's definition, compiled: what to take from a record, or from an account's state, and where it goes.
//
// Owns: the `[[view]]` table of a TOML file, its check, the extraction of rows.
// Does not know: databases, NATS, positions. Pure.
#pragma once

#include "recordkv/core/result.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace recordkv::view {

enum class column_type { text, integer, real, boolean, timestamp, json };

/// A cell; monostate is SQL NULL. A boolean is 0 or 1. A timestamp is UTC text, "2024-11-05T12:00:00.000000Z", in any
/// zone and precision of the record. JSON is its text. No text holds U+0000, which PostgreSQL cannot keep: such a value
/// counts as a value of another type.
using cell = std::variant<std::monostate, std::int64_t, double, std::string>;
using cells = std::vector<cell>;

/// What a view has rows of.
enum class source {
  records,   ///< of collections
  accounts,  ///< each account that has a state; the state takes the record's place
};

/// Where a column's value comes from.
enum class origin {
  element,  ///< `pointer` into the element of `each`; into the record where there is no `each`
  record,   ///< `record`: a pointer into the record, although there is an `each`
  uri_did,  ///< a part of the AT-URI in the nearest column before it of type "at-uri"
  uri_collection,
  uri_rkey,
  did,  ///< `value`: a fact about the record that the record itself does not hold
  collection,
  rkey,
  uri,
  cid,
  rev,
  time,
  link_kind,  ///< `extract = "links"`: the three columns that it makes
  link_path,
  link_target,
  hooks,  ///< set to `fallback` when the row is made, and afterwards by hooks only
};

struct column {
  std::string name;
  column_type type = column_type::text;
  origin from = origin::element;
  std::string pointer;    ///< JSON pointer (RFC 6901)
  bool at_uri = false;    ///< a text that must be an AT-URI
  bool required = false;  ///< a record without it does not fit
  cell fallback;          ///< `default`: taken if the record has no value, or a value of another type
};

/// One term of `where`. A record must meet all terms.
struct term {
  enum class kind { equals, prefix, exists, absent } what = kind::exists;
  bool of_record = false;  ///< looks into the record, although there is an `each`
  std::string pointer;
  std::string operand;  ///< equals: JSON text as boost::json writes it; prefix: the text
};

struct plan {
  std::string name;  ///< view and table; [a-z][a-z0-9_]*, ≤ 48, no "__"
  source rows_of = source::records;
  std::vector<std::string> collections;  ///< exact NSIDs, or prefixes like "app.bsky.graph.*"; none covers another.
                                         ///< Of accounts: none
  std::string each;                      ///< empty, or a pointer to an array, "*" for every element on the way
  bool links = false;                    ///< every link in a record, one row each
  std::vector<column> columns;           ///< in the order of the table, with those made from an at-uri
  std::vector<term> where;
  std::vector<std::string> count_by;              ///< columns whose values are counted, each in a table of its own
  std::vector<std::vector<std::string>> indexes;  ///< columns of each secondary index
  std::string on_put, on_delete;                  ///< SQL, or empty; see docs/views.md
  std::string definition;                         ///< the view's table as TOML without its tests, in canonical form
  std::string file;                               ///< where it was defined, for messages
  unsigned line = 0;

  /// The columns that say what a row is of: did, collection and rkey. Of an account: did.
  std::span<const std::string_view> key_columns() const noexcept;
  /// True when rows are numbered within their record: the key then ends with idx.
  bool many() const noexcept { return links || !each.empty(); }
  bool has_hooks() const noexcept { return !on_put.empty() || !on_delete.empty(); }
  /// Whether it takes records of this collection. A view of accounts takes what has no collection: "".
  bool wants(std::string_view collection) const noexcept;

  /// 16 hex digits. They change whenever the rows of the plan, or the shape of the rows, change.
  std::string hash() const;
};

/// A record as it stands in the store, or an account's state. Of a state only `did` and `json` are known.
struct record {
  std::string_view did, collection, rkey;
  std::string_view cid, rev, time;  ///< of its headers; empty if absent
  std::string_view json;
};

/// What a record gives. `rejection_reason` says why the record does not fit the view; then there are no rows.
/// No rows and no reason: `where` does not want the record, or `each` found nothing.
struct extraction {
  std::vector<cells> rows;  ///< each in the order of the plan's columns; a row's index is its `idx`
  std::string rejection_reason;
};
extraction extract(const plan& p, const record& r);

/// All views of one file. A mistake is errc::bad_config with "file:line: key: what to do".
result<std::vector<plan>> load_plans(const std::string& file);

/// The same for a text without a file; messages call it `name`.
result<std::vector<plan>> plans_in_text(std::string_view text, const std::string& name);

/// A plan from a plan::definition that an earlier process has stored in the database.
result<plan> plan_from_definition(const std::string& definition);

/// Runs the `[[view.test]]` rows of a file: a line for each failure, none if all pass. `ran` counts them.
result<std::vector<std::string>> check_plans(const std::string& file, std::size_t* ran = nullptr);
result<std::vector<std::string>> check_text(std::string_view text, const std::string& name, std::size_t* ran = nullptr);

}  // namespace recordkv::view
