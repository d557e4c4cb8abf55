#include "recordkv/nats/jetstream.hpp"

#include "recordkv/core/base64.hpp"
#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/parse_number.hpp"

#include <boost/json.hpp>

#include <algorithm>
#include <optional>

namespace recordkv::nats {
namespace json = boost::json;
namespace {

constexpr std::chrono::seconds answer_limit{10};

error translate(const json::object& e, std::string_view what) {
  const auto code = integer_field(e, "err_code");
  const auto description = text_field(e, "description");
  auto kind = errc::refused;
  switch (code) {
    case 10059:
    case 10014:
    case 10037: kind = errc::not_found; break;
    case 10071:
    case 10099:
    case 10100:  // a work queue has a consumer whose filter overlaps
    case 10164: kind = errc::conflict; break;
    case 10077: kind = errc::full; break;
    case 10023:
    case 10028:
    case 10047: kind = errc::no_space; break;  // the server's or the account's own limits of memory and storage
    case 10054: kind = errc::too_large; break;
    case 10008:
    case 10009: kind = errc::timed_out; break;  // no leader at the moment: an election
    case 10039:
    case 10076: kind = errc::unsupported; break;
    default: break;
  }
  return fail(kind, "{}: NATS answered {} ({})", what, description, code);
}

std::optional<std::string> decoded(std::string_view base64) {
  std::string out;
  if (!append_from_base64(out, base64)) return {};
  return out;
}

std::vector<std::pair<std::string, std::string>> parse_headers(std::string_view block) {
  std::vector<std::pair<std::string, std::string>> out;
  for (auto line_end = block.find("\r\n"); line_end != std::string_view::npos; line_end = block.find("\r\n")) {
    const auto line = block.substr(0, line_end);
    block.remove_prefix(line_end + 2);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // "NATS/1.0"
    auto value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    out.emplace_back(line.substr(0, colon), value);
  }
  return out;
}

stream_state state_of(const json::object& info) {
  stream_state s;
  s.created = text_field(info, "created");
  s.asked_at = text_field(info, "ts");
  if (const auto* state = object_field(info, "state")) {
    s.messages = unsigned_field(*state, "messages");
    s.bytes = unsigned_field(*state, "bytes");
    s.first_seq = unsigned_field(*state, "first_seq");
    s.last_seq = unsigned_field(*state, "last_seq");
  }
  if (const auto* c = object_field(info, "config")) {
    s.max_msg_size = integer_field(*c, "max_msg_size", -1);
    s.max_msgs = integer_field(*c, "max_msgs", -1);
    s.max_bytes = integer_field(*c, "max_bytes", -1);
    s.allow_direct = flag_field(*c, "allow_direct");
  }
  return s;
}

json::object create_body(const stream_spec& s) {
  json::object o;
  o["name"] = s.name;
  o["subjects"] = json::value_from(s.subjects);
  o["retention"] = s.work_queue ? "workqueue" : "limits";
  o["max_consumers"] = -1;
  o["max_msgs"] = s.max_msgs;
  o["max_bytes"] = s.max_bytes;
  o["max_age"] = 0;
  o["max_msgs_per_subject"] = s.max_msgs_per_subject;
  o["max_msg_size"] = -1;
  o["discard"] = "new";
  o["storage"] = s.storage;
  o["num_replicas"] = s.replicas;
  // A message that has left the work queue counts as settled. A purge by hand would let the cursor pass messages that
  // are not settled.
  if (s.work_queue) {
    o["deny_delete"] = true;
    o["deny_purge"] = true;
  }
  if (s.kv_bucket) {
    o["allow_direct"] = true;
    o["allow_rollup_hdrs"] = true;
    o["deny_delete"] = true;
    o["deny_purge"] = false;
  }
  return o;
}

// Compares the settings that the contract fixes. Each difference names the value that was found and the wanted one.
void compare(const stream_spec& want, const json::object& have, std::vector<std::string>& differences) {
  const auto differ = [&](std::string_view key, const std::string& wanted, const std::string& found) {
    if (wanted != found) differences.push_back(fmt::format("{} is {}, must be {}", key, found, wanted));
  };
  const auto subjects = texts_field(have, "subjects");
  differ("subjects", fmt::format("{}", fmt::join(want.subjects, ",")), fmt::format("{}", fmt::join(subjects, ",")));
  differ("retention", want.work_queue ? "workqueue" : "limits", std::string(text_field(have, "retention")));
  differ("discard", "new", std::string(text_field(have, "discard")));
  differ("max_age", "0", std::to_string(integer_field(have, "max_age")));
  differ("max_msgs_per_subject", std::to_string(want.max_msgs_per_subject),
         std::to_string(integer_field(have, "max_msgs_per_subject", -1)));
  differ("subject_delete_marker_ttl", "0", std::to_string(integer_field(have, "subject_delete_marker_ttl")));
  if (want.limits_are_contract) {
    differ("max_msgs", std::to_string(want.max_msgs), std::to_string(integer_field(have, "max_msgs", -1)));
    differ("max_bytes", std::to_string(want.max_bytes), std::to_string(integer_field(have, "max_bytes", -1)));
  }
}

}  // namespace

task<result<json::object>> api(connection& nc, std::string what, std::string body) {
  request_spec r{.subject = std::string(api_subjects) + what, .data = std::move(body)};
  auto reply = co_await nc.request(std::move(r), answer_limit);
  if (!reply) co_return reply.error();
  boost::system::error_code ec;
  auto parsed = json::parse(reply->data(), ec);
  if (ec || !parsed.is_object()) co_return fail(errc::refused, "{}: NATS answered something that is not JSON", what);
  if (const auto* e = object_field(parsed.get_object(), "error")) co_return translate(*e, what);
  co_return std::move(parsed.get_object());
}

result<std::uint64_t> parse_pub_ack(std::string_view reply) {
  // The usual answer is {"stream":"KV_record","seq":123}. Every message has one, so it is read without a JSON parser.
  static constexpr std::string_view key = "\"seq\":";
  if (reply.find("\"error\"") == std::string_view::npos) {
    const auto at = reply.find(key);
    if (at != std::string_view::npos) {
      auto digits = reply.substr(at + key.size());
      while (!digits.empty() && digits.front() == ' ') digits.remove_prefix(1);
      if (const auto seq = take_number<std::uint64_t>(digits)) return *seq;
    }
  }
  boost::system::error_code ec;
  const auto parsed = json::parse(reply, ec);
  if (!ec && parsed.is_object())
    if (const auto* e = object_field(parsed.get_object(), "error")) return translate(*e, "publish");
  return fail(errc::refused, "publish: NATS answered something unknown ({} bytes)", reply.size());
}

task<result<server_facts>> jetstream_facts(connection& nc) {
  auto info = co_await api(nc, "INFO");
  if (!info) {
    const auto asked = nc.on_the_wire("$JS.API.INFO");
    const bool other_prefix = asked != "$JS.API.INFO";
    if (info.error().code == errc::timed_out && other_prefix)
      co_return fail(
          errc::timed_out,
          "JetStream does not answer at {}: nats.domain (or nats.api_prefix) is not what its server says, this "
          "server is not connected to it as a leaf node, or it is still recovering",
          asked);
    if (info.error().code == errc::timed_out)
      co_return fail(errc::timed_out,
                     "JetStream of the NATS server does not answer: it is still recovering, or not enabled for this "
                     "account (nats account info); at a leaf node, nats.domain names the JetStream domain of its hub");
    if (info.error().code == errc::unsupported)
      co_return fail(errc::unsupported,
                     "the NATS server has no JetStream for this account; start it with -js (or jetstream {{}} in its "
                     "configuration); at a leaf node, set nats.domain to the JetStream domain of its hub");
    co_return info.error();
  }
  server_facts f;
  if (const auto* a = object_field(*info, "api")) f.api_level = static_cast<int>(integer_field(*a, "level"));
  f.streams = integer_field(*info, "streams");
  f.domain = text_field(*info, "domain");
  co_return f;
}

task<result<stream_state>> stream_info(connection& nc, std::string stream) {
  auto info = co_await api(nc, "STREAM.INFO." + stream);
  if (!info) co_return info.error();
  co_return state_of(*info);
}

task<result<ensured>> ensure(connection& nc, stream_spec spec) {
  auto info = co_await api(nc, "STREAM.INFO." + spec.name);
  if (!info && info.error().code == errc::not_found) {
    auto made = co_await api(nc, "STREAM.CREATE." + spec.name, json::serialize(create_body(spec)));
    if (made) co_return ensured{state_of(*made), true};
    info = co_await api(nc, "STREAM.INFO." + spec.name);  // another process was faster, or the creation failed
    if (!info) co_return made.error();
  }
  if (!info) co_return info.error();
  std::vector<std::string> differences;
  if (const auto* c = object_field(*info, "config")) compare(spec, *c, differences);
  if (!differences.empty())
    co_return fail(errc::mismatch,
                   "stream {} exists with other settings: {}; change or remove it, or use another bucket", spec.name,
                   fmt::join(differences, "; "));
  co_return ensured{state_of(*info), false};
}

task<result<std::vector<std::string>>> consumer_names(connection& nc, std::string stream) {
  auto listed = co_await api(nc, "CONSUMER.NAMES." + stream);
  if (!listed && listed.error().code == errc::not_found) co_return std::vector<std::string>{};
  if (!listed) co_return listed.error();
  co_return texts_field(*listed, "consumers");
}

std::string_view stored_message::header_value(std::string_view name) const noexcept {
  for (const auto& [key, value] : headers)
    if (key == name) return value;
  return {};
}

namespace {

task<result<stored_message>> message_by(connection& nc, std::string stream, json::object query) {
  auto reply = co_await api(nc, "STREAM.MSG.GET." + stream, json::serialize(query));
  if (!reply) co_return reply.error();
  const auto* m = object_field(*reply, "message");
  if (m == nullptr) co_return fail(errc::refused, "STREAM.MSG.GET.{}: no message in the answer", stream);
  auto data = decoded(text_field(*m, "data"));
  const auto headers = decoded(text_field(*m, "hdrs"));
  if (!data || !headers) co_return fail(errc::refused, "STREAM.MSG.GET.{}: the message is not base64", stream);
  stored_message out;
  out.subject = text_field(*m, "subject");
  out.seq = unsigned_field(*m, "seq");
  out.time = text_field(*m, "time");
  out.data = std::move(*data);
  out.headers = parse_headers(*headers);
  co_return out;
}

}  // namespace

task<result<stored_message>> last_message(connection& nc, std::string stream, std::string subject) {
  return message_by(nc, std::move(stream), {{"last_by_subj", subject}});
}

task<result<stored_message>> next_message(connection& nc, std::string stream, std::string subject, std::uint64_t from) {
  return message_by(nc, std::move(stream), {{"next_by_subj", subject}, {"seq", from}});
}

}  // namespace recordkv::nats
