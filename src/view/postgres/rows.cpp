#include "postgres/rows.hpp"

#include "postgres/text.hpp"
#include "sql/statements.hpp"

#include <fmt/ranges.h>

#include <span>
#include <utility>

namespace recordkv::view::postgres {
namespace {

/// An entry of a B-tree in PostgreSQL takes 2,704 bytes, with some bytes of its own.
constexpr std::size_t max_indexed = 2'600;

/// The keys of some changes: an array for each column of the key.
class key_arrays {
 public:
  explicit key_arrays(const plan& p) : members_(key_members(p)), arrays_(members_.size()) {}
  void add(const change& c) {
    for (std::size_t i = 0; i < arrays_.size(); ++i) arrays_[i].add(std::string_view(c.*members_[i]));
  }
  std::size_t size() const { return arrays_.front().size(); }
  std::vector<value> done() && {
    std::vector<value> out;
    out.reserve(arrays_.size());
    for (auto& a : arrays_) out.emplace_back(std::move(a).done());
    return out;
  }

 private:
  std::span<std::string change::* const> members_;
  std::vector<array_text> arrays_;
};

/// The key's columns as the parts of a statement.
struct key_text {
  explicit key_text(const plan& p) {
    for (const auto name : p.key_columns()) {
      const std::string_view comma = count++ == 0 ? "" : ", ";
      arrays += fmt::format("{}${}::text[]", comma, count);
      names += fmt::format("{}{}", comma, name);
      equal += fmt::format("{0}t.{1} = k.{1}", comma.empty() ? "" : " AND ", name);
    }
  }
  std::size_t count = 0;
  std::string arrays;  ///< "$1::text[], …"
  std::string names;   ///< "did, …"
  std::string equal;   ///< "t.did = k.did AND …"
};

/// A reject's uri is indexed, too. No real record has one that is longer.
std::string reject_uri(const change& c) { return at_uri_of(c).substr(0, max_indexed); }

}  // namespace

void writing::add(request r, std::string_view hook) {
  requests.push_back(std::move(r));
  because.push_back(hook);
}

result<row_writer> row_writer::make(const plan& p, const naming& n, bool bulk) {
  auto compiled = compile_hooks(p, n.rows());
  if (!compiled) return compiled.error();
  row_writer out(p, n, bulk);
  out.on_put_ = std::move(compiled->on_put);
  out.on_delete_ = std::move(compiled->on_delete);
  return out;
}

std::vector<request> row_writer::hooks_to_parse() const {
  std::vector<request> out;
  for (const auto* const all : {&on_put_, &on_delete_})
    for (const auto& h : *all) out.push_back({.sql = h.sql, .parameters = {}, .only_parsed = true});
  return out;
}

row_outcomes row_writer::outcomes_of(const std::vector<change>& changes) const {
  auto out = view::outcomes_of(p_, changes, bulk_);
  // Checked before the row is written, because in bulk there is no index yet. extract() bounds the columns.
  for (auto& o : out) {
    const auto& c = *o.of;
    if (!o.rejection_reason.empty() || c.did.size() + c.collection.size() + c.rkey.size() <= max_indexed) continue;
    o.rejection_reason = "its key is too long for PostgreSQL to index";
    o.rows = 0;
  }
  return out;
}

request row_writer::which_have_rows(const row_outcomes& all) const {
  key_arrays keys(p_);
  for (const auto& f : all) keys.add(*f.of);
  const key_text key(p_);
  return {fmt::format("SELECT k.at FROM unnest({}) WITH ORDINALITY AS k({}, at) WHERE EXISTS (SELECT 1 FROM {} AS t "
                      "WHERE {})",
                      key.arrays, key.names, identifier(n_.rows()), key.equal),
          std::move(keys).done()};
}

writing row_writer::write(std::span<const row_outcome> these, bool by_copy) const {
  writing w;
  if (!p_.has_hooks()) {
    if (!bulk_) erase(w, these);
    if (!by_copy) put(w, these);
    if (!bulk_) trim(w, these);
    settle_rejects(w, these);
  } else {
    // A hook may read rows of other keys, so each key is finished before the next begins.
    for (const auto& f : these) {
      const std::span<const row_outcome> one(&f, 1);
      erase(w, one);
      put(w, one);
      trim(w, one);
      run_hooks(w, f);
      settle_rejects(w, one);
    }
  }
  for (const auto& f : these) {
    w.rows += f.rows;
    if (!f.rejection_reason.empty()) ++w.rejected;
  }
  return w;
}

void row_writer::erase(writing& w, std::span<const row_outcome> these) const {
  key_arrays keys(p_);
  for (const auto& f : these)
    if (f.rows == 0) keys.add(*f.of);
  if (keys.size() == 0) return;
  const key_text key(p_);
  w.erasing.push_back(w.requests.size());
  w.add({fmt::format("DELETE FROM {} AS t USING unnest({}) AS k({}) WHERE {}", identifier(n_.rows()), key.arrays,
                     key.names, key.equal),
         std::move(keys).done()});
}

void row_writer::put(writing& w, std::span<const row_outcome> these) const {
  const auto columns = table_columns(p_);
  key_arrays keys(p_);
  std::vector<array_text> rest(columns.size() - p_.key_columns().size());
  for (const auto& f : these) {
    for (std::size_t i = 0; i < f.rows; ++i) {
      keys.add(*f.of);
      std::size_t at = 0;
      if (p_.many()) rest[at++].add(cell(static_cast<std::int64_t>(i)));
      for (auto c = f.of->rows[i].begin(); at < rest.size() && c != f.of->rows[i].end(); ++c) rest[at++].add(*c);
    }
  }
  if (keys.size() == 0) return;
  auto parameters = std::move(keys).done();
  for (auto& a : rest) parameters.emplace_back(std::move(a).done());
  std::string source = "SELECT * FROM unnest(";
  for (std::size_t i = 0; i < columns.size(); ++i)
    source += fmt::format("{}${}::{}[]", i == 0 ? "" : ", ", i + 1, postgres_type(columns[i].type));
  source += ')';
  if (bulk_) {
    std::string names;
    for (const auto& c : columns) names += (names.empty() ? "" : ", ") + identifier(c.name);
    w.add({fmt::format("INSERT INTO {} ({}) {}", identifier(n_.rows()), names, source), std::move(parameters)});
  } else {
    w.add({upsert_row(p_, n_, source), std::move(parameters)});
  }
}

/// Rows were overwritten in place. Those beyond the new count are deleted.
void row_writer::trim(writing& w, std::span<const row_outcome> these) const {
  if (!p_.many()) return;
  key_arrays keys(p_);
  array_text counts;
  for (const auto& f : these) {
    if (f.rows == 0) continue;
    keys.add(*f.of);
    counts.add(cell(static_cast<std::int64_t>(f.rows)));
  }
  if (counts.size() == 0) return;
  auto parameters = std::move(keys).done();
  parameters.emplace_back(std::move(counts).done());
  w.erasing.push_back(w.requests.size());
  const key_text key(p_);
  w.add({fmt::format("DELETE FROM {} AS t USING unnest({}, ${}::bigint[]) AS k({}, n) WHERE {} AND t.idx >= k.n",
                     identifier(n_.rows()), key.arrays, key.count + 1, key.names, key.equal),
         std::move(parameters)});
}

void row_writer::settle_rejects(writing& w, std::span<const row_outcome> these) const {
  array_text good, bad, reasons, seqs;
  for (const auto& f : these) {
    const auto uri = reject_uri(*f.of);
    (f.rejection_reason.empty() ? good : bad).add(std::string_view(uri));
    if (f.rejection_reason.empty()) continue;
    reasons.add(std::string_view(f.rejection_reason));
    seqs.add(cell(static_cast<std::int64_t>(f.of->seq)));
  }
  const auto table = identifier(n_.rejects());
  if (good.size() > 0 && !bulk_)
    w.add({fmt::format("DELETE FROM {} AS t USING unnest($1::text[]) AS k(uri) WHERE t.uri = k.uri", table),
           {std::move(good).done()}});
  if (bad.size() == 0) return;
  w.add({fmt::format("INSERT INTO {} (uri, reason, seq) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) ON "
                     "CONFLICT (uri) DO UPDATE SET reason = excluded.reason, seq = excluded.seq",
                     table),
         {std::move(bad).done(), std::move(reasons).done(), std::move(seqs).done()}});
}

void row_writer::run_hooks(writing& w, const row_outcome& f) const {
  if (!f.hooks || (f.rows == 0 && !f.had)) return;
  for (const auto& h : f.rows > 0 ? on_put_ : on_delete_) {
    request r{.sql = h.sql, .parameters = {}};
    for (const auto p : h.parameters) r.parameters.push_back(hook_value(p, *f.of));
    w.add(std::move(r), f.rows > 0 ? "on_put" : "on_delete");
  }
}

std::string row_writer::refusal(const writing& w, std::size_t at, std::string_view reason) {
  if (at >= w.because.size() || w.because[at].empty()) return std::string(reason);
  return fmt::format("{}: {}", w.because[at], reason);
}

std::string row_writer::copy_statement() const {
  std::string names;
  for (const auto& c : table_columns(p_)) names += (names.empty() ? "" : ", ") + identifier(c.name);
  return fmt::format("COPY {} ({}) FROM STDIN", identifier(n_.rows()), names);
}

void row_writer::copy_lines(const row_outcome& f, std::string& into) const {
  for (std::size_t i = 0; i < f.rows; ++i) {
    std::string_view before;
    for (const auto part : key_members(p_)) {
      into += std::exchange(before, "\t");
      copy_field(into, std::string_view(f.of->*part));
    }
    if (p_.many()) into += fmt::format("\t{}", i);
    for (const auto& c : f.of->rows[i]) {
      into += '\t';
      copy_field(into, c);
    }
    into += '\n';
  }
}

}  // namespace recordkv::view::postgres
