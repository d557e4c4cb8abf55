// A file of views.
//
// Owns: the keys of `[[view]]` and which of them go together, and the canonical form of a definition.
// Does not know: the keys of a column (columns.cpp), and which SQL a hook may hold (hooks.cpp).
#include "plan/file.hpp"

#include "plan/collections.hpp"
#include "plan/column_types.hpp"
#include "plan/columns.hpp"
#include "plan/hooks.hpp"
#include "plan/pointer.hpp"
#include "plan/sources.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace recordkv::view {
namespace {

void read_view_name(plan& p, fields& t) {
  auto name = t.needed_text("name", "likes");
  if (!name) return;
  const auto begins = [&](std::string_view with) { return name->starts_with(with); };
  if (!is_name(*name) || begins("recordkv_") || begins("sqlite_") || begins("pg_"))
    t.wrong("name",
            "\"{}\" cannot name a table; use up to 48 of a-z, 0-9 and _, a letter first, not recordkv_..., sqlite_... "
            "or pg_...",
            *name);
  else if (name->contains("__") || name->ends_with("_rejects"))
    t.wrong("name", "\"{}\" could be a table that goes with another view; use no \"__\" and no \"_rejects\" at the end",
            *name);
  p.name = std::move(*name);
}

void read_many(plan& p, fields& t) {
  if (auto path = t.text("each", "/facets")) {
    if (!is_pointer(*path) || path->empty())
      t.wrong("each", "\"{}\" is not a path to an array; write one like \"/facets\" or \"/facets/*/features\"", *path);
    p.each = std::move(*path);
  }
  if (const auto extract = t.text("extract", "links")) {
    if (*extract != "links") t.wrong("extract", "\"{}\" is unknown; write extract = \"links\"", *extract);
    if (!traits_of(p.rows_of).extracts)
      t.wrong("extract", "finds links in records; write columns = [ {{ name = \"handle\", pointer = \"/handle\" }} ]");
    p.links = true;
    for (const std::string_view key : {"columns", "each", "where"})
      if (t.has(key))
        t.wrong(key, "has no effect beside extract = \"links\", which makes the columns itself; remove it");
  }
}

/// Whether values of this column can be looked up. If not, the mistake is noted.
bool sortable(const plan& p, fields& t, std::string_view key, const std::string& name, const toml::source_position& at,
              bool key_columns) {
  const auto* const c = column_of(p, name);
  if (c != nullptr && traits_of(c->type).indexable) return true;
  if (c == nullptr && key_columns && is_key_column(p, name)) return true;
  if (c != nullptr)
    t.wrong_at(at, key,
               fmt::format("column \"{}\" is of type {} and has no order; use a column with a pointer to the "
                           "value that you look for",
                           name, type_name(*c)));
  else if (is_key_column(p, name) && p.key_columns().size() == 1 && !p.many())
    t.wrong_at(at, key, fmt::format("\"{}\" is the key, and every count would be 1; count another column", name));
  else if (is_key_column(p, name) && name != "idx")
    t.wrong_at(at, key,
               fmt::format(
                   "\"{}\" is of the key; make a column of it, {{ name = \"its_{}\", value = \"{}\" }}, and count that",
                   name, name, name));
  else
    t.wrong_at(at, key, fmt::format("the view has no column \"{}\"; name one of columns", name));
  return false;
}

void read_counts(plan& p, fields& t) {
  for (auto& [name, at] : t.texts("count", "count = [ \"subject\" ]")) {
    if (!sortable(p, t, "count", name, at, false)) continue;
    if (std::ranges::find(p.count_by, name) != p.count_by.end())
      t.wrong_at(at, "count", fmt::format("\"{}\" stands twice; name it once", name));
    if (name == "count")
      t.wrong_at(at, "count", "a counter's table has a column \"count\" of its own; give this column another name");
    if (p.name.size() + name.size() > 53)  // NAME__next_by_COLUMN is a table, and PostgreSQL cuts names at 63 bytes
      t.wrong_at(at, "count", "the names of view and column have more than 53 letters together; shorten one of them");
    p.count_by.push_back(std::move(name));
  }
  if (p.count_by.size() > 16) t.wrong("count", "more than 16 counters; a second view may have the others");
}

void read_indexes(plan& p, fields& t) {
  constexpr std::string_view like = R"(write index = [ ["subject", "created_at"] ], a list of lists)";
  const auto* const v = t.get("index");
  if (v == nullptr) return;
  if (!v->is_array() || v->as_array()->empty()) return t.wrong("index", "{}", like);
  for (const auto& item : *v->as_array()) {
    const auto at = item.source().begin;
    const auto* const list = item.as_array();
    if (list == nullptr || list->empty()) {
      t.wrong_at(at, "index", like);
      continue;
    }
    std::vector<std::string> names;
    for (const auto& n : *list) {
      const auto name = n.value_exact<std::string>();
      if (!name) t.wrong_at(n.source().begin, "index", like);
      if (!name || !sortable(p, t, "index", *name, n.source().begin, true)) continue;
      if (std::ranges::find(names, *name) != names.end())
        t.wrong_at(n.source().begin, "index", fmt::format("\"{}\" stands twice in one index; name it once", *name));
      names.push_back(*name);
    }
    if (list->size() > 8)
      t.wrong_at(at, "index", "more than 8 columns in one index; the first few are what is looked up");
    if (names.size() == list->size() && std::ranges::find(p.indexes, names) != p.indexes.end())
      t.wrong_at(at, "index", fmt::format("an index on {} exists already; remove this one", fmt::join(names, ", ")));
    p.indexes.push_back(std::move(names));
  }
  if (p.indexes.size() > 32) t.wrong("index", "more than 32 indexes; each makes every change slower");
}

void read_hook(plan& p, fields& t, std::string_view key, std::string& out) {
  const auto sql = t.text(key, "UPDATE {table} SET …");
  if (!sql) return;
  auto checked = check_hook(*sql, p.name, p.rows_of);
  if (!checked.mistake.empty()) t.wrong(key, "{}", checked.mistake);
  out = std::move(checked.sql);
}

/// The view's table as TOML without its tests. The layout of the file does not change this text.
std::string canonical(const plan& p, const toml::table& view) {
  toml::table copy = view;
  copy.erase("test");
  if (!p.on_put.empty()) copy.insert_or_assign("on_put", p.on_put);
  if (!p.on_delete.empty()) copy.insert_or_assign("on_delete", p.on_delete);
  const auto inlined = [](auto& self, toml::node& n) -> void {
    if (auto* const t = n.as_table()) {
      t->is_inline(true);
      for (auto&& [key, value] : *t) self(self, value);
    } else if (auto* const list = n.as_array()) {
      for (auto& value : *list) self(self, value);
    }
  };
  for (auto&& [key, value] : copy) inlined(inlined, value);
  copy.is_inline(false);
  std::ostringstream out;
  out << "[[view]]\n" << toml::toml_formatter{copy, toml::format_flags::allow_unicode_strings} << '\n';
  return out.str();
}

definition read_view(const toml::table& table, mistakes& m) {
  definition d;
  plan& p = d.of;
  fields t(m, table, "view.");
  p.file = m.file();
  p.line = t.line();
  t.only({"name", "source", "collection", "collections", "columns", "where", "each", "extract", "count", "index",
          "on_put", "on_delete", "test"});
  read_view_name(p, t);
  read_collections(p, t);
  read_many(p, t);
  if (p.links) {
    add_link_columns(p);
  } else {
    read_columns(p, t);
    read_where(p, t);
  }
  read_counts(p, t);
  read_indexes(p, t);
  read_hook(p, t, "on_put", p.on_put);
  read_hook(p, t, "on_delete", p.on_delete);
  p.definition = canonical(p, table);
  read_examples(d, t);
  return d;
}

/// Tables that a view makes beside its own.
bool goes_with(const plan& p, std::string_view name) {
  return std::ranges::any_of(p.count_by, [&](const auto& by) { return name == fmt::format("{}_by_{}", p.name, by); });
}

std::vector<definition> read_views(const toml::table& root, mistakes& m) {
  fields file(m, root, "");
  file.only({"view"});
  std::vector<definition> out;
  for (const auto* const table : file.tables("view", "[[view]] with two brackets, since a file may hold several")) {
    out.push_back(read_view(*table, m));
    const auto& name = out.back().of.name;
    fields t(m, *table, "view.");
    for (std::size_t i = 0; i + 1 < out.size(); ++i) {
      if (out[i].of.name == name && !name.empty())
        t.wrong("name", "\"{}\" stands above already; name each view once", name);
      if (goes_with(out[i].of, name) || goes_with(out.back().of, out[i].of.name))
        t.wrong("name", "a counter of one view would have the name of the other, \"{}\" and \"{}\"; rename one",
                out[i].of.name, name);
    }
  }
  if (out.empty() && m.first().empty()) m.add({1, 1}, "[[view]]: is missing; a view file holds at least one");
  return out;
}

std::vector<plan> plans_of(std::vector<definition> all) {
  std::vector<plan> out;
  out.reserve(all.size());
  for (auto& d : all) out.push_back(std::move(d.of));
  return out;
}

}  // namespace

