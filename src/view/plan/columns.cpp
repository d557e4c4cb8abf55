#include "plan/columns.hpp"

#include "plan/column_types.hpp"
#include "plan/pointer.hpp"
#include "plan/sources.hpp"
#include "recordkv/atproto/syntax.hpp"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace recordkv::view {
namespace {

constexpr std::string_view like_pointer = "/subject/uri";

constexpr std::array<std::pair<std::string_view, origin>, 7> facts{{{"did", origin::did},
                                                                    {"collection", origin::collection},
                                                                    {"rkey", origin::rkey},
                                                                    {"uri", origin::uri},
                                                                    {"cid", origin::cid},
                                                                    {"rev", origin::rev},
                                                                    {"time", origin::time}}};

/// Names that PostgreSQL or SQLite uses for columns of its own.
constexpr std::array<std::string_view, 8> taken{"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid", "rowid"};

/// The only one of these keys that the table has; nullopt: none, or several.
std::optional<std::string_view> only_one(const fields& t, std::initializer_list<std::string_view> keys) {
  std::optional<std::string_view> out;
  for (const auto key : keys)
    if (t.has(key)) {
      if (out) return std::nullopt;
      out = key;
    }
  return out;
}

void read_name(const plan& p, column& c, fields& t) {
  auto name = t.needed_text("name", "subject");
  if (!name) return;
  if (!is_name(*name) || name->starts_with("recordkv_"))
    t.wrong("name", "\"{}\" cannot name a column; use up to 48 of a-z, 0-9 and _, a letter first, not recordkv_...",
            *name);
  else if (is_key_column(p, *name))
    t.wrong("name", "every view has a column \"{}\" already; choose another", *name);
  else if (std::ranges::find(taken, *name) != taken.end())
    t.wrong("name", "\"{}\" is a name that the database uses itself; choose another", *name);
  else if (column_of(p, *name) != nullptr)
    t.wrong("name", "\"{}\" is named twice; name each column once (an at-uri makes three more columns)", *name);
  c.name = std::move(*name);
}

void read_type(column& c, fields& t) {
  const auto type = t.text("type", "text");
  if (!type) return;
  c.at_uri = *type == "at-uri";
  const auto types = all_column_types();
  const auto known = std::ranges::find(types, *type, &column_type_traits::name);
  if (known != types.end())
    c.type = known->type;
  else if (!c.at_uri)
    t.wrong("type", "\"{}\" is not a type; choose {} or at-uri", *type, column_type_names());
}

void read_pointer(std::string& out, fields& t, std::string_view key) {
  auto pointer = t.text(key, like_pointer);
  if (!pointer) return;
  if (!is_pointer(*pointer))
    t.wrong(key, "\"{}\" is not a JSON pointer; write one like \"{}\", ~ as ~0 and / in a name as ~1", *pointer,
            like_pointer);
  out = std::move(*pointer);
}

void read_fact(const plan& p, column& c, fields& t) {
  const auto value = t.text("value", "uri");
  if (!value) return;
  const auto* const known = std::ranges::find(facts, *value, &std::pair<std::string_view, origin>::first);
  if (known == facts.end() || !has_fact(p.rows_of, *value))
    return t.wrong("value", "\"{}\" is not a fact about {}; choose {}", *value, traits_of(p.rows_of).one,
                   traits_of(p.rows_of).facts_in_words);
  c.from = known->second;
  if (c.at_uri || (c.type != column_type::text && !(c.from == origin::time && c.type == column_type::timestamp)))
    t.wrong(t.has("type") ? "type" : "value", "is text; remove the type, or write timestamp for value = \"time\"");
}

/// Where the values come from: pointer, record, value, or only the hooks.
void read_origin(const plan& p, column& c, fields& t, bool hooked) {
  if (!t.has("pointer") && !t.has("record") && !t.has("value")) {
    c.from = origin::hooks;
    if (!hooked || !t.has("default"))
      t.wrong("pointer",
              "is missing; write pointer = \"{}\", or value = \"uri\", or a default if on_put sets the column",
              like_pointer);
    if (c.at_uri) t.wrong("type", "an at-uri comes from a pointer; a column of the hooks is text");
    if (c.required) t.wrong("required", "a column without a pointer takes nothing from the record; remove this key");
    return;
  }
  const auto key = only_one(t, {"pointer", "record", "value"});
  if (!key)
    return t.wrong(t.has("value") ? "value" : "record",
                   "a column has one of pointer, record and value; remove the others");
  if (*key == "value") return read_fact(p, c, t);
  c.from = *key == "record" ? origin::record : origin::element;
  read_pointer(c.pointer, t, *key);
}

void read_default(column& c, fields& t) {
  const auto* const v = t.get("default");
  if (v == nullptr) return;
  auto value = cell_from_toml(c, *v);
  const auto* const text = value ? std::get_if<std::string>(&*value) : nullptr;
  if (!value)
    t.wrong("default", "is not of the column's type, {}", type_name(c));
  else if (text != nullptr && text->size() > 250)
    t.wrong("default", "is longer than 250 bytes; choose a shorter one");
  else if (c.required)
    t.wrong("default", "a column with a default is never missing; remove required or default");
  if (value) c.fallback = std::move(*value);
}

/// `hooked`: the view has an on_put, which may set a column that takes nothing from the record.
void add_column(plan& p, fields t, bool hooked) {
  t.only({"name", "type", "pointer", "record", "value", "required", "default", "index"});
  column c;
  c.required = t.flag("required");
  read_name(p, c, t);
  read_type(c, t);
  read_origin(p, c, t, hooked);
  read_default(c, t);
  if (t.flag("index")) {
    if (!traits_of(c.type).indexable)
      t.wrong("index", "a column of type {} has no order; use a column with a pointer to the value that you look for",
              type_name(c));
    p.indexes.push_back({c.name});
  }
  p.columns.push_back(c);
  if (!c.at_uri) return;
  for (const auto& [part, from] : {std::pair("_did", origin::uri_did), std::pair("_collection", origin::uri_collection),
                                   std::pair("_rkey", origin::uri_rkey)}) {
    if (column_of(p, c.name + part) != nullptr)
      t.wrong("name", "\"{}\" is an at-uri and makes a column \"{}{}\", which is named above already", c.name, c.name,
              part);
    p.columns.push_back({.name = c.name + part, .from = from, .pointer = {}, .fallback = {}});
  }
}

void read_operand(term& out, fields& t, std::string_view key) {
  const auto& v = *t.get(key);
  if (key == "exists") {
    if (!v.is_boolean()) t.wrong(key, "wants true or false; write exists = true");
    out.what = v.value_exact<bool>().value_or(true) ? term::kind::exists : term::kind::absent;
  } else if (key == "prefix") {
    out.what = term::kind::prefix;
    out.operand = t.text(key, "did:web:").value_or("");
    if (v.is_string() && out.operand.empty())
      t.wrong(key, "is empty, and every text begins with it; write exists = true");
  } else {
    out.what = term::kind::equals;
    if (const auto text = v.value_exact<std::string>())
      out.operand = boost::json::serialize(boost::json::value(*text));
    else if (const auto integer = v.value_exact<std::int64_t>())
      out.operand = fmt::to_string(*integer);
    else if (const auto flag = v.value_exact<bool>())
      out.operand = *flag ? "true" : "false";
    else if (const auto real = v.value_exact<double>(); real && std::isfinite(*real))
      out.operand = boost::json::serialize(boost::json::value(*real));
    else
      t.wrong(key, "wants a text, a number, true or false; other values cannot be compared with");
  }
}

}  // namespace

