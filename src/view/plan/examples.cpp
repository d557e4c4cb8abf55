// `[[view.test]]`.
#include "plan/columns.hpp"
#include "plan/file.hpp"
#include "plan/sources.hpp"
#include "recordkv/atproto/syntax.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>

namespace recordkv::view {
namespace {

/// A collection that the view wants, for tests that name none.
std::string usual_collection(const plan& p) {
  const std::string_view first = p.collections.empty() ? "*" : std::string_view(p.collections[0]);
  if (first == "*") return "com.example.record";
  return first.ends_with('*') ? fmt::format("{}example.record", first.substr(0, first.size() - 1)) : std::string(first);
}

/// What the record is, beside its JSON. Each has a default, if it is known of the source at all.
void read_key(definition& d, example& e, fields& t) {
  e.did = t.text("did", "did:plc:example").value_or("did:plc:example");
  if (!atproto::is_did(e.did)) t.wrong("did", "\"{}\" is not a DID; write did = \"did:plc:example\"", e.did);
  for (const std::string_view key : {"collection", "rkey", "cid", "rev", "time"})
    if (t.has(key) && !has_fact(d.of.rows_of, key))
      t.wrong(key, "{} has none; write its {} as record, and its did", traits_of(d.of.rows_of).one,
              traits_of(d.of.rows_of).value);
  if (!has_fact(d.of.rows_of, "rkey")) return;
  e.rkey = t.text("rkey", "self").value_or("3k5nobkf2w72g");
  if (!atproto::is_rkey(e.rkey)) t.wrong("rkey", "\"{}\" is not a record key; write rkey = \"self\"", e.rkey);
  const auto usual = usual_collection(d.of);
  e.collection = t.text("collection", usual).value_or(usual);
  if (t.has("collection") && !d.of.wants(e.collection))
    t.wrong("collection", "the view does not take \"{}\"; write collection = \"{}\"", e.collection, usual);
  e.cid = t.text("cid", "bafyrei…").value_or("bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq");
  e.rev = t.text("rev", "3k5nobkf2w72g").value_or("3k5nobkf2w72g");
  e.time = t.text("time", "2024-11-05T12:00:00.000Z").value_or("2024-11-05T12:00:00.000Z");
}

example::row read_row(const plan& p, const toml::table& row, mistakes& m) {
  example::row out;
  fields t(m, row, "view.test.row.");
  for (auto&& [name, value] : row) {
    const auto* const c = column_of(p, name.str());
    if (c == nullptr) {
      t.wrong_at(name.source().begin, name.str(), "the view has no such column");
      continue;
    }
    if (auto cell = cell_from_toml(*c, value))
      out.emplace(c->name, std::move(*cell));
    else
      t.wrong(name.str(), "is not of the column's type, {}", type_name(*c));
  }
  return out;
}

void read_example(definition& d, fields t) {
  t.only({"record", "did", "collection", "rkey", "cid", "rev", "time", "row", "rows", "rejected"});
  example e;
  e.line = t.line();
  e.rejected = t.flag("rejected");
  read_key(d, e, t);
  if (auto record = t.needed_text("record", "{}")) {
    // A rejected record may be anything. A record that must give rows has to be JSON.
    boost::json::error_code ec;
    boost::json::parse(*record, ec);
    if (ec && !e.rejected)
      t.wrong("record", "is not JSON; write it in '…', or write rejected = true if that is intended");
    e.record = std::move(*record);
  }
  if (t.has("row") + t.has("rows") + e.rejected != 1)
    t.wrong_at({t.line(), 1}, "row",
               "write the row that is expected, or rows = [ … ] for several or none, or rejected = true; one of them");
  if (const auto* const row = t.get("row")) {
    if (row->is_table())
      e.rows.push_back(read_row(d.of, *row->as_table(), t.all_mistakes()));
    else
      t.wrong("row", "wants a table; write row = {{ column = value }}");
  }
  for (const auto* const row : t.tables("rows", "rows = [ { column = value }, … ], or rows = [] for none"))
    e.rows.push_back(read_row(d.of, *row, t.all_mistakes()));
  if (e.rows.size() > 1 && !d.of.many())
    t.wrong("rows", "one record gives one row here; several come from each = \"/…\" or extract = \"links\"");
  d.examples.push_back(std::move(e));
}

}  // namespace

void read_examples(definition& d, fields view) {
  for (const auto* const e : view.tables("test", "[[view.test]] with two brackets"))
    read_example(d, fields(view.all_mistakes(), *e, "view.test."));
}

}  // namespace recordkv::view
