#include "sql/query_text.hpp"

#include "plan/timestamp.hpp"

#include <algorithm>
#include <charconv>

namespace recordkv::view {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& n : names) out += (out.empty() ? "" : ", ") + n;
  return out.empty() ? "none" : out;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number out{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc{} && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

/// The value that a condition asks for; nothing when it is none of the type, and `like` says what would be.
std::optional<cell> value_of(column_type t, const std::string& text, std::string_view& like) {
  switch (t) {
    case column_type::integer:
      like = "an integer";
      if (const auto n = number<std::int64_t>(text)) return *n;
      return std::nullopt;
    case column_type::real:
      like = "a number";
      if (const auto n = number<double>(text)) return *n;
      return std::nullopt;
    case column_type::boolean:
      like = "true or false";
      if (text == "true" || text == "false") return std::int64_t{text == "true" ? 1 : 0};
      return std::nullopt;
    case column_type::timestamp:
      like = "a time such as 2024-11-05T12:00:00Z";
      if (auto utc = utc_microseconds(text)) return std::move(*utc);
      return std::nullopt;
    case column_type::text:
    case column_type::json: break;
  }
  like = "a text without U+0000";
  if (text.contains('\0')) return std::nullopt;
  return text;
}

/// A column as it is shown, and as it is compared.
std::string expression(dialect d, const answer::heading& h) {
  auto name = identifier(h.name);
  if (d == dialect::sqlite) return name;
  if (h.type == column_type::json) return name + "::text";
  return name;
}

std::string shown(dialect d, const answer::heading& h) {
  if (d == dialect::postgres && h.type == column_type::timestamp)
    return fmt::format(R"(to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))", identifier(h.name));
  return expression(d, h);
}

struct shape {
  std::vector<answer::heading> columns;
  std::string order;
};

/// The table, if it belongs to this view.
result<std::optional<shape>> shape_of(const live_view& v, const std::string& table) {
  if (!table.starts_with(v.name)) return std::optional<shape>();
  shape out;
  if (table == v.name + "_rejects") {
    out.columns = {{"uri", column_type::text}, {"reason", column_type::text}, {"seq", column_type::integer}};
    out.order = "seq, uri";
    return std::optional(std::move(out));
  }
  auto p = plan_from_definition(v.definition);
  if (!p) return p.error();
  const auto columns = table_columns(*p);
  if (table == v.name) {
    for (const auto& c : columns) {
      out.columns.push_back({c.name, c.type});
      if (c.key) out.order += (out.order.empty() ? "" : ", ") + identifier(c.name);
    }
    return std::optional(std::move(out));
  }
  for (const auto& counted : p->count_by) {
    const auto c = std::ranges::find(columns, counted, &table_column::name);
    if (c == columns.end() || table != fmt::format("{}_by_{}", v.name, counted)) continue;
    out.columns = {{counted, c->type}, {"count", column_type::integer}};
    out.order = fmt::format("\"count\" DESC, {}", identifier(counted));
    return std::optional(std::move(out));
  }
  return std::optional<shape>();
}

result<shape> find_shape(const std::string& place, const std::vector<live_view>& views, const std::string& table) {
  std::vector<std::string> names;
  for (const auto& v : views) {
    auto found = shape_of(v, table);
    if (!found) return found.error();
    if (*found) return std::move(**found);
    names.push_back(v.name);
  }
  return fail(errc::not_found, "there is no view {} in {}; there are: {}", table, place, joined(names));
}

}  // namespace

result<question> compile_question(dialect d, const std::string& place, const std::vector<live_view>& views,
                                  const std::string& table, const std::vector<condition>& where) {
  auto found = find_shape(place, views, table);
  if (!found) return found.error();
  question out{.table = table, .columns = std::move(found->columns)};
  std::string clause;
  for (const auto& w : where) {
    const auto c = std::ranges::find(out.columns, w.column, &answer::heading::name);
    if (c == out.columns.end()) {
      std::vector<std::string> names;
      names.reserve(out.columns.size());
      for (const auto& known : out.columns) names.push_back(known.name);
      return fail(errc::bad_config, "view {} has no column {}; it has: {}", table, w.column, joined(names));
    }
    std::string_view like;
    auto value = value_of(c->type, w.value, like);
    if (!value)
      return fail(errc::bad_config, "view {}: column {} wants {}, not \"{}\"", table, w.column, like, w.value);
    out.values.push_back(std::move(*value));
    clause += fmt::format("{}{} = ${}", clause.empty() ? " WHERE " : " AND ", expression(d, *c), out.values.size());
  }
  std::string columns;
  for (const auto& c : out.columns) columns += (columns.empty() ? "" : ", ") + shown(d, c);
  out.sql = fmt::format("SELECT {} FROM {}{} ORDER BY {} LIMIT ${}", columns, identifier(table), clause, found->order,
                        out.values.size() + 1);
  return out;
}

}  // namespace recordkv::view