void read_columns(plan& p, fields view) {
  constexpr std::string_view like = R"(columns = [ { name = "subject", pointer = "/subject/uri" } ])";
  const auto columns = view.tables("columns", like);
  const auto* const list = view.get("columns");
  if (list == nullptr || (list->is_array() && list->as_array()->empty()))
    view.wrong("columns", "is missing; write {}", like);
  for (const auto* const c : columns) {
    add_column(p, fields(view.all_mistakes(), *c, "view.columns."), view.has("on_put"));
    if (p.columns.size() > 200) return view.wrong("columns", "more than 200; a column of type json can hold the rest");
  }
}

void add_link_columns(plan& p) {
  for (const auto& [name, from] : {std::pair("kind", origin::link_kind), std::pair("path", origin::link_path),
                                   std::pair("target", origin::link_target)})
    p.columns.push_back({.name = name, .from = from, .pointer = {}, .required = true, .fallback = {}});
}

void read_where(plan& p, fields view) {
  for (const auto* const item : view.tables("where", R"(where = [ { pointer = "/reply", exists = true } ])")) {
    fields t(view.all_mistakes(), *item, "view.where.");
    t.only({"pointer", "record", "equals", "prefix", "exists"});
    term out;
    if (const auto key = only_one(t, {"pointer", "record"})) {
      out.of_record = *key == "record";
      read_pointer(out.pointer, t, *key);
    } else {
      t.wrong("pointer", "a term has either pointer or record; write pointer = \"{}\"", like_pointer);
    }
    if (const auto key = only_one(t, {"equals", "prefix", "exists"}))
      read_operand(out, t, *key);
    else
      t.wrong("equals", "a term has one of equals, prefix and exists; join several terms on one pointer as a list");
    p.where.push_back(std::move(out));
    if (p.where.size() > 50) return view.wrong("where", "more than 50 terms");
  }
}

std::string_view type_name(const column& c) { return c.at_uri ? "at-uri" : traits_of(c.type).name; }

std::optional<cell> cell_from_toml(const column& c, const toml::node& v) {
  const auto& type = traits_of(c.type);
  if (type.from_toml != nullptr) return type.from_toml(v);
  const auto text = v.value_exact<std::string>();
  if (!text || (c.at_uri && !atproto::parse_at_uri(*text))) return std::nullopt;
  return type.from_text(*text);
}

const column* column_of(const plan& p, std::string_view name) {
  const auto found = std::ranges::find(p.columns, name, &column::name);
  return found == p.columns.end() ? nullptr : &*found;
}

bool is_key_column(const plan& p, std::string_view name) {
  const auto key = p.key_columns();
  return std::ranges::find(key, name) != key.end() || (p.many() && name == "idx");
}

}  // namespace recordkv::view
