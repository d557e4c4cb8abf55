#include "plan/file.hpp"

namespace recordkv::view {
namespace {

std::string described(const cell& c) {
  if (const auto* s = std::get_if<std::string>(&c)) return fmt::format("\"{}\"", *s);
  if (const auto* n = std::get_if<std::int64_t>(&c)) return fmt::to_string(*n);
  if (const auto* d = std::get_if<double>(&c)) return fmt::to_string(*d);
  return "NULL";
}

/// Columns that follow from another column, or from no record. They are compared only if a test names them.
bool follows(const column& c) {
  return c.from == origin::uri_did || c.from == origin::uri_collection || c.from == origin::uri_rkey ||
         c.from == origin::hooks;
}

/// What is wrong with one example, one line each.
void run_example(const plan& p, const example& e, std::vector<std::string>& failures) {
  const auto report = [&](std::string_view what) {
    failures.push_back(fmt::format("{}:{}: view {}: {}", p.file, e.line, p.name, what));
  };
  const auto got = extract(p, {.did = e.did,
                               .collection = e.collection,
                               .rkey = e.rkey,
                               .cid = e.cid,
                               .rev = e.rev,
                               .time = e.time,
                               .json = e.record});
  if (!e.rejected && !got.rejection_reason.empty())
    return report(fmt::format("the record is rejected: {}", got.rejection_reason));
  if (e.rejected) {
    if (got.rejection_reason.empty())
      report(fmt::format("the record gives {} row{}, but should be rejected", got.rows.size(),
                         got.rows.size() == 1 ? "" : "s"));
    return;
  }
  if (got.rows.size() != e.rows.size())
    return report(
        fmt::format("expected {} row{}, got {}", e.rows.size(), e.rows.size() == 1 ? "" : "s", got.rows.size()));
  for (std::size_t r = 0; r < got.rows.size(); ++r)
    for (std::size_t i = 0; i < p.columns.size(); ++i) {
      const auto& c = p.columns[i];
      const auto at = e.rows[r].find(c.name);
      if (at == e.rows[r].end() && follows(c)) continue;
      const cell expected = at == e.rows[r].end() ? cell{} : at->second;
      if (got.rows[r][i] != expected)
        report(fmt::format("{}column {}: expected {}, got {}", p.many() ? fmt::format("row {}: ", r) : "", c.name,
                           described(expected), described(got.rows[r][i])));
    }
}

std::vector<std::string> run_examples(const std::vector<definition>& all, std::size_t* ran) {
  std::vector<std::string> failures;
  for (const auto& d : all)
    for (const auto& e : d.examples) {
      run_example(d.of, e, failures);
      if (ran != nullptr) ++*ran;
    }
  return failures;
}

}  // namespace

result<std::vector<std::string>> check_plans(const std::string& file, std::size_t* ran) {
  auto read = read_definitions(file);
  if (!read) return read.error();
  return run_examples(*read, ran);
}

result<std::vector<std::string>> check_text(std::string_view text, const std::string& name, std::size_t* ran) {
  auto read = definitions_in_text(text, name);
  if (!read) return read.error();
  return run_examples(*read, ran);
}

}  // namespace recordkv::view
