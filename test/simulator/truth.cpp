#include "truth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace recordkv::sim {

void truth::fold(const step& s, std::string_view did, std::size_t count) {
  if (s.kind != step_kind::commit) return;
  for (std::size_t i = 0; i < std::min(count, s.ops.size()); ++i) {
    const op& o = s.ops[i];
    entry& e = keys_[key_of(did, nsid(o.where), o.rkey, partitions_)];
    if (e.uri.empty()) e.uri = fmt::format("at://{}/{}/{}", did, nsid(o.where), o.rkey);
    live_ += (o.what != action::remove);
    live_ -= (e.last != action::remove);
    e.last = o.what;
    e.where = o.where;
    e.rev = s.rev;
    e.time_us = o.time_us;
    e.record = o.record;
    e.cid.clear();
    if (o.what != action::remove) o.cid.append_text(e.cid);
  }
}

void truth::write(std::ostream& out, const parameters& p, std::uint64_t events) const {
  out << fmt::format(
      "# seed={} accounts={} churn={} base_us={} step_us={} partitions={} events={} live={} deleted={}\n", p.seed,
      p.accounts, p.churn, p.base_us, p.step_us, partitions_, events, live(), deleted());
  std::vector<const std::pair<const std::string, entry>*> sorted;
  sorted.reserve(keys_.size());
  for (const auto& item : keys_) sorted.push_back(&item);
  std::ranges::sort(sorted, {}, [](const auto* item) -> const std::string& { return item->first; });
  for (const auto* item : sorted) {
    const auto& [key, e] = *item;
    out << key << (e.last == action::remove ? "\tdeleted\t" : "\tlive\t") << e.uri << '\t' << e.cid << '\t'
        << tid_text(e.rev) << '\t' << name(e.last) << '\t' << e.time_us << '\t' << e.record << '\n';
  }
}

liked_posts truth::popular(std::size_t count) const {
  std::vector<seen_record> live;
  for (const auto& [key, e] : keys_)
    if (e.last != action::remove) live.push_back({e.uri, e.where, e.record});
  return popular_posts(live, count);
}

liked_posts popular_posts(const std::vector<seen_record>& live, std::size_t count) {
  std::unordered_map<std::string_view, std::set<std::string_view>> likers;
  for (const seen_record& r : live)
    if (r.where == collection::post) likers.try_emplace(r.uri);
  for (const seen_record& r : live) {
    if (r.where != collection::like) continue;
    // our own text, so its form is known; the last one is the subject's, an earlier one "via"
    const std::size_t from = r.json.rfind(R"("uri":"at://)");
    if (from == std::string_view::npos) continue;
    const auto uri = r.json.substr(from + 7, r.json.find('"', from + 7) - from - 7);
    const auto post = likers.find(uri);
    if (post != likers.end()) post->second.insert(r.uri.substr(5, r.uri.find('/', 5) - 5));
  }
  liked_posts out;
  for (const auto& [uri, dids] : likers) out.emplace_back(uri, std::vector<std::string>(dids.begin(), dids.end()));
  std::ranges::sort(out, [](const auto& a, const auto& b) {
    return a.second.size() != b.second.size() ? a.second.size() > b.second.size() : a.first < b.first;
  });
  if (out.size() > count) out.resize(count);
  return out;
}

// A few likers of each post tell a reader where to look; a popular post has hundreds.
void print_tour(const liked_posts& posts) {
  constexpr std::size_t max_likers = 5;
  for (const auto& [uri, dids] : posts) {
    const auto shown = std::min(dids.size(), max_likers);
    fmt::print("post {} likes {}\n", uri, dids.size());
    for (std::size_t i = 0; i < shown; ++i) fmt::print("  liked by {}\n", dids[i]);
    if (shown < dids.size()) fmt::print("  … and {} more\n", dids.size() - shown);
  }
}

truth truth_after(const parameters& p, std::uint64_t events, unsigned partitions) {
  truth out(partitions);
  world w(p);
  for (std::uint64_t done = 0; done < events;) {
    const step& s = w.next();
    const std::uint64_t count = std::min(s.events(), events - done);
    out.fold(s, w.did(s.account), count);
    done += count;
  }
  return out;
}

}  // namespace recordkv::sim
