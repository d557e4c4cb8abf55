// A build as recordkv_builds has it, and what may be done with it, whichever the database.
//
// Owns: which builds of a view count, which give way to a new one, and what a call is refused for because of the
// builds. Does not know: how builds are read and written.
#pragma once

#include "sql/naming.hpp"

#include "recordkv/view/store.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::view {

struct stored_build {
  std::string view;
  build of;
  std::vector<std::string> counted;
  std::vector<std::string> ready;  ///< partitions that have caught up
  bool wanted = false;
  bool whole = true;  ///< its tables are all there

  naming names() const { return {view, of.number, of.live, counted}; }
};
using stored_builds = std::vector<stored_build>;

/// A row of build_fields, in their order.
struct build_row {
  std::uint64_t number = 0;
  std::string view;
  bool live = false;
  std::string hash, definition, counters, created;
  std::uint64_t generation = 0;
  std::string seq;
  std::uint64_t bulk_until = 0;
  std::string ready;
  bool wanted = false;
};

/// Only recordkv writes these rows. One that cannot be read is no build.
std::optional<stored_build> build_in(build_row r);

/// The live build, or the next one, if there is one and it is whole. Points into `all`.
const stored_build* find(const stored_builds& all, bool live);

/// What store::look() says of them.
builds builds_in(const stored_builds& all);

/// A new build of a plan, as it is written. With hooks there is no bulk: they may ask for rows by their key.
build new_build(const plan& p, bool live, position start, std::uint64_t bulk_until);

// --- what a call finds ---

/// errc::conflict: the next build is not the one that begin() was told of.
result<void> expect_next(const stored_builds& all, const std::string& view, std::uint64_t expected);

/// Those that a new build replaces: the next one, and a live one that has lost tables.
std::vector<stored_build> replaced(const stored_builds& all);

/// Names that a build of this plan has, or will have, and that no build of the view has yet.
std::vector<std::string> new_names(const plan& p, const stored_builds& ours);
/// A table with such a name stands there already.
error foreign_table(const plan& p, const std::string& name);

/// The build when it is of this plan; errc::conflict else.
result<stored_build> expect_build(const plan& p, std::uint64_t number, std::optional<stored_build> found);

/// errc::not_found: the view has no live build. `p`: errc::conflict if it was built from another definition.
result<stored_build> expect_live(const stored_builds& all, const std::string& view);
result<stored_build> expect_live(const stored_builds& all, const plan& p);
error no_such_view(const std::string& view);

/// The position after a batch; errc::conflict: another process has moved it.
result<position> expect_position(const plan& p, const position& stored, const position& previous, const position& next);

/// How far a next build is, once these partitions have caught up, too.
struct readiness {
  std::vector<std::string> caught_up;
  bool complete = false;
};
/// errc::conflict: the build is live already. errc::refused: its bulk has not ended.
result<readiness> readiness_of(const plan& p, const stored_build& b, const std::vector<std::string>& partitions,
                               const std::vector<std::string>& all_partitions);

}  // namespace recordkv::view
