// Over 300 lines: one short check a key, in the order of config/recordkv.toml.
#include "checks.hpp"

#include "recordkv/core/parse_number.hpp"
#include "recordkv/core/timestamp.hpp"
#include "recordkv/firehose/source_kinds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>

namespace recordkv::settings {
namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

/// Splits "nats://a,nats://b". Only a comma in front of another URL separates; a password may hold a comma.
std::vector<std::string_view> split_urls(std::string_view urls) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < urls.size(); ++i) {
    if (urls[i] != ',') continue;
    std::size_t word = urls.find_first_not_of(' ', i + 1);
    std::size_t end = word;
    while (end < urls.size() && is_alnum(urls[end])) ++end;
    if (word == urls.npos || end == word || urls.substr(end, 3) != "://") continue;
    out.push_back(urls.substr(begin, i - begin));
    begin = word;
  }
  out.push_back(urls.substr(begin));
  return out;
}

/// A PostgreSQL URL may also hold the password behind the question mark: "?user=u&password=p".
std::string masked_parameters(std::string_view url) {
  std::string out(url);
  constexpr std::string_view name = "password=";  // and sslpassword
  const auto question = out.find('?');
  for (auto at = question; at < out.size() && (at = out.find(name, at)) != out.npos;) {
    at += name.size();
    out.replace(at, std::min(out.find('&', at), out.size()) - at, "***");
  }
  return out;
}

std::string masked_url(std::string_view whole) {
  const auto url_without = masked_parameters(whole);
  const std::string_view url = url_without;
  const auto scheme = url.find("://");
  const std::size_t begin = scheme == url.npos ? 0 : scheme + 3;
  const auto at = url.rfind('@');  // the last: a password may hold another
  if (at == url.npos || at < begin) return std::string(url);
  const auto colon = url.substr(begin, at - begin).find(':');
  const auto user = colon == url.npos ? std::string_view{} : url.substr(begin, colon + 1);
  return fmt::format("{}{}***{}", url.substr(0, begin), user, url.substr(at));
}

bool has_scheme(std::string_view url, std::span<const std::string_view> schemes) {
  return std::ranges::any_of(schemes, [&](std::string_view s) { return url.starts_with(s) && url.size() > s.size(); });
}

/// Segments of letters, digits and hyphens between dots.
bool are_segments(std::string_view s, std::size_t at_least) {
  std::size_t segments = 0;
  while (true) {
    const auto dot = s.find('.');
    const auto one = s.substr(0, dot);
    if (one.empty() || !std::ranges::all_of(one, [](char c) { return is_alnum(c) || c == '-'; })) return false;
    ++segments;
    if (dot == s.npos) return segments >= at_least;
    s.remove_prefix(dot + 1);
  }
}

bool is_pattern(std::string_view s) {
  if (s == "*") return true;
  if (s.ends_with(".*")) return are_segments(s.substr(0, s.size() - 2), 1);
  return are_segments(s, 3);
}

bool is_label(std::string_view s) {
  return !s.empty() && s.size() <= 3 && s.find_first_not_of("0123456789abcdef") == s.npos;
}

/// "all", or labels and ranges of labels with commas. The stage checks whether the store has these partitions.
std::string wrong_assign(std::string_view s) {
  if (s == "all") return {};
  for (std::string_view rest = s;;) {
    const auto comma = rest.find(',');
    const auto one = rest.substr(0, comma);
    const auto dash = one.find('-');
    if (!is_label(one.substr(0, dash)) || (dash != one.npos && !is_label(one.substr(dash + 1))))
      return fmt::format(R"(wants "all" or partitions such as "0-7,a", in lower-case hex; not "{}")", s);
    if (comma == rest.npos) return {};
    rest.remove_prefix(comma + 1);
  }
}

// The names that objects of another store have, or would have (kv/store_names.hpp).
std::string taken_by_a_store(std::string_view bucket) {
  constexpr std::string_view objects[] = {"cursor", "ingest", "lock", "repo"};
  for (const auto what : objects) {
    if (bucket == what)
      return fmt::format(R"("{}" is the name of what the store "record" keeps beside its records; use another)",
                         bucket);
    if (bucket.size() > what.size() && bucket.ends_with(what) && bucket[bucket.size() - what.size() - 1] == '_')
      return fmt::format(R"("{}" ends in "_{}", as what another store keeps beside its records does; use another)",
                         bucket, what);
  }
  return {};
}

