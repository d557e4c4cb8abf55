#include "sql/stored_build.hpp"

#include "sql/position_text.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace recordkv::view {

std::optional<stored_build> build_in(build_row r) {
  auto counted = parse_names(r.counters);
  auto seq = parse_seq(r.seq);
  auto ready = parse_names(r.ready);
  if (!counted || !seq || !ready) return std::nullopt;
  return stored_build{.view = std::move(r.view),
                      .of = {.number = r.number,
                             .live = r.live,
                             .hash = std::move(r.hash),
                             .definition = std::move(r.definition),
                             .at = {std::move(r.created), r.generation, std::move(*seq)},
                             .bulk_until = r.bulk_until},
                      .counted = std::move(*counted),
                      .ready = std::move(*ready),
                      .wanted = r.wanted};
}

const stored_build* find(const stored_builds& all, bool live) {
  const auto at = std::ranges::find_if(all, [&](const stored_build& b) { return b.whole && b.of.live == live; });
  return at == all.end() ? nullptr : &*at;
}

builds builds_in(const stored_builds& all) {
  builds out;
  for (const auto& b : all) {
    if (!b.whole) continue;
    (b.of.live ? out.live : out.next) = b.of;
    out.rebuild_wanted = out.rebuild_wanted || b.wanted;
  }
  return out;
}

build new_build(const plan& p, bool live, position start, std::uint64_t bulk_until) {
  return {.live = live,
          .hash = p.hash(),
          .definition = p.definition,
          .at = std::move(start),
          .bulk_until = p.has_hooks() ? 0 : bulk_until};
}

result<void> expect_next(const stored_builds& all, const std::string& view, std::uint64_t expected) {
  const auto* const next = find(all, false);
  if ((next != nullptr ? next->of.number : 0) == expected) return {};
  return fail(errc::conflict, "view {} has another next build by now: another process has begun one", view);
}

std::vector<stored_build> replaced(const stored_builds& all) {
  const bool live = find(all, true) != nullptr;
  std::vector<stored_build> out;
  for (const auto& b : all)
    if (!b.of.live || !live) out.push_back(b);
  return out;
}

std::vector<std::string> new_names(const plan& p, const stored_builds& ours) {
  std::set<std::string> own;
  for (const auto& b : ours)
    for (auto& t : b.names().tables()) own.insert(std::move(t));
  std::vector<std::string> out;
  for (const bool live : {true, false})
    for (auto& t : naming(p, 0, live).tables())
      if (!own.contains(t)) out.push_back(std::move(t));
  return out;
}

error foreign_table(const plan& p, const std::string& name) {
  return fail(errc::mismatch, "table {} exists and is not of view {}; rename the view in {}, or drop the table", name,
              p.name, p.file);
}

result<stored_build> expect_build(const plan& p, std::uint64_t number, std::optional<stored_build> found) {
  if (found && found->view == p.name && found->of.hash == p.hash()) return std::move(*found);
  return fail(errc::conflict, "build {} of view {} is no longer there: another process has rebuilt it", number, p.name);
}

error no_such_view(const std::string& view) {
  return fail(errc::not_found, "there is no view {} in the database", view);
}

result<stored_build> expect_live(const stored_builds& all, const std::string& view) {
  const auto* const live = find(all, true);
  if (live == nullptr) return no_such_view(view);
  return *live;
}

result<stored_build> expect_live(const stored_builds& all, const plan& p) {
  auto live = expect_live(all, p.name);
  if (live && live->of.hash != p.hash())
    return fail(errc::conflict, "view {} was built from another definition; try again once it is rebuilt", p.name);
  return live;
}

result<position> expect_position(const plan& p, const position& stored, const position& previous,
                                 const position& next) {
  if (auto to = moved(stored, previous, next)) return std::move(*to);
  return fail(errc::conflict,
              "view {} is no longer where this process left it: another one writes to it, or rebuilt it", p.name);
}

result<readiness> readiness_of(const plan& p, const stored_build& b, const std::vector<std::string>& partitions,
                               const std::vector<std::string>& all_partitions) {
  if (b.of.live) return fail(errc::conflict, "build {} of view {} is the live one already", b.of.number, p.name);
  if (b.of.bulk_until != 0)
    return fail(errc::refused, "build {} of view {} is still being loaded in bulk; end that first", b.of.number,
                p.name);
  std::set<std::string> done(b.ready.begin(), b.ready.end());
  done.insert(partitions.begin(), partitions.end());
  const bool complete = std::ranges::all_of(all_partitions, [&](const auto& label) { return done.contains(label); });
  return readiness{{done.begin(), done.end()}, complete};
}

}  // namespace recordkv::view
