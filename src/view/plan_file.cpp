#include "plan_file.hpp"

#include <toml++/toml.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

namespace recordkv::view {
namespace {

constexpr std::array<std::pair<std::string_view, column_type>, 6> types{{{"text", column_type::text},
                                                                         {"integer", column_type::integer},
                                                                         {"real", column_type::real},
                                                                         {"boolean", column_type::boolean},
                                                                         {"timestamp", column_type::timestamp},
                                                                         {"json", column_type::json}}};

bool is_name(std::string_view s) {
  const auto letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !s.empty() && s.size() <= 48 && letter(s[0]) &&
         std::ranges::all_of(s, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

bool is_nsid(std::string_view s) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  };
  return s.size() <= 317 && std::ranges::all_of(s, good) && std::ranges::count(s, '.') >= 2 && !s.contains("..") &&
         !s.starts_with('.') && !s.ends_with('.');
}

bool is_pointer(std::string_view s) {
  if (!s.empty() && s[0] != '/') return false;
  for (std::size_t i = 0; i < s.size(); ++i)
    if (s[i] == '~' && (i + 1 == s.size() || (s[i + 1] != '0' && s[i + 1] != '1'))) return false;
  return true;
}

/// JSON text as boost::json would write it, or nothing when it is none.
std::optional<std::string> normalised(std::string_view text) {
  boost::json::error_code ec;
  const auto v = boost::json::parse(text, ec);
  return ec ? std::nullopt : std::optional(boost::json::serialize(v));
}

/// What a test's row says of one column, as the cell that extract() would give; nothing when it is of another type.
std::optional<cell> expected_cell(column_type t, const toml::node& v) {
  const auto text = v.value_exact<std::string>();
  const auto integer = v.value_exact<std::int64_t>();
  switch (t) {
    case column_type::text:
    case column_type::timestamp:
      if (text) return *text;
      break;
    case column_type::integer:
      if (integer) return *integer;
      break;
    case column_type::real:
      if (const auto real = v.value<double>(); real && v.is_number()) return *real;
      break;
    case column_type::boolean:
      if (const auto flag = v.value_exact<bool>()) return std::int64_t{*flag ? 1 : 0};
      break;
    case column_type::json:
      if (const auto json = text ? normalised(*text) : std::nullopt) return *json;
      break;
  }
  return std::nullopt;
}

/// Reads a file into definitions. It goes on after a mistake and keeps the one that stands first in the file.
class reader {
 public:
  explicit reader(const std::string& file) : file_(file) {}

  result<std::vector<definition>> read() {
    std::error_code ec;
    std::ifstream in(file_, std::ios::binary);
    if (std::filesystem::is_directory(file_, ec) || !in)
      return fail(errc::bad_config, "cannot read view file {}: {}", file_, std::strerror(in ? EISDIR : errno));
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::vector<definition> out;
    try {
      out = views(toml::parse(text, file_));
    } catch (const toml::parse_error& e) {
      return fail(errc::bad_config, "{}:{}: {}", file_, e.source().begin.line, e.description());
    }
    if (!mistake_.empty()) return fail(errc::bad_config, "{}", mistake_);
    return out;
  }

 private:
  template <class... Args>
  void wrong(unsigned line, fmt::format_string<Args...> what, Args&&... args) {
    if (!mistake_.empty() && mistake_line_ <= line) return;
    mistake_line_ = line;
    mistake_ = fmt::format("{}:{}: {}", file_, line, fmt::format(what, std::forward<Args>(args)...));
  }

  static unsigned line_of(const toml::node& n) { return n.source().begin.line; }

  /// Keys that are not among `known` are mistakes: a misspelt `required` must not pass as "not required".
  void only(const toml::table& t, std::string_view where, std::initializer_list<std::string_view> known) {
    for (auto&& [key, value] : t)
      if (key.str() == "each")
        wrong(key.source().begin.line, "{}each: is still to come; one record gives one row", where);
      else if (std::ranges::find(known, key.str()) == known.end())
        wrong(key.source().begin.line, "{}{}: unknown key; known are {}", where, key.str(), fmt::join(known, ", "));
  }

