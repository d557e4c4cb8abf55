#include "trace_search.hpp"

#include "lock_table.hpp"
#include "progress.hpp"
#include "recordkv/atproto/event.hpp"
#include "recordkv/kv/frame_batch.hpp"
#include "recordkv/kv/record_key.hpp"
#include "recordkv/kv/repo_state.hpp"
#include "recordkv/kv/wishes.hpp"
#include "recordkv/projection/configured_views.hpp"
#include "recordkv/view/account_rows.hpp"
#include "recordkv/view/store.hpp"
#include "status_facts.hpp"
#include "stream_reading.hpp"

#include <fmt/ranges.h>
#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <map>

namespace recordkv::cli {
namespace {

constexpr int max_segments = 63;  // of a collection
constexpr int max_tries = 3;      // keys may be overwritten while they are read

// The members of a state that are content. The others protect against an older repo, and say what has happened.
constexpr std::array<std::string_view, 5> content{"handle", "pds", "key", "collections", "error"};

trace_place absent(trace_place p, const error& why) {
  if (why.code == errc::not_found)
    p.note = "it does not exist";
  else
    p.unread = why;
  return p;
}

// Whose event it is. A frame that no reader understands counts if it names the account.
bool is_event_of(std::string_view frame, std::string_view did) {
  auto event = atproto::decode_event(frame);
  if (!event) event = atproto::undecoded(frame, event.error());
  return event->did.empty() ? frame.contains(did) : event->did == did;
}

bool has_event_of(std::string_view payload, std::string_view did) {
  const auto frames = kv::frames_in(payload);
  if (!frames) return payload.contains(did);
  return std::ranges::any_of(*frames, [did](const auto& f) { return is_event_of(f.bytes, did); });
}

struct buffer_end {
  std::string created;
  std::uint64_t first = 0, last = 0;
};

task<result<buffer_end>> look_at_buffer(session s) {
  auto now = co_await nats::stream_info(s.nc, s.names().buffer());
  if (!now) co_return now.error();
  co_return buffer_end{std::move(now->created), now->first_seq, now->last_seq};
}

// Stage kv may take messages out meanwhile. What they bring is then in the store, which is searched next.
task<result<void>> read_buffer(session s, buffer_end until, const std::string& did, const std::string& subject,
                               trace_place& into) {
  progress bar("buffer");
  const auto stream = s.names().buffer();
  for (auto at = until.first; at <= until.last && until.last > 0;) {
    auto m = co_await nats::next_message(s.nc, stream, subject, std::max<std::uint64_t>(at, 1));
    if (!m && m.error().code == errc::not_found) break;
    if (!m) co_return m.error();
    if (m->seq > until.last) break;
    if (has_event_of(m->data, did) && into.found++ == 0) into.example = fmt::format("sequence {}", m->seq);
    at = m->seq + 1;
    bar.show(double(m->seq - until.first) / double(until.last - until.first + 1), "messages read");
  }
  auto now = co_await look_at_buffer(s);
  if (!now) co_return now.error();
  if (now->created != until.created) co_return fail(errc::timed_out, "it was made anew meanwhile; try again");
  co_return result<void>{};
}

struct found_values {
  std::uint64_t count = 0;
  std::string example;
};

task<result<found_values>> values_under(session s, std::string stream, std::string subject) {
  for (int tries = 1;; ++tries) {
    found_values out;
    auto take = [&out](const nats::message& m) {
      if (value_size(m) > 0 && out.count++ == 0) out.example = m.subject();
    };
    auto read = co_await read_matching(s, stream, subject, message_parts::headers, std::move(take));
    if (read) co_return out;
    if (read.error().code != errc::timed_out || tries == max_tries) co_return read.error();
  }
}

trace_place state_place(const std::string& bucket, std::string_view did, std::string_view value) {
  trace_place p{.kind = "state", .where = "bucket " + bucket, .what = "members of the state"};
  p.remedy = fmt::format("`recordkv repo remove {} --wait` empties the state, and removes the records", did);
  boost::system::error_code ec;
  const auto parsed = boost::json::parse(value, ec);
  if (ec || !parsed.is_object()) {
    p.found = 1;
    p.what = "state that can't be read";
    p.example = "its value";
    return p;
  }
  std::vector<std::string> kept;
  for (const auto& [name, member] : parsed.get_object()) {
    const bool is_content = std::ranges::find(content, std::string_view(name)) != content.end();
    const bool empty =
        (member.is_string() && member.get_string().empty()) || (member.is_array() && member.get_array().empty());
    if (!is_content) kept.emplace_back(name);
    if (is_content && !empty && p.found++ == 0) p.example = name;
  }
  p.note = fmt::format("kept: {}", fmt::join(kept, ", "));
  return p;
}

// By the name under which other processes know the database. The configured form may hold the password.
std::map<std::string, std::string> databases(const config& cfg, const std::vector<lock_row>& rows) {
  std::map<std::string, std::string> out;
  for (const auto& r : rows)
    if (auto name = text_of(r.report, "database"); !name.empty()) out.emplace(name, name);
  if (cfg.index.database_asked_for || out.empty()) out[view::name_for_others(cfg.database())] = cfg.database();
  return out;
}

trace_place place_of(view::account_rows&& t, const std::string& database) {
  trace_place p{.kind = t.rejects ? "rejects" : "view",
                .where = t.table,
                .found = t.found,
                .what = t.rejects ? "rejects" : "rows",
                .example = std::move(t.example)};
  p.note = fmt::format("build {}, {}, in {}", t.build, t.live ? "live" : "next", view::without_password(database));
  p.remedy = fmt::format(
      "stage index removes it once it has caught up: `recordkv wait`. What then is left was not written by recordkv: "
      "`recordkv view rebuild {}`",
      t.view);
  return p;
}

std::vector<trace_place> search_database(const config& cfg, const std::string& database, const std::string& did) {
  std::vector<trace_place> out;
  trace_place whole{.kind = "view", .where = view::without_password(database)};
  auto tables = view::find_account_rows(database, did);
  if (tables)
    for (auto& t : *tables) out.push_back(place_of(std::move(t), database));
  if (!out.empty()) return out;
  if (tables) {
    whole.note = "the database has no views";
  } else if (tables.error().code == errc::not_found && cfg.index.views.empty()) {
    whole.note = "no view is configured, and there is no database";
  } else {
    whole.unread = tables.error();
    if (tables.error().code == errc::not_found)
      whole.unread->text +=
          "; ask where stage index runs, or name it with index.database; a store without views has index.views = []";
  }
  out.push_back(std::move(whole));
  return out;
}

}  // namespace

task<trace_place> search_buffer(session s, std::string did, unsigned partitions) {
  trace_place p{.kind = "buffer", .where = "stream " + s.names().buffer(), .what = "messages"};
  p.remedy = "stage kv has still to read them: let it run, then ask again";
  auto end = co_await look_at_buffer(s);
  if (!end) co_return absent(std::move(p), end.error());
  const auto subject = s.names().buffer_subject(kv::partition_of(did, partitions));
  auto read = co_await read_buffer(s, *end, did, subject, p);
  if (!read) p.unread = read.error();
  p.note = fmt::format("up to sequence {}", end->last);
  co_return p;
}

task<trace_place> search_store(session s, std::string did) {
  trace_place p{.kind = "store", .where = "bucket " + s.names().bucket(), .what = "values"};
  p.remedy = fmt::format(
      "`recordkv repo remove {} --wait` removes what recordkv has written. Another program has written what is left "
      "then: `nats kv del {} KEY` for each key. If the bucket keeps older values: `nats stream purge {} --subject "
      "'{}KEY'`",
      did, s.names().bucket(), s.names().store(), s.names().prefix());
  progress bar("store");
  std::string any = s.names().prefix() + "*";
  for (int segments = 1; segments <= max_segments; ++segments) {
    any += ".*";
    bar.show(double(segments) / max_segments, "keys read");
    auto values = co_await values_under(s, s.names().store(), fmt::format("{}.{}.*", any, kv::encode_part(did)));
    if (!values) {
      p.unread = values.error();
      co_return p;
    }
    if (p.found == 0) p.example = std::move(values->example);
    p.found += values->count;
  }
  co_return p;
}

task<std::vector<trace_place>> search_states(session s, std::string did) {
  const auto bucket = s.names().repo();
  const auto prefix = fmt::format("$KV.{}.", bucket);
  const auto wish = prefix + kv::wish_key(did);
  trace_place state{.kind = "state", .where = "bucket " + bucket}, wishes{.kind = "wish", .where = "bucket " + bucket};
  auto take = [&](const nats::message& m) {
    if (m.data().empty()) return;
    if (m.subject() == wish) {
      ++wishes.found;
      wishes.what = "wishes";
      wishes.example = m.subject();
      wishes.remedy = "stage kv acts on it and removes it: let it run, then ask again";
    } else if (const auto found = state.found; found == 0) {
      state = state_place(bucket, did, m.data());
    } else {
      state.found = found + state_place(bucket, did, m.data()).found;
    }
  };
  auto read =
      co_await read_matching(s, kv::store_names::stream_of(bucket), fmt::format("{}*.{}", prefix, kv::encode_part(did)),
                             message_parts::headers_and_value, std::move(take));
  std::vector<trace_place> out;
  for (auto* p : {&state, &wishes}) out.push_back(read ? std::move(*p) : absent(std::move(*p), read.error()));
  co_return out;
}

task<std::vector<trace_place>> search_views(session s, std::string did) {
  auto rows = co_await read_locks(s.nc, s.names());
  if (!rows) {
    trace_place unknown{.kind = "view", .where = "every database"};
    unknown.unread = rows.error();
    co_return std::vector{std::move(unknown)};
  }
  std::vector<trace_place> out;
  for (const auto& [_, database] : databases(s.cfg, *rows))
    for (auto& p : search_database(s.cfg, database, did)) out.push_back(std::move(p));
  co_return out;
}

}  // namespace recordkv::cli
