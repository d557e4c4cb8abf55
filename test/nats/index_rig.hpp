// What the tests of stage `index` share: a nats-server with a store, and the stage with one view in a file of its own.
//
// Owns: starting and ending the stage, and waiting until its view has folded everything.
// Does not know: what a view has rows of.
#pragma once

#include "../stages.hpp"
#include "../support/nats_process.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/kv/store_meta.hpp"
#include "recordkv/view/store.hpp"

#include <fstream>

namespace recordkv::test {

struct view_rig : nats_rig {
  /// `view`: its name. `read`: the stream of which it has rows, in messages of the subjects `wanted`.
  view_rig(std::string view, std::string read, std::string wanted)
      : view_name(std::move(view)), stream_read(std::move(read)), subjects_wanted(std::move(wanted)) {
    std::string name = (std::filesystem::temp_directory_path() / "recordkv-index-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()));
    directory = name;
    cfg.index.views = {(directory / "views.toml").string()};
    cfg.index.database = "sqlite:" + (directory / "views.db").string();
    open();
  }
  ~view_rig() {
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
  void define(std::string_view text) { std::ofstream(directory / "views.toml") << text; }

  void open() {
    auto opened = run(kv::open_store(nc, "record", 16, 1));
    if (!opened) FAIL(opened.error().text);
  }

  view::answer ask(const std::string& table) const {
    auto found = view::query(cfg.index.database, table, {}, 100'000);
    if (!found) FAIL(found.error().text);
    return std::move(*found);
  }
  view::builds builds() const {
    auto there = view::read_builds(cfg.index.database, view_name);
    return there ? *there : view::builds{};
  }
  view::position position() const {
    const auto there = builds();
    return there.live ? there.live->at : view::position{};
  }

  void start() {
    stage_context ctx{nc, cfg, counters, {.api_level = api_level()}, &board};
    context = std::make_unique<stage_context>(ctx);
    auto made = stages::make_index(*context);
    if (!made) FAIL(made.error().text);
    index = std::move(*made);
    ended.reset();
    asio::co_spawn(io, index->run(), [this](std::exception_ptr e, result<void> r) {
      if (e) std::rethrow_exception(e);
      ended = r;
    });
  }
  words durables(const std::string& stream) {
    const auto names = run(nats::consumer_names(nc, stream));
    return names ? *names : words{"(no answer)"};
  }
  /// Every partition's position is at the end of the stream, as far as the view goes, and the live build is folded on.
  bool folded() {
    const auto last = last_wanted();
    return waits_for([&] {
             const auto at = position();
             const auto it = at.seq.find("0");
             return ended.has_value() || (it != at.seq.end() && it->second >= last && !builds().next);
           }) &&
           waits_for([&] { return ended.has_value() || durables(stream_read) == words{"view-" + view_name}; });
  }
  std::uint64_t last_wanted() {
    const auto m = run(nats::last_message(nc, stream_read, subjects_wanted));
    return m ? m->seq : 0;
  }

  result<void> stop() {
    index->close();
    if (!waits_for([this] { return ended.has_value(); })) FAIL("the stage does not end");
    for (const auto& e : board.read()) rows_written += e.what->counted.value("rows");
    index.reset();
    return *ended;
  }

  const std::string view_name, stream_read, subjects_wanted;
  std::filesystem::path directory;
  config cfg;
  std::uint64_t rows_written = 0;  // over all runs of the stage
  stats_board board;
  std::unique_ptr<stage_context> context;
  std::unique_ptr<stage> index;
  std::optional<result<void>> ended;
};

}  // namespace recordkv::test