  /// The text at `key`; a missing one is a mistake unless there is a `fallback`.
  std::optional<std::string> text(const toml::table& t, std::string_view where, std::string_view key,
                                  std::string_view like, std::optional<std::string> fallback = {}) {
    const auto* const v = t.get(key);
    if (v == nullptr && fallback) return fallback;
    if (v == nullptr)
      wrong(line_of(t), "{}{}: is missing; write {} = \"{}\"", where, key, key, like);
    else if (!v->is_string())
      wrong(line_of(*v), "{}{}: wants text in quotes; write {} = \"{}\"", where, key, key, like);
    return v != nullptr ? v->value_exact<std::string>() : std::nullopt;
  }

  bool flag(const toml::table& t, std::string_view where, std::string_view key) {
    const auto* const v = t.get(key);
    if (v != nullptr && !v->is_boolean())
      wrong(line_of(*v), "{}{}: wants true or false; the default is {} = false", where, key, key);
    return v != nullptr && v->value_or(false);
  }

  /// The tables of an array of tables; any other value is a mistake.
  std::vector<const toml::table*> tables(const toml::table& t, std::string_view where, std::string_view key,
                                         std::string_view like) {
    std::vector<const toml::table*> out;
    const auto* const v = t.get(key);
    if (v == nullptr) return out;
    const auto* const list = v->as_array();
    for (std::size_t i = 0; list != nullptr && i < list->size(); ++i)
      if (const auto* const item = (*list)[i].as_table()) out.push_back(item);
    if (list == nullptr || out.size() != list->size()) wrong(line_of(*v), "{}{}: write {}", where, key, like);
    return out;
  }

  std::vector<definition> views(const toml::table& file) {
    only(file, "", {"view"});
    std::vector<definition> out;
    std::set<std::string> names;
    for (const auto* const t : tables(file, "", "view", "[[view]] with two brackets, since a file may hold several")) {
      out.push_back(view(*t));
      if (!names.insert(out.back().of.name).second)
        wrong(line_of(*t), "view.name: \"{}\" stands above already; name each view once", out.back().of.name);
    }
    if (out.empty()) wrong(1, "[[view]]: is missing; a view file holds at least one");
    return out;
  }

  definition view(const toml::table& t) {
    definition d;
    d.of.file = file_;
    d.of.line = line_of(t);
    only(t, "view.", {"name", "collection", "columns", "test"});
    if (auto name = text(t, "view.", "name", "likes")) {
      if (!is_name(*name) || name->starts_with("recordkv_") || name->starts_with("sqlite_"))
        wrong(line_of(*t.get("name")),
              "view.name: \"{}\" cannot name a table; use up to 48 of a-z, 0-9 and _, a letter first, not recordkv_... "
              "or sqlite_...",
              *name);
      d.of.name = std::move(*name);
    }
    if (auto collection = text(t, "view.", "collection", "app.bsky.feed.like")) {
      if (!is_nsid(*collection))
        wrong(line_of(*t.get("collection")),
              "view.collection: \"{}\" is no collection; write one whole, such as \"app.bsky.feed.like\"", *collection);
      d.of.collection = std::move(*collection);
    }
    constexpr std::string_view like = R"(columns = [ { name = "subject", pointer = "/subject/uri" } ])";
    for (const auto* const c : tables(t, "view.", "columns", like)) add_column(d.of, *c);
    const auto* const columns = t.get_as<toml::array>("columns");
    if (!t.contains("columns") || (columns != nullptr && columns->empty()))
      wrong(line_of(t), "view.columns: is missing; write {}", like);
    for (const auto* const e : tables(t, "view.", "test", "[[view.test]] with two brackets")) add_example(d, *e);
    return d;
  }

