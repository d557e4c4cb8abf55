#include "keys.hpp"

#include "recordkv/firehose/source_kinds.hpp"

#include "checks.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>

namespace recordkv::settings {
namespace {

// NOLINTNEXTLINE: names a member of config; the language has no shorter way to pass it
#define AT(member) [](config& c) -> auto& { return c.member; }

constexpr support to_come = support::to_come;

// "firehose|jetstream|file": the kinds of the one table, as `choices` wants them.
constexpr auto kinds_with_bars = [] {
  constexpr auto size = std::accumulate(firehose::source_kinds.begin(), firehose::source_kinds.end(), std::size_t{0},
                                        [](std::size_t n, const auto& kind) { return n + kind.name.size() + 1; });
  std::array<char, size> out{};
  auto at = out.begin();
  for (const auto& kind : firehose::source_kinds) {
    at = std::ranges::copy(kind.name, at).out;
    *at++ = '|';
  }
  return out;
}();
constexpr std::string_view kind_choices{kinds_with_bars.data(), kinds_with_bars.size() - 1};

constexpr auto rows = std::to_array<key_row>({
    {.name = "stages", .at = AT(stages), .wrong = check_stages},

    {.name = "nats.url", .at = AT(nats.url), .wrong = check_nats_url},
    {.name = "nats.creds", .at = AT(nats.creds)},
    {.name = "nats.nkey_seed", .at = AT(nats.nkey_seed), .wrong = check_nkey_seed},
    {.name = "nats.tls_ca", .at = AT(nats.tls_ca)},
    {.name = "nats.tls_cert", .at = AT(nats.tls_cert), .wrong = check_tls},
    {.name = "nats.tls_key", .at = AT(nats.tls_key), .wrong = check_tls},
    {.name = "nats.domain", .at = AT(nats.domain), .wrong = check_domain},
    {.name = "nats.api_prefix", .at = AT(nats.api_prefix), .wrong = check_api_prefix},
    {.name = "nats.inbox_prefix", .at = AT(nats.inbox_prefix), .wrong = check_inbox_prefix},
    {.name = "nats.replicas", .at = AT(nats.replicas), .min = 1, .max = 5, .wrong = check_replicas},
    {.name = "nats.sync_interval", .at = AT(nats.sync_interval), .min = 100, .max = 86'400'000},
    {.name = "nats.start_timeout", .at = AT(nats.start_timeout), .max = 86'400'000},

    {.name = "state.dir", .at = AT(state.dir), .wrong = check_state_dir},

    {.name = "source.kind", .at = AT(source.kind), .choices = kind_choices},
    {.name = "source.url", .at = AT(source.url), .wrong = check_source_url},
    {.name = "source.collections", .at = AT(source.collections), .wrong = check_collections},
    {.name = "source.start", .at = AT(source.start), .wrong = check_start, .bare = true},
    {.name = "source.silent_after", .at = AT(source.silent_after), .min = 1'000, .max = 86'400'000},

    {.name = "ingest.max_msgs", .at = AT(ingest.max_msgs), .min = 1},
    {.name = "ingest.max_bytes", .at = AT(ingest.max_bytes), .min = 16'000'000, .bytes = true},
    {.name = "ingest.storage", .at = AT(ingest.storage), .choices = "file|memory"},

    {.name = "kv.bucket", .at = AT(kv.bucket), .wrong = check_bucket},
    {.name = "kv.partitions", .at = AT(kv.partitions), .min = 1, .max = 4096},
    {.name = "kv.streams",
     .at = AT(kv.streams),
     .min = 1,
     .max = 4096,
     .only = "1",
     .remedy = "a store is one stream so far; write kv.streams = 1"},
    {.name = "kv.verify", .at = AT(kv.verify), .choices = "full|none"},
    {.name = "kv.workers", .at = AT(kv.workers), .min = -1, .max = 256},
    {.name = "kv.on_inactive", .at = AT(kv.on_inactive), .choices = "remove|keep"},
    {.name = "kv.max_keys", .at = AT(kv.max_keys)},
    {.name = "kv.assign", .at = AT(kv.assign), .wrong = check_kv_assign},

    {.name = "identity.plc_url", .at = AT(identity.plc_url), .wrong = check_plc_url},
    {.name = "identity.allow_private_hosts", .at = AT(identity.allow_private_hosts)},

    {.name = "repos.mode", .at = AT(repos.mode), .choices = "live|list|signal|all", .wrong = check_mode},
    {.name = "repos.dids", .at = AT(repos.dids), .wrong = check_dids},
    {.name = "repos.signal_collection", .at = AT(repos.signal_collection), .wrong = check_signal},
    {.name = "repos.list_host", .at = AT(repos.list_host), .wrong = check_list_host},
    {.name = "repos.each_host", .at = AT(repos.each_host), .wrong = check_each_host},
    {.name = "repos.refresh", .at = AT(repos.refresh), .min = 1'000, .max = 2'592'000'000},
    {.name = "repos.repair", .at = AT(repos.repair)},
    {.name = "repos.retry", .at = AT(repos.retry), .min = 100, .max = 3'600'000},
    {.name = "repos.memory", .at = AT(repos.memory), .min = 16'000'000, .bytes = true},

    {.name = "index.views", .at = AT(index.views)},
    {.name = "index.database", .at = AT(index.database), .wrong = check_database},
    {.name = "index.assign", .at = AT(index.assign), .wrong = check_index_assign},

    {.name = "http.listen", .at = AT(http.listen), .wrong = check_listen},
    {.name = "http.max_lag", .at = AT(http.max_lag), .min = 1'000, .max = 86'400'000},
    {.name = "http.admin_token", .at = AT(http.admin_token), .is = to_come, .secret = true},

    {.name = "log.level", .at = AT(log.level), .choices = "debug|info|warn|error"},
    {.name = "log.format", .at = AT(log.format), .choices = "text|json"},
});
#undef AT

std::string_view section_of(std::string_view name) {
  const auto dot = name.find('.');
  return dot == name.npos ? std::string_view{} : name.substr(0, dot);
}

std::string_view leaf_of(std::string_view name) {
  const auto dot = name.find('.');
  return dot == name.npos ? name : name.substr(dot + 1);
}

/// Levenshtein: how many letters to insert, drop or replace.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

std::string nearest(std::string_view wrong, std::span<const std::string_view> known) {
  const std::size_t max_distance = std::max<std::size_t>(1, wrong.size() / 3);
  std::string_view best;
  std::size_t shortest = max_distance + 1;
  for (const auto name : known)
    if (const auto d = distance(wrong, name); d < shortest) std::tie(shortest, best) = std::tuple(d, name);
  return std::string(best);
}

}  // namespace

std::span<const key_row> all_keys() noexcept { return rows; }

const key_row* find_key(std::string_view name) noexcept {
  const auto* const at = std::ranges::find(rows, name, &key_row::name);
  return at == rows.end() ? nullptr : at;
}

bool is_section(std::string_view name) noexcept {
  return !name.empty() && std::ranges::any_of(rows, [&](const key_row& r) { return section_of(r.name) == name; });
}

std::string nearest_key(std::string_view wrong) {
  std::vector<std::string_view> names;
  for (const auto& r : rows) {
    // The right key in the wrong section is the most likely mistake.
    if (leaf_of(r.name) == leaf_of(wrong)) return std::string(r.name);
    names.push_back(r.name);
  }
  return nearest(wrong, names);
}

std::string nearest_section(std::string_view wrong) {
  std::vector<std::string_view> names;
  names.reserve(rows.size());
  for (const auto& r : rows) names.push_back(section_of(r.name));
  std::erase(names, std::string_view{});
  return nearest(wrong, names);
}

std::string variable_of(std::string_view name) {
  std::string out = "RECORDKV_";
  for (const char c : name) out += c == '.' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace recordkv::settings