constexpr std::size_t max_subject_part = 200;

/// Tokens that are not empty, without wildcards: a beginning of subjects.
bool is_subject(std::string_view s) {
  const auto bad = [](char x) { return x <= ' ' || x == '*' || x == '>' || x == 0x7f; };
  return !s.empty() && s.size() <= max_subject_part && std::ranges::none_of(s, bad) && s.front() != '.' &&
         s.back() != '.' && s.find("..") == s.npos;
}

}  // namespace

std::string check_stages(const config& c) {
  // Only the program knows its stages, since it may add its own. A wrong name fails there.
  std::set<std::string_view> seen;
  for (const auto& s : c.stages) {
    if (s.empty() || !std::ranges::all_of(s, [](char x) { return is_alnum(x) || x == '-' || x == '_'; }))
      return fmt::format(R"("{}" cannot name a stage; those that ship are "ingest", "kv", "index")", s);
    if (!seen.insert(s).second) return fmt::format(R"("{}" is listed twice; name each stage once)", s);
  }
  return c.stages.empty() ? R"(no stage to run; those that ship are "ingest", "kv", "index")" : "";
}

std::string check_nats_url(const config& c) {
  constexpr std::string_view schemes[] = {"nats://", "tls://"};
  for (const auto url : split_urls(c.nats.url))
    if (!has_scheme(url, schemes))
      return fmt::format(R"(wants nats://host:port or tls://host:port, several with commas between, not "{}")",
                         masked_url(url));
  return {};
}

std::string check_replicas(const config& c) {
  return c.nats.replicas % 2 == 1
             ? ""
             : fmt::format("wants 1, 3 or 5, since a stream needs a majority; not {}", c.nats.replicas);
}

std::string check_state_dir(const config& c) {
  return c.state.dir.empty() ? R"(wants a directory; write state.dir = "./recordkv-data")" : "";
}

std::string check_source_url(const config& c) {
  const auto& kind = firehose::source_kind_named(c.source.kind);
  if (!kind.remote)
    return c.source.url.empty() || c.source.url.find("://") != std::string::npos
               ? fmt::format(R"(source.kind = "{}" wants the path of a {} here)", kind.name, kind.noun)
               : "";
  constexpr std::string_view schemes[] = {"wss://", "ws://"};
  if (!has_scheme(c.source.url, schemes)) return fmt::format("wants wss://host, not \"{}\"", masked_url(c.source.url));
  if (!kind.of_relay && c.source.url == config{}.source.url)
    return fmt::format(R"(source.kind = "{}" wants a {}'s address here, not a relay's)", kind.name, kind.noun);
  return {};
}

std::string check_start(const config& c) {
  const auto start = parse_start(c.source.start);
  if (!start)
    return fmt::format(R"(wants "live", "oldest", a sequence number such as 123456, or a time such as )"
                       R"("2026-01-31T12:00:00Z"; not "{}")",
                       c.source.start);
  const auto& kind = firehose::source_kind_named(c.source.kind);
  if (start->what != start_choice::kind::time || kind.timed) return {};
  return fmt::format(
      R"(a {} has no cursor by time; write "oldest", "live" or a sequence number, or follow a Jetstream)", kind.noun);
}

std::string check_collections(const config& c) {
  for (const auto& p : c.source.collections)
    if (!is_pattern(p))
      return fmt::format(R"("{}" is no collection; write one such as "app.bsky.feed.like", "app.bsky.*" or "*")", p);
  return c.source.collections.empty() ? R"(no collection would be stored; write ["*"] for all)" : "";
}

std::string check_bucket(const config& c) {
  const auto good = [](char x) { return is_alnum(x) || x == '-' || x == '_'; };
  if (!c.kv.bucket.empty() && std::ranges::all_of(c.kv.bucket, good)) return taken_by_a_store(c.kv.bucket);
  return fmt::format(R"(wants letters, digits, "-" and "_" only, as NATS does for buckets; not "{}")", c.kv.bucket);
}