  void add_column(plan& p, const toml::table& t) {
    constexpr std::string_view where = "view.columns.";
    only(t, where, {"name", "pointer", "type", "required", "index"});
    column c;
    c.required = flag(t, where, "required");
    c.index = flag(t, where, "index");
    if (auto name = text(t, where, "name", "subject")) {
      if (!is_name(*name))
        wrong(line_of(t), "{}name: \"{}\" cannot name a column; use up to 48 of a-z, 0-9 and _, a letter first", where,
              *name);
      if (*name == "did" || *name == "collection" || *name == "rkey")
        wrong(line_of(t), "{}name: every view has a column \"{}\" already; choose another", where, *name);
      if (std::ranges::find(p.columns, *name, &column::name) != p.columns.end())
        wrong(line_of(t), "{}name: \"{}\" stands above already; name each column once", where, *name);
      c.name = std::move(*name);
    }
    if (auto pointer = text(t, where, "pointer", "/subject/uri")) {
      if (!is_pointer(*pointer))
        wrong(line_of(t), "{}pointer: \"{}\" is no JSON pointer; write one such as \"/subject/uri\", ~ as ~0", where,
              *pointer);
      c.pointer = std::move(*pointer);
    }
    if (auto type = text(t, where, "type", "text", "text")) {
      const auto* const known = std::ranges::find(types, *type, &std::pair<std::string_view, column_type>::first);
      if (known == types.end())
        wrong(line_of(t), "{}type: \"{}\" is no type; choose text, integer, real, boolean, timestamp or json", where,
              *type);
      else
        c.type = known->second;
    }
    p.columns.push_back(std::move(c));
    if (p.columns.size() == 201)
      wrong(line_of(t), "view.columns: more than 200; a column of type json may hold the rest");
  }

  void add_example(definition& d, const toml::table& t) {
    constexpr std::string_view where = "view.test.";
    only(t, where, {"record", "row", "rejected"});
    example e;
    e.line = line_of(t);
    e.rejected = flag(t, where, "rejected");
    if (auto record = text(t, where, "record", "{}")) {
      if (!normalised(*record)) wrong(line_of(*t.get("record")), "{}record: is no JSON; write it in '…'", where);
      e.record = std::move(*record);
    }
    const auto* const row = t.get("row");
    if ((row != nullptr) == e.rejected)
      wrong(e.line, "{}row: write the row that is expected, or rejected = true where there must be none", where);
    else if (row != nullptr && !row->is_table())
      wrong(line_of(*row), "{}row: wants a table; write row = {{ column = value }}", where);
    else if (row != nullptr)
      for (auto&& [name, value] : *row->as_table()) add_expected(d.of, e, name, value);
    d.examples.push_back(std::move(e));
  }

  void add_expected(const plan& p, example& e, const toml::key& name, const toml::node& value) {
    const auto c = std::ranges::find(p.columns, name.str(), &column::name);
    const unsigned line = name.source().begin.line;
    if (c == p.columns.end()) return wrong(line, "view.test.row.{}: the view has no such column", name.str());
    auto expected = expected_cell(c->type, value);
    if (!expected)
      return wrong(line, "view.test.row.{}: is not of the column's type, {}", name.str(),
                   types[static_cast<std::size_t>(c->type)].first);
    e.row.emplace(c->name, std::move(*expected));
  }

  const std::string& file_;
  std::string mistake_;
  unsigned mistake_line_ = 0;
};

}  // namespace

result<std::vector<definition>> read_definitions(const std::string& file) { return reader(file).read(); }

result<std::vector<plan>> load_plans(const std::string& file) {
  auto read = read_definitions(file);
  if (!read) return read.error();
  std::vector<plan> out;
  for (auto& d : *read) out.push_back(std::move(d.of));
  return out;
}

}  // namespace recordkv::view
