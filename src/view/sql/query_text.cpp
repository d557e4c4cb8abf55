#include "sql/query_text.hpp"

#include "plan/column_types.hpp"

#include <algorithm>

namespace recordkv::view {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& n : names) out += (out.empty() ? "" : ", ") + n;
  return out.empty() ? "none" : out;
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
    const auto& type = traits_of(c->type);
    auto value = type.from_text(w.value);
    if (!value)
      return fail(errc::bad_config, "view {}: column {} wants {}, not \"{}\"", table, w.column, type.expected, w.value);
    out.values.push_back(std::move(*value));
    clause += fmt::format("{}{} = ${}", clause.empty() ? " WHERE " : " AND ", compared(d, c->name, c->type),
                          out.values.size());
  }
  std::string columns;
  for (const auto& c : out.columns) columns += (columns.empty() ? "" : ", ") + shown(d, c.name, c.type);
  out.sql = fmt::format("SELECT {} FROM {}{} ORDER BY {} LIMIT ${}", columns, identifier(table), clause, found->order,
                        out.values.size() + 1);
  return out;
}

}  // namespace recordkv::view
