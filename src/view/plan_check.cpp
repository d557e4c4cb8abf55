#include "plan_file.hpp"

namespace recordkv::view {
namespace {

std::string described(const cell& c) {
  if (const auto* s = std::get_if<std::string>(&c)) return fmt::format("\"{}\"", *s);
  if (const auto* n = std::get_if<std::int64_t>(&c)) return fmt::to_string(*n);
  if (const auto* d = std::get_if<double>(&c)) return fmt::to_string(*d);
  return "NULL";
}

/// What is wrong with one example, one line each.
void run_example(const plan& p, const example& e, std::vector<std::string>& failures) {
  const auto report = [&](std::string_view what) {
    failures.push_back(fmt::format("{}:{}: view {}: {}", p.file, e.line, p.name, what));
  };
  const auto row = extract(p, e.record);
  if (row.has_value() == e.rejected) {
    report(row ? "the record gives a row, but should be rejected"
               : "the record is rejected: a required column is missing or of another type");
    return;
  }
  for (std::size_t i = 0; row && i < row->size(); ++i) {
    const auto at = e.row.find(p.columns[i].name);
    const cell expected = at == e.row.end() ? cell{} : at->second;
    if ((*row)[i] != expected)
      report(
          fmt::format("column {}: expected {}, got {}", p.columns[i].name, described(expected), described((*row)[i])));
  }
}

}  // namespace

result<std::vector<std::string>> check_plans(const std::string& file) {
  auto read = read_definitions(file);
  if (!read) return read.error();
  std::vector<std::string> failures;
  for (const auto& d : *read)
    for (const auto& e : d.examples) run_example(d.of, e, failures);
  return failures;
}

}  // namespace recordkv::view
