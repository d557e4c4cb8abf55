#include "answer_text.hpp"

#include "recordkv/atproto/json.hpp"

#include <algorithm>

namespace recordkv::cli {

std::string text_of_cell(const view::cell& c, view::column_type type) {
  if (const auto* s = std::get_if<std::string>(&c)) return *s;
  if (const auto* d = std::get_if<double>(&c)) return fmt::format("{}", *d);
  if (const auto* n = std::get_if<std::int64_t>(&c)) {
    if (type == view::column_type::boolean) return *n != 0 ? "true" : "false";
    return fmt::to_string(*n);
  }
  return {};
}

std::string text_at(const view::answer& a, const view::cells& row, std::string_view column) {
  for (std::size_t i = 0; i < a.columns.size(); ++i)
    if (a.columns[i].name == column) return text_of_cell(row[i], a.columns[i].type);
  return {};
}

std::string json_of_row(const view::answer& a, const view::cells& row) {
  std::string out = "{";
  for (std::size_t i = 0; i < a.columns.size(); ++i) {
    if (i != 0) out += ',';
    atproto::append_quoted(out, a.columns[i].name);
    out += ':';
    const bool plain = !std::holds_alternative<std::string>(row[i]) || a.columns[i].type == view::column_type::json;
    if (std::holds_alternative<std::monostate>(row[i]))
      out += "null";
    else if (plain)
      out += text_of_cell(row[i], a.columns[i].type);
    else
      atproto::append_quoted(out, std::get<std::string>(row[i]));
  }
  return out + '}';
}

std::string table_of(const view::answer& a) {
  std::vector<std::vector<std::string>> lines(1);
  for (const auto& c : a.columns) lines[0].push_back(c.name);
  for (const auto& row : a.rows) {
    auto& line = lines.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) line.push_back(text_of_cell(row[i], a.columns[i].type));
  }
  std::vector<std::size_t> widths(a.columns.size(), 0);
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string out;
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i)
      out += i + 1 == line.size() ? line[i] : fmt::format("{:<{}}  ", line[i], widths[i]);
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  }
  return out;
}

}  // namespace recordkv::cli
