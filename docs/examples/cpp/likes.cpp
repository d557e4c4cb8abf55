// A file of likes, one line per change: sequence, URI, subject (empty if the like is gone). See ../README.md.
#include <recordkv/indexer.hpp>
#include <recordkv/run.hpp>

#include <boost/json.hpp>

#include "position.hpp"

std::string setting(const char* name) { return std::getenv(name) ? std::getenv(name) : ""; }

recordkv::feed_spec spec(const recordkv::config&) {
  recordkv::feed_spec s{.durable = setting("LIKES_DURABLE"), .collections = {"app.bsky.feed.like"}};
  s.only_new = !setting("LIKES_NEW").empty();
  if (!setting("LIKES_OWN_POSITION").empty()) s.after = position_of(setting("LIKES_FILE"));
  return s;
}

recordkv::task<recordkv::result<void>> work(recordkv::record_feed& feed) {
  auto file = open_at_whole_line(setting("LIKES_FILE"));
  while (auto batch = co_await feed.next()) {
    for (const auto& like : *batch) {
      boost::system::error_code ec;  // a delete is empty, and any account may have written the rest
      const auto json = boost::json::parse(like.json, ec);
      const auto* uri = json.find_pointer("/subject/uri", ec);
      const std::string_view liked = uri && uri->is_string() ? std::string_view(uri->get_string()) : "";
      file << like.seq << '\t' << like.uri() << '\t' << liked << '\n';
    }
    if (!file.flush()) co_return recordkv::fail(recordkv::errc::storage, "{} can't be written", setting("LIKES_FILE"));
    feed.settle(*batch);  // only now: what is not settled comes again after a kill
  }
  co_return feed.ended();
}

int main(int argc, char** argv) {
  constexpr recordkv::stage_entry mine[] = {{"likes", recordkv::indexer<spec, work>, "write a file of likes"}};
  return recordkv::run(argc, argv, mine);
}
