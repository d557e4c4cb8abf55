// JetStream's management API as request/reply JSON.
//
// Owns: the specifications of streams and consumers, their comparison with what exists, the translation of API errors.
// Does not know: what the streams are for. Facts: nats-server JSON API ($JS.API.>), ADR-1, ADR-31 (direct get).
#pragma once

#include "recordkv/core/result.hpp"
#include "recordkv/core/task.hpp"
#include "recordkv/nats/connection.hpp"

#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace recordkv::nats {

/// How the subjects of JetStream's API begin. Code above the connection writes this; the connection inserts the
/// domain.
inline constexpr std::string_view api_subjects = "$JS.API.";

/// A reply to `$JS.API.<what>`, in the connection's domain. An error object becomes an errc: 10059/10014/10037
/// not_found, 10071/10164 conflict, 10077 full, 10023/10028/10047 no_space, 10054 too_large, others refused (the text
/// holds code and description). NATS uses 10077 for every message that a stream can't store. A stream at its limits is
/// one case.
task<result<boost::json::object>> api(connection& nc, std::string what, std::string body = {});

/// The sequence in a publish acknowledgement, or its error, translated as above.
result<std::uint64_t> parse_pub_ack(std::string_view reply);

struct server_facts {
  int api_level = 0;  ///< 0: before 2.11
  std::int64_t streams = 0;
  std::string domain;  ///< the JetStream domain that answers; empty if it has no name
};
/// errc::unsupported: no JetStream for this account, with an explanation; timed_out: no answer, perhaps not yet.
task<result<server_facts>> jetstream_facts(connection& nc);

/// What recordkv needs of a stream. Only these settings of an existing stream are compared; the rest is set at
/// creation.
struct stream_spec {
  std::string name;
  std::vector<std::string> subjects;
  bool work_queue = false;
  std::int64_t max_msgs_per_subject = -1;
  std::int64_t max_msgs = -1;
  std::int64_t max_bytes = -1;
  std::string storage = "file";
  int replicas = 1;
  bool kv_bucket = false;            ///< adds what a KV bucket has: direct get, rollup headers, deny_delete
  bool limits_are_contract = false;  ///< compare max_msgs and max_bytes as well; otherwise they may differ
};

struct stream_state {
  std::string created;   ///< the creation time, as the server reports it; a recreated stream has another one
  std::string asked_at;  ///< the server's clock when it answered
  std::uint64_t messages = 0, bytes = 0, first_seq = 0, last_seq = 0;
  std::int64_t max_msg_size = -1, max_msgs = -1, max_bytes = -1;  ///< the stream's limits; -1: none
  bool allow_direct = false;
};

/// Creates the stream, or accepts the existing one. errc::mismatch: the existing stream breaks the contract; the
/// text shows both sides. `made`: the stream was created now.
struct ensured {
  stream_state state;
  bool made = false;
};
task<result<ensured>> ensure(connection& nc, stream_spec spec);
task<result<stream_state>> stream_info(connection& nc, std::string stream);

struct stored_message {
  std::string subject, data;
  std::uint64_t seq = 0;
  std::string time;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string_view header_value(std::string_view name) const noexcept;
};
/// The newest message under `subject` (wildcards allowed), read from the stream's leader. errc::not_found. With
/// wildcards NATS looks at every subject that matches: half a second for two million keys.
task<result<stored_message>> last_message(connection& nc, std::string stream, std::string subject);

/// The first message under `subject` (wildcards allowed) whose sequence is `from` (at least 1) or later, read from the
/// stream's leader. errc::not_found. Costs little when there is one nearby, or when `from` is near the stream's end.
task<result<stored_message>> next_message(connection& nc, std::string stream, std::string subject, std::uint64_t from);

/// The consumers of a stream by name; empty if there is no such stream. After an error nothing is known.
task<result<std::vector<std::string>>> consumer_names(connection& nc, std::string stream);

enum class acks { none, all, each };
struct consumer_spec {
  std::string stream;
  std::string durable;               ///< empty: ephemeral, gone 5 minutes after its last pull
  std::vector<std::string> filters;  ///< empty: everything
  acks policy = acks::each;
  bool headers_only = false;
  bool last_per_subject = false;
  bool made_anew = false;       ///< an existing consumer with other settings is made again, not refused
  bool stream_returns = false;  ///< if the stream is gone, its owner will make it again: wait for that
  std::uint64_t start_seq = 0;  ///< 0: from the first message
  bool once = false;            ///< next() returns errc::closed when the server says that it has nothing more
  /// Called before a rewind that follows a reconnect or a deletion. By then another process may own the durable (X7).
  /// The stream may have been made anew, or may end before the reader's position: nothing would ever be delivered
  /// (X21). An error ends next(), except timed_out and unreachable, which are retried. Empty: none of this can happen.
  std::function<task<result<void>>()> still_ours;
  /// Called after another program has edited the durable, and before the durable is made again. `suspect`: the edited
  /// durable may have skipped messages, so results built from the delivered messages are not proven. An error ends
  /// next() or attach().
  std::function<task<result<void>>(bool suspect)> edited;
  /// How often next() compares the durable's settings with this spec. Messages before the last matching comparison are
  /// proven.
  std::chrono::milliseconds compare_every = std::chrono::seconds(5);
  std::size_t credit = 512;  ///< messages requested at once
  std::size_t max_bytes = std::size_t{8} << 20;
};

}  // namespace recordkv::nats
