#include "account_text.hpp"

#include "recordkv/core/timestamp.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace recordkv::cli {
namespace {

constexpr bool is_control(unsigned char c) { return c < 0x20 || c == 0x7F; }

// A column of one word: programs split lines at spaces.
std::string word(std::string_view text) {
  if (text.empty()) return "-";
  std::string out(text);
  std::ranges::replace_if(out, [](unsigned char c) { return c <= 0x20 || c >= 0x7F; }, '?');
  return out;
}

std::string age(double seconds) {
  if (seconds < 0) return "in the future, by this machine's clock";
  if (seconds < 120) return fmt::format("{:.0f} s ago", std::floor(seconds));
  if (seconds < 120 * 60) return fmt::format("{:.0f} min ago", std::floor(seconds / 60));
  if (seconds < 48 * 3600) return fmt::format("{:.0f} h ago", std::floor(seconds / 3600));
  return fmt::format("{:.0f} days ago", std::floor(seconds / 86'400));
}

std::string until(double seconds) {
  if (seconds <= 0) return "due";
  if (seconds < 120) return fmt::format("in {:.0f} s", std::ceil(seconds));
  return fmt::format("in {:.0f} min", std::ceil(seconds / 60));
}

std::string to_the_second(std::int64_t at) { return timestamp_of(double(at)).substr(0, 19) + "Z"; }

std::string ago(std::int64_t at, double now) {
  return fmt::format("{} ({})", age(now - double(at)), to_the_second(at));
}

// What a status means for the account's records. Empty: the word says it.
std::string_view meaning(std::string_view status) {
  if (status == "desynchronised") return "records may be missing or stale";
  if (status == "inactive") return "its PDS says that it is not active; its events are ignored";
  if (status == "removing") return "the account was deleted; its records are being removed";
  if (status == "deleted") return "the account was deleted, and all its records are removed";
  if (status == "removed") return "by `recordkv repo remove`; its events are ignored until `recordkv repo add`";
  return {};
}

std::string status_line(const kv::repo_state& s, account_rules rules) {
  std::string out(status_of(s, rules));
  if (out != s.status && !s.status.empty())
    return out + ": none of its commits was verified, and kv.verify is \"full\"";
  const auto means = meaning(out);
  return means.empty() ? out : fmt::format("{}: {}", out, means);
}

bool may_have_records(const kv::repo_state& s) { return s.status != "deleted" && s.status != "removed"; }

bool is_inactive(const kv::repo_state& s) {
  return !s.upstream_status.empty() || s.status == "inactive" || s.status == "removing" || s.status == "deleted";
}

std::string key_line(const kv::repo_state& s, double now) {
  if (s.key.empty())
    return s.key_checked == 0 ? "not known" : "not known; asked for " + age(now - double(s.key_checked));
  if (s.key_checked == 0) return s.key + ", never looked up";
  return fmt::format("{}, looked up {}", s.key, ago(s.key_checked, now));
}

// Named lines, one below the other.
class page {
 public:
  void line(std::string_view name, std::string_view text) {
    text_ += fmt::format("{:<16} {}\n", name, on_one_line(text));
  }
  void known(std::string_view name, std::string_view text) {
    if (!text.empty()) line(name, text);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void add_repair(page& p, const kv::repo_state& s, double now) {
  if (s.removing_since != 0) p.line("deletion event", ago(s.removing_since, now));
  p.line("last resync", s.resynced == 0 ? "never" : ago(s.resynced, now));
  if (s.tries != 0) p.line("failed tries", fmt::format("{} since the last success", s.tries));
  if (s.next_try != 0)
    p.line("next try", fmt::format("{} ({})", until(double(s.next_try) - now), to_the_second(s.next_try)));
}

}  // namespace

std::string_view status_of(const kv::repo_state& s, account_rules rules) noexcept {
  if (s.status == "synchronised" && rules.verified_only && !s.verified) return "desynchronised";
  return s.status.empty() ? std::string_view("unknown") : s.status;
}

bool selects(std::string_view word, const kv::repo_state& s, account_rules rules) noexcept {
  if (word.empty()) return true;
  if (word == "incomplete") return !s.complete && may_have_records(s);
  if (word == "unverified") return !s.verified && may_have_records(s);
  if (word == "inactive") return is_inactive(s);
  if (word == "followed") return s.followed;
  return status_of(s, rules) == word;
}

std::string counted_accounts(std::uint64_t n) { return fmt::format("{} account{}", n, n == 1 ? "" : "s"); }

std::string account_line(const kv::repo_state& s, account_rules rules) {
  return fmt::format("{:<32}  {:<14}  {:<11}  {:<13}  {:<10}  {:<10}  {}", word(s.did), word(status_of(s, rules)),
                     s.upstream_status.empty() ? "active" : word(s.upstream_status), word(s.rev),
                     s.complete ? "complete" : "incomplete", s.verified ? "verified" : "unverified",
                     word(s.reasons.empty() ? std::string_view{} : s.reasons.front()));
}

std::string account_page(const kv::repo_state& s, account_rules rules, std::string_view written, double now) {
  page p;
  p.line("account", s.did);
  p.line("handle", s.handle.empty() ? "not known" : s.handle + " (as its DID document says; not checked)");
  p.line("pds", s.pds.empty() ? "not known" : s.pds);
  p.line("status", status_line(s, rules));
  p.known("error", s.error);
  if (!s.reasons.empty()) p.line("reasons", fmt::format("{}", fmt::join(s.reasons, ", ")));
  add_repair(p, s, now);
  p.line("upstream", s.upstream_status.empty() ? "active" : s.upstream_status);
  p.line("followed", s.followed ? "yes: in full" : "no: only what comes");
  p.line("verified", s.verified ? "yes" : "no: as the source sent it");
  p.line("complete", s.complete ? "yes" : "no: only what has come since its records begin");
  p.known("begun with rev", s.begun);
  p.known("stored rev", s.rev);
  p.known("newest rev seen", s.seen);
  p.known("tree root", s.data);
  p.line("key", key_line(s, now));
  if (!s.collections.empty()) p.line("collections", fmt::format("{}", fmt::join(s.collections, ", ")));
  p.known("filter", s.filter);
  p.line("stored up to", fmt::format("sequence {} of the store", s.at));
  p.known("written", written);
  return p.take();
}

// Control characters of ISO 8859-1 are two bytes in UTF-8: 0xC2, then 0x80 to 0x9F. Terminals obey them as well.
std::string on_one_line(std::string_view text) {
  std::string out(text);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto c = static_cast<unsigned char>(out[i]);
    const auto next = static_cast<unsigned char>(i + 1 < out.size() ? out[i + 1] : 0);
    if (is_control(c)) out[i] = ' ';
    if (c == 0xC2 && next >= 0x80 && next < 0xA0) out[i] = out[i + 1] = ' ';
  }
  return out;
}

void account_counts::add(const kv::repo_state& s, account_rules rules) noexcept {
  ++accounts;
  for (const auto& [word, n] : {std::pair{"desynchronised", &desynchronised},
                                {"incomplete", &incomplete},
                                {"unverified", &unverified},
                                {"inactive", &inactive},
                                {"followed", &followed},
                                {"removing", &removing},
                                {"deleted", &deleted},
                                {"removed", &removed}})
    if (selects(word, s, rules)) ++*n;
}

std::string account_counts::text() const {
  auto out = fmt::format("{}: {} desynchronised, {} incomplete, {} unverified, {} inactive", counted_accounts(accounts),
                         desynchronised, incomplete, unverified, inactive);
  for (const auto& [n, word] :
       {std::pair{followed, "followed"}, {removing, "removing"}, {deleted, "deleted"}, {removed, "removed"}})
    if (n > 0) out += fmt::format(", {} {}", n, word);
  if (unreadable > 0) out += fmt::format("; {} more can't be read", unreadable);
  return out;
}

}  // namespace recordkv::cli