std::string check_plc_url(const config& c) {
  constexpr std::string_view schemes[] = {"https://", "http://"};
  if (has_scheme(c.identity.plc_url, schemes)) return {};
  return fmt::format(R"(wants an address such as "https://plc.directory", not "{}")", masked_url(c.identity.plc_url));
}

std::string check_mode(const config& c) {
  if (c.repos.mode == "live" || c.repos.repair) return {};
  return fmt::format(R"("{}" fetches accounts, which repos.repair = false forbids; write repos.repair = true)",
                     c.repos.mode);
}

std::string check_dids(const config& c) {
  const bool filters = firehose::source_kind_named(c.source.kind).filters;
  const bool lists = c.repos.mode == "list";
  if (!c.repos.dids.empty() && !lists && !filters)
    return fmt::format(R"(names the accounts of repos.mode = "list"; the mode is "{}")", c.repos.mode);
  const auto is_name = [](char x) { return is_alnum(x) || x == '-' || x == '.'; };
  for (const auto& d : c.repos.dids) {
    if (d.starts_with("did:plc:") || d.starts_with("did:web:")) continue;
    if (d.find('.') == d.npos || d.starts_with('.') || d.ends_with('.') || !std::ranges::all_of(d, is_name))
      return fmt::format(R"("{}" is neither a DID nor a handle; write did:plc:..., did:web:... or alice.example.com)",
                         d);
    if (filters) return fmt::format(R"("{}": a Jetstream is asked for DIDs; write did:plc:... or did:web:...)", d);
  }
  return {};
}

std::string check_signal(const config& c) {
  const std::string_view s = c.repos.signal_collection;
  if (c.repos.mode != "signal" && s.empty()) return {};
  if (c.repos.mode != "signal")
    return fmt::format(R"(belongs to repos.mode = "signal"; the mode is "{}")", c.repos.mode);
  const auto good = [](char x) { return is_alnum(x) || x == '-' || x == '.'; };
  if (std::ranges::count(s, '.') >= 2 && std::ranges::all_of(s, good)) return {};
  return fmt::format(R"(repos.mode = "signal" wants a collection, such as "app.bsky.feed.post"; not "{}")", s);
}

std::string check_each_host(const config& c) {
  if (!c.repos.each_host || c.repos.mode == "all") return {};
  return fmt::format(R"(belongs to repos.mode = "all"; the mode is "{}")", c.repos.mode);
}

std::string check_list_host(const config& c) {
  constexpr std::string_view schemes[] = {"https://", "http://"};
  const std::string_view host = c.repos.list_host;
  const bool reads = c.repos.mode == "signal" || c.repos.mode == "all";
  if (host.empty() && reads && c.source.kind != "firehose")
    return fmt::format(R"(repos.mode = "{}" reads the lists of a relay or a PDS, and a {} has none; )"
                       R"(write repos.list_host = "https://relay1.us-east.bsky.network")",
                       c.repos.mode, firehose::source_kind_named(c.source.kind).noun);
  if (host.empty() || has_scheme(host, schemes)) return {};
  return fmt::format(R"(wants an address such as "https://relay1.us-east.bsky.network", not "{}")", masked_url(host));
}

std::string check_database(const config& c) {
  const std::string_view d = c.index.database;
  constexpr std::string_view remedy =
      R"(write "sqlite:likes.db", "sqlite:/absolute/path.db" or "postgresql://user@host/database")";
  constexpr std::string_view schemes[] = {"postgresql://", "postgres://"};
  if (has_scheme(d, schemes)) return {};
  if (d.starts_with("postgres")) return fmt::format("wants a whole postgresql:// URL; {}", remedy);
  if (!d.starts_with("sqlite:") || d == "sqlite:" || d.starts_with("sqlite://"))
    return fmt::format("wants sqlite: and a path, or a postgresql:// URL; {}", remedy);
  if (d == "sqlite::memory:") return fmt::format("rows must outlive the process; {}", remedy);
  return {};
}

std::string check_listen(const config& c) {
  const std::string_view l = c.http.listen;
  if (l.empty()) return {};
  const auto colon = l.rfind(':');
  const auto host = l.substr(0, colon == l.npos ? 0 : colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  const auto port = parse_number<unsigned>(l.substr(host.size() + 1));
  const bool good = !host.empty() && port && *port <= 65535 && (bracketed || host.find(':') == host.npos);
  return good ? "" : fmt::format(R"(wants host:port, such as "127.0.0.1:2580", or "" for no HTTP; not "{}")", l);
}

std::string check_tls(const config& c) {
  if (c.nats.tls_cert.empty() == c.nats.tls_key.empty()) return {};
  return "a client certificate has two files; write both nats.tls_cert and nats.tls_key";
}

std::string check_nkey_seed(const config& c) {
  if (c.nats.nkey_seed.empty() || c.nats.creds.empty()) return {};
  return "a credentials file brings a key of its own; write nats.creds or nats.nkey_seed, not both";
}

std::string check_domain(const config& c) {
  const std::string_view d = c.nats.domain;
  const auto good = [](char x) { return is_alnum(x) || x == '-' || x == '_'; };
  if (d.size() > max_subject_part || !std::ranges::all_of(d, good) || d == "API" || d == "ACK")
    return fmt::format(R"(wants the name of a JetStream domain, such as "hub": letters, digits, "-" and "_"; not "{}")",
                       d);
  if (d.empty() || c.nats.api_prefix.empty()) return {};
  return fmt::format(R"(already says that the API is at "$JS.{}.API"; write nats.domain or nats.api_prefix, not both)",
                     d);
}

std::string check_api_prefix(const config& c) {
  if (c.nats.api_prefix.empty() || is_subject(c.nats.api_prefix)) return {};
  return fmt::format(R"(wants the beginning of a subject, such as "hub.API", without wildcards; not "{}")",
                     c.nats.api_prefix);
}

std::string check_inbox_prefix(const config& c) {
  if (is_subject(c.nats.inbox_prefix)) return {};
  return fmt::format(
      R"(wants the beginning of a subject, such as "_INBOX" or "_INBOX.recordkv", without wildcards; not "{}")",
      c.nats.inbox_prefix);
}

std::string check_kv_assign(const config& c) { return wrong_assign(c.kv.assign); }
std::string check_index_assign(const config& c) { return wrong_assign(c.index.assign); }

std::string masked_urls(std::string_view urls) {
  std::string out;
  for (const auto url : split_urls(urls)) out += (out.empty() ? "" : ",") + masked_url(url);
  return out;
}

}  // namespace recordkv::settings

namespace recordkv {
namespace {

// RFC 3339 also allows other zones, small letters, and a space in place of the T.
std::optional<double> rfc3339(std::string text) {
  if (text.size() < 20) return {};
  if (text[10] == 't' || text[10] == ' ') text[10] = 'T';
  if (text.back() == 'z') text.back() = 'Z';
  double offset = 0;
  const auto zone = text.size() - 6;
  if (text.back() != 'Z' && (text[zone] == '+' || text[zone] == '-') && text[zone + 3] == ':') {
    const std::string_view digits = text;
    const auto hours = parse_number<unsigned>(digits.substr(zone + 1, 2));
    const auto minutes = parse_number<unsigned>(digits.substr(zone + 4, 2));
    if (!hours || !minutes || *hours > 23 || *minutes > 59) return {};
    offset = (text[zone] == '-' ? -1.0 : 1.0) * (*hours * 3600 + *minutes * 60);
    text.replace(zone, 6, "Z");
  }
  const auto at = epoch_seconds(text);
  return at ? std::optional(*at - offset) : std::nullopt;
}

}  // namespace

std::optional<start_choice> parse_start(std::string_view text) {
  using kind = start_choice::kind;
  if (text == "live") return start_choice{};
  if (text == "oldest") return start_choice{.what = kind::oldest};
  if (const auto n = parse_number<std::uint64_t>(text)) return start_choice{.what = kind::number, .number = *n};
  const auto at = rfc3339(std::string(text));
  if (!at || *at < 0) return {};
  return start_choice{.what = kind::time, .time = *at};
}

}  // namespace recordkv
