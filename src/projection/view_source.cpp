#include "recordkv/projection/view_source.hpp"

#include "recordkv/atproto/syntax.hpp"
#include "recordkv/kv/repo_state.hpp"

#include <algorithm>
#include <array>

namespace recordkv::projection {

/// One row for each view::source. Keys are without the bucket's prefix.
struct view_source::traits {
  view::source of;
  std::string (*bucket)(const kv::store_names&);
  nats::stream_state kv::opened_store::* state;
  void (*add_filters)(const view::plan&, std::string_view prefix_and_label, std::vector<std::string>& into);
  std::optional<kv::record_key> (*key_of)(std::string_view key, unsigned partitions);
  std::string (*text_of)(const kv::record_key&);
  bool has_records;  ///< a key has a collection and a record key
  std::string_view stray;
};

namespace {

// Every DID, NSID and record key consists of these characters. (atproto::is_did and the others check more, at five
// times the cost.) A database may not accept other bytes as text: PostgreSQL refuses NUL and invalid UTF-8.
bool visible(std::string_view s) {
  return std::ranges::all_of(s, [](char c) { return c > ' ' && c <= '~'; });
}

// --- records ---

void add_record_filters(const view::plan& p, std::string_view before, std::vector<std::string>& into) {
  for (std::string_view c : p.collections) {
    const bool exact = !c.ends_with('*');
    if (!exact) c.remove_suffix(std::min<std::size_t>(c.size(), 2));  // ".*", or "*" alone
    into.push_back(fmt::format("{}{}{}{}", before, c.empty() ? "" : ".", c, exact ? ".*.*" : ".>"));
  }
}

std::optional<kv::record_key> record_of(std::string_view text, unsigned partitions) {
  auto key = kv::record_key::parse(text);
  if (!key || !visible(key->did) || !visible(key->collection) || !visible(key->rkey) ||
      key->partition != kv::partition_of(key->did, partitions) || key->text() != text)
    return std::nullopt;
  return key;
}

// --- accounts ---

void add_account_filters(const view::plan&, std::string_view before, std::vector<std::string>& into) {
  into.push_back(fmt::format("{}.*", before));
}

std::optional<kv::record_key> account_of(std::string_view text, unsigned partitions) {
  const auto encoded = kv::account_of_repo_key(text);
  if (encoded.empty()) return std::nullopt;
  kv::record_key key{.partition = std::string(text.substr(0, text.find('.'))),
                     .collection = {},
                     .did = kv::decode_part(encoded),
                     .rkey = {}};
  if (!visible(key.did) || kv::repo_key(key.did, partitions) != text) return std::nullopt;
  return key;
}

std::string account_text(const kv::record_key& key) { return key.partition + "." + kv::encode_part(key.did); }

/// In the order of view::source. Bucket `repo` has other keys beside the accounts': `want.*`, `at.*`.
constexpr std::array<view_source::traits, 2> rows{{
    {view::source::records, [](const kv::store_names& n) { return n.bucket(); }, &kv::opened_store::store,
     add_record_filters, record_of, [](const kv::record_key& k) { return k.text(); }, true, "not_a_record"},
    {view::source::accounts, [](const kv::store_names& n) { return n.repo(); }, &kv::opened_store::repo,
     add_account_filters, account_of, account_text, false, ""},
}};
static_assert(rows[0].of == view::source::records && rows[1].of == view::source::accounts);

}  // namespace

view_source::view_source(view::source of, const kv::store_names& names, unsigned partitions)
    : of_(&rows[static_cast<std::size_t>(of)]),
      stream_(kv::store_names::stream_of(of_->bucket(names))),
      prefix_("$KV." + of_->bucket(names) + "."),
      partitions_(partitions) {}

const nats::stream_state& view_source::state_in(const kv::opened_store& store) const noexcept {
  return store.*of_->state;
}

std::vector<std::string> view_source::subjects(const view::plan& p, const std::vector<std::string>& labels) const {
  std::vector<std::string> out;
  for (const auto& label : labels) of_->add_filters(p, prefix_ + label, out);
  return out;
}

std::optional<kv::record_key> view_source::key_of(std::string_view subject) const {
  return of_->key_of(subject.substr(std::min(prefix_.size(), subject.size())), partitions_);
}

std::optional<kv::record_key> view_source::key_of_uri(std::string_view uri) const {
  const auto u = atproto::parse_at_uri(uri);
  if (!u || u->rkey.empty() == of_->has_records || u->collection.empty() == of_->has_records) return std::nullopt;
  return kv::record_key::of(u->authority, u->collection, u->rkey, partitions_);
}

std::string view_source::subject_of(const kv::record_key& key) const { return prefix_ + of_->text_of(key); }

std::string_view view_source::stray() const noexcept { return of_->stray; }

}  // namespace recordkv::projection
