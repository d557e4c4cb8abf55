#include "accounts.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace recordkv::sim {
namespace {

// The seeds of what is drawn for an account, apart from those of the world.
constexpr std::uint64_t settled_salt = 0x5e771ed, curve_salt = 0xc0e5, forger_salt = 0xf0e6e5;

std::uint32_t percent(std::uint64_t seed, std::uint32_t number) { return draw(mix(seed), number).below(100); }

collection early_collection(draw& d) {
  constexpr std::array kinds = {collection::like,   collection::like,   collection::like, collection::post,
                                collection::repost, collection::follow, collection::like, collection::like_extra};
  return kinds[d.below(kinds.size())];
}

}  // namespace

std::string_view name(account_status s) noexcept {
  constexpr std::array<std::string_view, 5> names = {"active", "deactivated", "takendown", "suspended", "deleted"};
  return names[static_cast<std::size_t>(s)];
}

accounts::accounts(const world& w, signed_parameters p)
    : seed_(w.rules().seed),
      base_us_(w.rules().base_us),
      rules_(std::move(p)),
      all_(w.rules().accounts),
      shared_trees_(rules_.alike) {
  by_did_.reserve(all_.size());
  for (std::uint32_t n = 0; n < size(); ++n) {
    account& a = all_[n];
    a.number = n;
    a.did = n < rules_.web_dids.size() ? rules_.web_dids[n] : std::string(w.did(n));
    a.bridged = bridged(n);
    a.curve = percent(seed_ ^ curve_salt, n) < rules_.p256 ? curve::p256 : curve::k256;
    a.exists = percent(seed_ ^ settled_salt, n) < rules_.settled;
    by_did_.emplace(a.did, n);
  }
}

account& accounts::at(std::uint32_t number) {
  account& a = all_[number];
  if (a.exists && a.repo.rev == 0) settle(a);
  return a;
}

account* accounts::find(std::string_view did) {
  const auto found = by_did_.find(did);
  return found == by_did_.end() ? nullptr : &at(found->second);
}

account* accounts::with_handle(std::string_view handle) {
  std::uint32_t number = 0;
  if (!handle.starts_with('u')) return nullptr;
  std::from_chars(handle.data() + 1, handle.data() + handle.size(), number);
  if (number >= size() || handle_of(all_[number]) != handle) return nullptr;
  return &at(number);
}

signing_key accounts::key_of(const account& a, std::uint32_t generation) const {
  return signing_key::of(seed_, a.number, generation, a.curve);
}

signing_key accounts::forgers_key(const account& a) const {
  return signing_key::of(seed_ ^ forger_salt, a.number, 0, a.curve);
}

commit_author accounts::author_of(const account& a) const {
  return {.did = a.did, .curve = a.curve, .key = key_of(a), .names_prev = a.bridged};
}

std::string accounts::handle_of(const account& a) const {
  if (a.handles == 0) return fmt::format("u{}.sim.test", a.number);
  return fmt::format("u{}-{}.sim.test", a.number, a.handles);
}

std::string accounts::document(account& a) {
  std::uint32_t generation = a.generation;
  if (a.late_answers > 0) --a.late_answers, --generation;
  return did_document(a.did, handle_of(a), key_of(a, generation).multikey(), pds_url(a));
}

std::optional<account_status> accounts::status_at(std::size_t pds, const account& a) const noexcept {
  if (!a.exists || a.status == account_status::deleted) return std::nullopt;
  if (pds == pds_of(a)) return a.status;
  if (a.moves > 0 && pds == pds_after(a, a.moves - 1)) return account_status::deactivated;
  return std::nullopt;
}

void accounts::settle(account& a) {
  // before everything in the stream; bridged accounts count from 1970
  const std::uint64_t rev = a.bridged ? (5'000'000 + std::uint64_t{a.number}) << 10 : (base_us_ - 1'000'000) << 10;
  a.repo = commit({.records = early_tree(a, rev)}, {}, rev, author_of(a)).after;
  a.generations = {{0, 0}};
}

// A tree shares its nodes with its copies, so accounts that start alike cost little time and memory. A bridged account
// has other revs, and so its own records.
tree accounts::early_tree(const account& a, std::uint64_t rev) {
  tree own;
  const bool shares = !a.bridged && !shared_trees_.empty();
  tree& made = shares ? shared_trees_[a.number % shared_trees_.size()] : own;
  if (!made.empty()) return made;
  for (change& c : early_records(a, rev)) made.put(std::move(c.value));
  return made;
}

std::uint32_t accounts::share_of_likes(const account& a) const noexcept {
  return rules_.likes / size() + (a.number < rules_.likes % size() ? 1 : 0);
}

std::vector<change> accounts::early_records(const account& a, std::uint64_t rev) {
  draw d(seed_ ^ settled_salt, a.number);
  record_writer w;
  std::string rkey;
  std::vector<change> out;
  const std::uint32_t others = rules_.records;
  for (std::uint32_t i = 0; i < others + share_of_likes(a); ++i) {
    const collection where = i >= others ? collection::like : i == 0 ? collection::profile : early_collection(d);
    const std::uint64_t time_us = base_us_ - 1'000'000 * (2 + std::uint64_t{i}) - d.below(1'000'000);
    post_ref post{.account = d.below(size()), .tid = (time_us - 1'000'000) << 10};
    for (auto& byte : post.cid.hash) byte = static_cast<unsigned char>(d.next());
    const setting s{.author = a.did,
                    .other = all_[d.below(size())].did,
                    .post_author = all_[post.account].did,
                    .post = post,
                    .time_us = time_us};
    w.clear();
    write_record(w, where, s, d);
    write_rkey(rkey, where, time_us << 10);
    auto r = std::make_shared<record>(
        record{.path = fmt::format("{}/{}", nsid(where), rkey), .cid = w.cid(), .cbor = w.cbor(), .rev = rev});
    r->time_us = time_us;
    out.push_back({r->path, r});
  }
  return out;
}

std::string did_document(std::string_view did, std::string_view handle, std::string_view multikey,
                         std::string_view pds) {
  return fmt::format(
      R"({{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1"],"id":"{0}",)"
      R"("alsoKnownAs":["at://{1}"],"verificationMethod":[{{"id":"{0}#atproto","type":"Multikey","controller":"{0}",)"
      R"("publicKeyMultibase":"{2}"}}],"service":[{{"id":"#atproto_pds","type":"AtprotoPersonalDataServer",)"
      R"("serviceEndpoint":"{3}"}}]}})",
      did, handle, multikey, pds);
}

}  // namespace recordkv::sim
