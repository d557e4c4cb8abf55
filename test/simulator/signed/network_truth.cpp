#include "network_truth.hpp"

#include "cbor_json.hpp"

#include <fmt/format.h>
#include <boost/json.hpp>

#include <algorithm>
#include <deque>
#include <vector>

namespace recordkv::sim {
namespace {

struct line {
  std::string key;
  std::string rest;
  bool live;
};

line line_of(const account& a, std::string_view path, unsigned partitions) {
  const std::size_t slash = path.find('/');
  return {.key = key_of(a.did, path.substr(0, slash), path.substr(slash + 1), partitions), .rest = {}, .live = false};
}

line live_line(const account& a, const record& r, unsigned partitions, bool settled) {
  line out = line_of(a, r.path, partitions);
  out.live = true;
  std::string cid;
  r.cid.append_text(cid);
  out.rest = fmt::format("live\tat://{}/{}\t{}\t{}\t{}\t{}\t{}", a.did, r.path, cid, tid_text(r.rev),
                         settled     ? "settled"
                         : r.updated ? "update"
                                     : "create",
                         r.time_us, json_of(r.cbor));
  return out;
}

void add_lines(std::vector<line>& out, const account& a, unsigned partitions, std::uint64_t base_us, bool with_early) {
  a.repo.records.visit([&](const record& r) {
    const bool early = r.time_us < base_us;
    if (!r.bad && (with_early || !early)) out.push_back(live_line(a, r, partitions, early));
  });
  for (const auto& [path, gone] : a.removed) {
    line one = line_of(a, path, partitions);
    one.rest = fmt::format("deleted\tat://{}/{}\t\t{}\tdelete\t{}\t", a.did, path, tid_text(gone.rev), gone.time_us);
    out.push_back(std::move(one));
  }
}

std::string text_of(const cid& c) {
  std::string out;
  c.append_text(out);
  return out;
}

std::string faults_json(const account& a) {
  std::string out = "[";
  for (unsigned i = 0; i <= static_cast<unsigned>(fault::disconnect); ++i) {
    if ((a.faults >> i & 1) == 0) continue;
    if (out.size() > 1) out += ',';
    out.append("\"").append(name(static_cast<fault>(i))).append("\"");
  }
  return out + "]";
}

}  // namespace

void write_truth(std::ostream& out, network& n, unsigned partitions, std::uint64_t events) {
  std::vector<line> lines;
  const bool with_early = n.accounts().rules().alike == 0;  // else they are too many
  for (std::uint32_t i = 0; i < n.accounts().size(); ++i) {
    const account& a = with_early ? n.accounts().at(i) : n.accounts().peek(i);
    if (a.exists && a.status == account_status::active) add_lines(lines, a, partitions, n.rules().base_us, with_early);
  }
  std::ranges::sort(lines, {}, &line::key);
  const auto live = std::ranges::count(lines, true, &line::live);
  const parameters& p = n.rules();
  out << fmt::format(
      "# seed={} accounts={} churn={} base_us={} step_us={} partitions={} events={} live={} deleted={}\n", p.seed,
      p.accounts, p.churn, p.base_us, p.step_us, partitions, events, live,
      static_cast<std::ptrdiff_t>(lines.size()) - live);
  for (const line& l : lines) out << l.key << '\t' << l.rest << '\n';
}

liked_posts popular(network& n, std::size_t count) {
  struct text {
    std::string uri, json;
    collection where;
  };
  std::deque<text> texts;
  for (std::uint32_t i = 0; i < n.accounts().size(); ++i) {
    const account& a = n.accounts().peek(i);
    if (a.status != account_status::active) continue;
    a.repo.records.visit([&](const record& r) {
      for (const collection c : {collection::post, collection::like})
        if (!r.bad && r.path.substr(0, r.path.find('/')) == nsid(c))
          texts.push_back({fmt::format("at://{}/{}", a.did, r.path), json_of(r.cbor), c});
    });
  }
  std::vector<seen_record> live;
  for (const text& t : texts) live.push_back({t.uri, t.where, t.json});
  return popular_posts(live, count);
}

std::string account_json(const accounts& all, const account& a, bool with_records) {
  std::string records;
  std::size_t count = 0;
  a.repo.records.visit([&](const record& r) {
    ++count;
    if (!with_records) return;
    records.append(records.empty() ? "" : ",");
    records += fmt::format(R"({{"path":"{}","cid":"{}","value":{}}})", r.path, text_of(r.cid),
                           r.bad ? "null" : json_of(r.cbor));
  });
  std::string out = fmt::format(
      R"({{"did":"{}","handle":"{}","pds":"{}","key":"{}","status":"{}","rev":"{}","data":"{}","commit":"{}",)", a.did,
      all.handle_of(a), all.pds_url(a), all.key_of(a).multikey(), name(a.status), tid_text(a.repo.rev),
      text_of(a.repo.data), text_of(a.repo.commit));
  out += fmt::format(R"("expect":"{}","repaired":"{}","faults":{},"records":)", expectation(a), repaired_expectation(a),
                     faults_json(a));
  return out + (with_records ? "[" + records + "]}" : fmt::format("{}}}", count));
}

void write_accounts(std::ostream& out, network& n) {
  for (std::uint32_t i = 0; i < n.accounts().size(); ++i) {
    const account& a = n.accounts().at(i);
    if (a.exists) out << account_json(n.accounts(), a, false) << '\n';
  }
}

}  // namespace recordkv::sim
