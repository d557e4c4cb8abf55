#include "sqlite/own_counts.hpp"

#include "sql/row_outcomes.hpp"
#include "sql/statements.hpp"

#include <algorithm>

namespace recordkv::view {

result<own_counts> own_counts::prepare(database& db, const plan& p, const naming& n) {
  own_counts out;
  if (n.counted.empty()) return out;
  const auto columns = table_columns(p);
  for (std::size_t i = 0; i < n.counted.size(); ++i) {
    const auto at = std::ranges::find(columns, n.counted[i], &table_column::name);
    auto move = db.prepare(move_count(n, i)), erase = db.prepare(erase_empty_count(n, i));
    if (!move) return move.error();
    if (!erase) return erase.error();
    out.counters_.push_back({.column = static_cast<std::size_t>(at - columns.begin()),
                             .move = std::move(*move),
                             .erase = std::move(*erase),
                             .moves = {}});
  }
  auto values = db.prepare(counted_values(p, n));
  if (!values) return values.error();
  out.values_of_key_ = std::move(*values);
  return out;
}

void own_counts::move(counter& c, const cell& value, std::int64_t by) {
  if (!std::holds_alternative<std::monostate>(value)) c.moves.push_back({&value, by});
}

void own_counts::add(const plan& p, const change& c, std::size_t idx) {
  const auto key = key_members(p);
  const std::size_t before = key.size() + (p.many() ? 1 : 0);  // columns before those of the plan
  for (auto& counter : counters_) {
    if (counter.column >= before)
      move(counter, c.rows[idx][counter.column - before], 1);
    else if (counter.column < key.size())
      move_copy(counter, c.*key[counter.column], 1);
    else
      move_copy(counter, static_cast<std::int64_t>(idx), 1);
  }
}

result<void> own_counts::take_away(database& db, const plan& p, const change& c) {
  if (!any()) return {};
  int at = 1;
  for (const auto part : key_members(p)) values_of_key_.bind(at++, c.*part);
  int code = SQLITE_DONE;
  while ((code = values_of_key_.step()) == SQLITE_ROW)
    for (std::size_t i = 0; i < counters_.size(); ++i)
      move_copy(counters_[i], values_of_key_.value(static_cast<int>(i)), -1);
  if (code != SQLITE_DONE) return db.failure("read what is counted");
  return {};
}

result<void> own_counts::write(database& db) {
  for (auto& c : counters_)
    if (auto done = write(db, c); !done) return done.error();
  forget();
  return {};
}

/// In the order of the values, so that neighbours meet the same page.
result<void> own_counts::write(database& db, counter& c) {
  std::ranges::sort(c.moves, [](const moved& a, const moved& b) { return *a.value < *b.value; });
  for (auto from = c.moves.begin(); from != c.moves.end();) {
    const auto to = std::find_if(from, c.moves.end(), [&](const moved& m) { return *m.value != *from->value; });
    std::int64_t by = 0;
    for (auto m = from; m != to; ++m) by += m->by;
    if (by != 0) {
      c.move.bind_cell(1, *from->value);
      c.move.bind(2, by);
      if (c.move.step() != SQLITE_DONE) return db.failure("move a count");
    }
    if (by < 0) {
      c.erase.bind_cell(1, *from->value);
      if (c.erase.step() != SQLITE_DONE) return db.failure("remove a count");
    }
    from = to;
  }
  return {};
}

void own_counts::forget() {
  for (auto& c : counters_) c.moves.clear();
  copies_.clear();
}

}  // namespace recordkv::view
