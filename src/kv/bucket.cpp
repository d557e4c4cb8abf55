#include "recordkv/kv/bucket.hpp"

#include "recordkv/core/json_fields.hpp"
#include "recordkv/core/parse_number.hpp"

#include <boost/json.hpp>

namespace recordkv::kv {

std::string_view entry::header_value(std::string_view name) const noexcept {
  for (const auto& [key, text] : headers)
    if (key == name) return text;
  return {};
}

task<result<nats::ensured>> bucket::open(std::string storage, int replicas) {
  nats::stream_spec spec{.name = stream(),
                         .max_msgs_per_subject = 1,
                         .storage = std::move(storage),
                         .replicas = replicas,
                         .kv_bucket = true};
  spec.subjects.push_back(subject(">"));
  co_return co_await nats::ensure(nc_, std::move(spec));
}

task<result<entry>> bucket::get(std::string key) {
  auto m = co_await nats::last_message(nc_, stream(), subject(key));
  if (!m) co_return m.error();
  entry e{.value = std::move(m->data), .seq = m->seq, .time = std::move(m->time), .headers = std::move(m->headers)};
  e.deleted = !e.header_value("KV-Operation").empty();
  co_return e;
}

task<result<std::vector<entry>>> bucket::get_many(std::vector<std::string> keys) {
  // Direct get answers with the raw message: no JSON, no base64, and any replica serves it.
  std::vector<nats::request_spec> asks;
  asks.reserve(keys.size());
  for (const auto& k : keys)
    asks.push_back({.subject = fmt::format("{}DIRECT.GET.{}.{}", nats::api_subjects, stream(), subject(k))});
  auto answers = co_await nc_.request_all(std::move(asks), std::chrono::seconds(10));
  std::vector<entry> out;
  out.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!answers[i]) co_return answers[i].error();
    const auto& m = *answers[i];
    entry e;
    const auto status = m.header_value("Status");
    if (!status.empty() && status != "404")
      co_return fail(errc::refused, "reading {} from {}: NATS answered {} {}", keys[i], name_, status,
                     m.header_value("Description"));
    if (status.empty()) {
      e.value = m.data();
      e.seq = parse_number<std::uint64_t>(m.header_value("Nats-Sequence")).value_or(0);
      e.deleted = !m.header_value("KV-Operation").empty();
    }
    out.push_back(std::move(e));
  }
  co_return out;
}

task<result<std::vector<std::string>>> bucket::keys() {
  auto info =
      co_await nats::api(nc_, "STREAM.INFO." + stream(), fmt::format(R"({{"subjects_filter":"{}"}})", subject(">")));
  if (!info) co_return info.error();
  std::vector<std::string> out;
  const auto* state = object_field(*info, "state");
  const auto* subjects = state ? object_field(*state, "subjects") : nullptr;
  if (subjects == nullptr) co_return out;
  for (const auto& [name, count] : *subjects) out.emplace_back(name.substr(subject("").size()));
  co_return out;
}

task<result<std::uint64_t>> bucket::update(write w) {
  std::vector<write> one;
  one.push_back(std::move(w));
  auto all = co_await update_many(std::move(one));
  co_return std::move(all.front());
}

task<std::vector<result<std::uint64_t>>> bucket::update_many(std::vector<write> ws) {
  std::vector<nats::request_spec> asks;
  asks.reserve(ws.size());
  for (auto& w : ws) {
    w.headers.push_back({"Nats-Expected-Last-Subject-Sequence", std::to_string(w.expected)});
    asks.push_back({.subject = subject(w.key),
                    .data = std::move(w.value),
                    .headers = std::move(w.headers),
                    .guarded = w.of_lease});
  }
  auto answers = co_await nc_.request_all(std::move(asks), std::chrono::seconds(5));
  std::vector<result<std::uint64_t>> out;
  out.reserve(answers.size());
  for (auto& a : answers) {
    if (a)
      out.push_back(nats::parse_pub_ack(a->data()));
    else
      out.emplace_back(a.error());
  }
  co_return out;
}

task<result<std::uint64_t>> bucket::put(std::string key, std::string value) {
  nats::request_spec ask{.subject = subject(key), .data = std::move(value)};
  auto answer = co_await nc_.request(std::move(ask), std::chrono::seconds(5));
  if (!answer) co_return answer.error();
  co_return nats::parse_pub_ack(answer->data());
}

task<result<std::uint64_t>> bucket::remove(std::string key, std::uint64_t expected) {
  write marker{.key = std::move(key), .expected = expected};
  marker.headers.push_back({"KV-Operation", "DEL"});
  co_return co_await update(std::move(marker));
}

task<result<void>> remove_stream(nats::connection& nc, std::string stream) {
  auto gone = co_await nats::api(nc, "STREAM.DELETE." + stream);
  if (!gone) co_return gone.error();
  co_return result<void>{};
}

}  // namespace recordkv::kv
