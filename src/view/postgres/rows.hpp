// The requests that write changes into the tables of a build.
//
// Owns: the statements, each for many keys.
// Does not know: connections, transactions, positions. Pure.
#pragma once

#include "postgres/connection.hpp"
#include "sql/hook_text.hpp"
#include "sql/naming.hpp"
#include "sql/row_outcomes.hpp"

#include "recordkv/view/store.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::view::postgres {

/// Requests, and how their answers are read.
struct writing {
  std::vector<request> requests;
  std::vector<std::size_t> erasing;       ///< the requests whose answers count removed rows
  std::vector<std::string_view> because;  ///< "on_put" or "on_delete" for each request of a hook
  std::uint64_t rows = 0, rejected = 0;

  void add(request r, std::string_view hook = {});
};

class row_writer {
 public:
  /// errc::bad_config: a hook has an unknown parameter.
  static result<row_writer> make(const plan& p, const naming& n, bool bulk);

  /// As view::outcomes_of(). Keys that PostgreSQL cannot index become rejects, also if the record was deleted.
  row_outcomes outcomes_of(const std::vector<change>& changes) const;

  /// Asks which keys have rows. The answer has a row for each of these: its place in the list, from 1.
  request which_have_rows(const row_outcomes& all) const;

  /// All requests; `by_copy`: without the rows.
  writing write(std::span<const row_outcome> these, bool by_copy = false) const;

  std::string copy_statement() const;
  void copy_lines(const row_outcome& f, std::string& into) const;

  /// The hooks, for the server to check before any of them runs.
  std::vector<request> hooks_to_parse() const;

  /// `reason` for a refusal of request `at`, as it stands in a reject.
  static std::string refusal(const writing& w, std::size_t at, std::string_view reason);

 private:
  row_writer(const plan& p, naming n, bool bulk) : p_(p), n_(std::move(n)), bulk_(bulk) {}
  void erase(writing& w, std::span<const row_outcome> these) const;
  void put(writing& w, std::span<const row_outcome> these) const;
  void trim(writing& w, std::span<const row_outcome> these) const;
  void settle_rejects(writing& w, std::span<const row_outcome> these) const;
  void run_hooks(writing& w, const row_outcome& f) const;

  const plan& p_;
  naming n_;
  bool bulk_;
  std::vector<hook_statement> on_put_, on_delete_;
};

}  // namespace recordkv::view::postgres
