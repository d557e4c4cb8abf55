#include "configured_source.hpp"

#include "recordkv/firehose/source_kinds.hpp"
#include "recordkv/firehose/websocket.hpp"
#include "recordkv/kv/record_key.hpp"

#include <algorithm>

namespace recordkv::stages {
namespace {

std::string lower(std::string s) {
  std::ranges::transform(s, s.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return s;
}

// ws and wss of one host are one source: the same server with and without TLS. The scheme's default port is left out,
// so port 80 under wss is another source.
std::string host_and_port(const firehose::ws_url& u) {
  std::string host = lower(u.host);
  if (host.ends_with('.')) host.pop_back();
  if (host.find(':') != host.npos) host = '[' + host + ']';
  const auto digits = u.port.find_first_not_of('0');
  const std::string port = digits == u.port.npos ? u.port : u.port.substr(digits);
  return port == (u.tls ? "443" : "80") ? host : host + ':' + port;
}

std::string unusual_path(std::string_view usual, std::string path) {
  while (path.ends_with('/')) path.pop_back();
  return path == usual ? "" : path;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); }

// As in every key. In addition, a slash before what looks like an escape is escaped, so that no two paths become
// equal.
std::string encoded(std::string_view s) {
  std::string out;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const bool ambiguous = s[i] == '/' && i + 2 < s.size() && is_hex(s[i + 1]) && is_hex(s[i + 2]);
    out += ambiguous ? "/2F" : kv::encode_part(s.substr(i, 1));
  }
  return out;
}

}  // namespace

source_key key_of_source(const config& cfg) {
  const auto& kind = cfg.source.kind;
  const auto& of = firehose::source_kind_named(kind);
  if (!of.remote) return {kind, kind + '.' + kv::encode_part(cfg.source.url), cfg.source.url};
  const auto url = firehose::parse_ws_url(cfg.source.url);
  if (!url) return {kind, kind + '.' + kv::encode_part(cfg.source.url), cfg.source.url};  // it cannot be dialled either
  const auto what = host_and_port(*url) + unusual_path(of.path, url->path);
  return {kind, kind + '.' + encoded(what), (url->tls ? "wss://" : "ws://") + what, url->tls};
}

bool source_key::was(std::string_view key) const {
  if (!firehose::source_kind_named(kind).remote || !key.starts_with(kind + '.')) return false;
  const auto authority = kv::decode_part(key.substr(kind.size() + 1));
  const auto old = firehose::parse_ws_url((tls ? "wss://" : "ws://") + authority);
  const auto mine = firehose::parse_ws_url(url);
  return old && mine && old->path.empty() && host_and_port(*old) == host_and_port(*mine);
}

std::unique_ptr<firehose::frame_source> make_source(stage_context& ctx, std::optional<source_position> at) {
  const auto& c = ctx.cfg.source;
  firehose::source_spec spec{
      .url = c.url, .collections = ctx.cfg.needed_collections(), .dids = ctx.cfg.repos.dids, .cursor = at};
  if (const auto start = parse_start(c.start)) {
    spec.start = start->what == start_choice::kind::oldest ? firehose::start_at::oldest : firehose::start_at::live;
    if (start->what == start_choice::kind::number) spec.begin_behind = start->number;
    if (start->what == start_choice::kind::time)
      spec.begin_behind = static_cast<std::uint64_t>(std::max(0.0, start->time) * 1e6);
  }
  return firehose::source_kind_named(c.kind).make(ctx.nc.io().get_executor(), std::move(spec), ctx.counters);
}

}  // namespace recordkv::stages
