// Random histories: whatever order, batches, shares, builds and crashes, rows, counters and rejects are the fold.
#include "view_fixture.hpp"

#include <map>
#include <random>
#include <set>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;

namespace {

/// What the store would hold: the newest change of each key, kept by the test in its own words.
struct fold {
  std::map<std::pair<std::string, std::string>, change> newest;

  lines table(bool many) const {
    lines out;
    for (const auto& [key, c] : newest)
      for (std::size_t i = 0; i < c.rows.size(); ++i) {
        auto line = key.first + " " + key.second + (many ? " " + std::to_string(i) : "");
        for (const auto& value : c.rows[i]) line += " " + shown(value);
        out.push_back(line);
      }
    return out;
  }

  /// "value count", the largest count first.
  lines counts() const {
    std::map<std::string, int> by;
    for (const auto& [key, c] : newest)
      for (const auto& r : c.rows)
        if (const auto* s = std::get_if<std::string>(&r[0])) ++by[*s];
    std::set<std::pair<int, std::string>> ordered;
    for (const auto& [value, n] : by) ordered.emplace(-n, value);
    lines out;
    for (const auto& [n, value] : ordered) out.push_back(fmt::format("{} {}", value, -n));
    return out;
  }

  lines rejects() const {
    std::set<std::pair<std::uint64_t, std::string>> ordered;
    for (const auto& [key, c] : newest)
      if (!c.rejection_reason.empty())
        ordered.emplace(c.seq,
                        fmt::format("at://{}/{}/{} {} {}", c.did, c.collection, c.rkey, c.rejection_reason, c.seq));
    lines out;
    for (const auto& [seq, line] : ordered) out.push_back(line);
    return out;
  }
};

class history {
 public:
  history(unsigned seed, bool many) : random_(seed), many_(many) {}

  std::vector<change> batch() {
    std::vector<change> out;
    for (auto n = upto(12); n > 0; --n) out.push_back(one());
    return out;
  }
  std::size_t upto(std::size_t n) { return random_() % n; }

 private:
  change one() {
    auto did = fmt::format("did:{}", upto(3));
    auto rkey = fmt::to_string(upto(4));
    const auto seq = ++seq_;
    const auto what = upto(10);
    change c = del(did, rkey);
    if (what == 0) c = rejected(did, rkey, fmt::format("wrong{}", upto(2)));
    if (what > 3) {
      std::vector<std::string> values;
      for (auto n = upto(4); n > 0; --n) values.push_back(upto(4) == 0 ? "" : fmt::format("v{}", upto(3)));
      c = many_ ? tagged(did, rkey, values) : put(did, rkey, fmt::format("v{}", upto(3)));
    }
    c.seq = seq;
    return c;
  }

  std::mt19937 random_;
  bool many_;
  std::uint64_t seq_ = 0;
};

void check(const directory& d, const plan& p, const fold& f) {
  const auto counter = p.many() ? "tags_by_tag" : "likes_by_subject";
  CHECK(rows(d, p.name) == f.table(p.many()));
  CHECK(rows(d, counter) == f.counts());
  CHECK(rows(d, p.name + "_rejects") == f.rejects());
}

/// One history: live batches, and now and then a rebuild in bulk with the fold as it stands. Now and then a store goes,
/// or its files are found as a power cut would have left them.
void live_through(unsigned seed, bool many) {
  history h(seed, many);
  const plan p = many ? tags() : likes();
  auto d = std::make_unique<directory>();
  auto s = must_open(*d);
  auto number = must_live(*s, p, at(0));
  fold f;
  std::uint64_t place = 0;
  for (int step = 0; step < 25; ++step) {
    const auto batch = h.batch();
    const auto next = place + 1;
    must(run(s->apply(p, number, batch, at(place), at(next))));
    for (const auto& c : batch) f.newest[{c.did, c.rkey}] = c;
    place = next;
    check(*d, p, f);
    const auto chance = h.upto(6);
    if (chance == 0) s = must_open(*d);
    if (chance == 1) {
      auto image = std::make_unique<directory>();
      std::filesystem::copy(d->path, image->path, std::filesystem::copy_options::recursive);
      s = must_open(*image);
      d = std::move(image);
    }
    if (chance == 2) {
      const auto b = must(run(s->begin(p, at(0), place, 0)));
      std::vector<change> all;
      for (const auto& [key, c] : f.newest) all.push_back(c);
      must(run(s->apply(p, b.number, all, at(0), at(place))));
      if (h.upto(2) == 0) s = must_open(*d);
      check(*d, p, f);
      must(run(s->end_bulk(p, b.number)));
      must(run(s->ready(p, b.number, {"0"}, {"0"})));
      number = b.number;
    }
    check(*d, p, f);
  }
}

}  // namespace

TEST_CASE("random histories: rows, counters and rejects are the fold after every batch") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    live_through(seed, false);
    live_through(seed, true);
  }
}

TEST_CASE("counters follow every writer: a shell, another program") {
  const directory d;
  auto s = must_open(d);
  const plan p = tags();
  const auto n = must_live(*s, p);
  must(run(s->apply(p, n, {tagged("a", "1", {"x", "y", ""}), tagged("b", "1", {"x"})}, {}, at(1))));
  const other shell(d);
  const auto agree = [&] {
    return shell.ask("SELECT tag || count FROM tags_by_tag ORDER BY tag") ==
           shell.ask("SELECT tag || count(*) FROM tags WHERE tag IS NOT NULL GROUP BY tag ORDER BY tag");
  };
  for (const auto* const sql : {"UPDATE tags SET tag = 'z'", "UPDATE tags SET tag = NULL WHERE idx = 0",
                                "UPDATE tags SET tag = 'x' WHERE tag IS NULL", "DELETE FROM tags WHERE did = 'a'",
                                "INSERT INTO tags VALUES ('c', 'c', 'c', 0, 'w'), ('c', 'c', 'c', 1, NULL)",
                                "UPDATE tags SET rkey = 'd'", "DELETE FROM tags"}) {
    shell.run(sql);
    INFO(sql);
    CHECK(agree());
  }
}