result<std::vector<definition>> definitions_in_text(std::string_view text, const std::string& name) {
  mistakes m(name);
  std::vector<definition> out;
  try {
    out = read_views(toml::parse(text, name), m);
  } catch (const toml::parse_error& e) {
    return fail(errc::bad_config, "{}:{}: {}", name, e.source().begin.line, e.description());
  }
  if (!m.first().empty()) return fail(errc::bad_config, "{}", m.first());
  return out;
}

result<std::vector<definition>> read_definitions(const std::string& file) {
  std::error_code ec;
  std::ifstream in(file, std::ios::binary);
  if (std::filesystem::is_directory(file, ec) || !in)
    return fail(errc::bad_config, "cannot read view file {}: {}", file, std::strerror(in ? EISDIR : errno));
  const std::string text(std::istreambuf_iterator<char>(in), {});
  return definitions_in_text(text, file);
}

result<std::vector<plan>> load_plans(const std::string& file) {
  auto read = read_definitions(file);
  if (!read) return read.error();
  return plans_of(std::move(*read));
}

result<std::vector<plan>> plans_in_text(std::string_view text, const std::string& name) {
  auto read = definitions_in_text(text, name);
  if (!read) return read.error();
  return plans_of(std::move(*read));
}

result<plan> plan_from_definition(const std::string& definition) {
  auto read = definitions_in_text(definition, "the definition in the database");
  if (!read) return read.error();
  if (read->size() != 1) return fail(errc::bad_config, "the definition in the database holds {} views", read->size());
  return std::move(read->front().of);
}

}  // namespace recordkv::view
