// A PostgreSQL that dies, hangs, answers too late or is locked; and readers that must notice nothing of a swap.
#include "view_postgres_rig.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <thread>

using namespace recordkv;
using namespace recordkv::view;
using namespace recordkv::view::test;
using unix_socket = asio::local::stream_protocol::socket;

namespace {

/// Stands between a store and the server, and cuts the connection around a COMMIT.
class cutter {
 public:
  enum class when { never, before_commit, after_commit };

  cutter(asio::io_context& io, const recordkv::test::postgres_process& server)
      : to_(server.directory() / ".s.PGSQL.5432"), directory_(server.directory() / "cut"), acceptor_(io) {
    std::filesystem::create_directory(directory_);
    const asio::local::stream_protocol::endpoint here((directory_ / ".s.PGSQL.5432").string());
    acceptor_.open();
    acceptor_.bind(here);
    acceptor_.listen();
    asio::co_spawn(io, serve(), asio::detached);
  }
  std::string url() const { return fmt::format("postgresql:///postgres?host={}&user=recordkv", directory_.string()); }

  when cut = when::never;
  int cuts = 0;

 private:
  struct pair {
    explicit pair(asio::io_context& io) : client(io), server(io) {}
    unix_socket client, server;
    bool mute = false;  // the next answer is not handed on, but the end
  };

  task<void> serve() {
    auto& io = static_cast<asio::io_context&>(acceptor_.get_executor().context());
    for (;;) {
      auto p = std::make_shared<pair>(io);
      auto [ec] = co_await acceptor_.async_accept(p->client, use_task);
      if (ec) co_return;
      p->server.connect(asio::local::stream_protocol::endpoint(to_.string()), ec);
      if (ec) continue;
      asio::co_spawn(io, pump(p, true), asio::detached);
      asio::co_spawn(io, pump(p, false), asio::detached);
    }
  }

  task<void> pump(std::shared_ptr<pair> p, bool up) {
    std::string buffer(64 * 1024, '\0');
    auto& from = up ? p->client : p->server;
    auto& to = up ? p->server : p->client;
    for (;;) {
      auto [ec, n] = co_await from.async_read_some(asio::buffer(buffer), use_task);
      const bool commits = up && std::string_view(buffer.data(), n).contains("COMMIT") && cut != when::never;
      const bool end = ec || (commits && cut == when::before_commit) || (!up && p->mute);
      if (end) {
        if (!ec) ++cuts, cut = when::never;
        boost::system::error_code ignored;
        p->client.close(ignored);
        p->server.close(ignored);
        co_return;
      }
      p->mute = p->mute || commits;
      co_await asio::async_write(to, asio::buffer(buffer, n), use_task);
    }
  }

  std::filesystem::path to_, directory_;
  asio::local::stream_protocol::acceptor acceptor_;
};

/// A server, a store on it, and one behind a cutter.
struct cut_rig {
  cut_rig() {
    auto made = store::open(o.io, between.url(), 5s);
    if (!made) FAIL(made.error().text);
    cut = std::move(*made);
  }
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), likes_text);
  opened o{server.url()};
  cutter between{o.io, server};
  std::unique_ptr<store> cut;
};

}  // namespace

TEST_CASE("postgres: a server that is killed, and sessions that it ends: the next call connects anew") {
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), likes_text);
  opened o(server.url());
  const auto b = o.live(p, at(1));
  o.apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2));
  server.kill_9();
  auto lost = o.run(o.views->apply(p, b.number, {like(p, "did:a", "2", "x")}, at(2), at(3)));
  CHECK(lost.error().code == errc::unavailable);
  const auto gone = o.run(o.views->look("likes")).error();
  CHECK(gone.code == errc::unavailable);
  CHECK(gone.text.contains("check that PostgreSQL runs"));
  server.start();
  // synchronous_commit is off: the last moments may be gone, rows and position together.
  const auto stands = o.must(o.views->look("likes")).live->at;
  CHECK((stands == at(1) || stands == at(2)));
  CHECK(table(server.url(), "likes").size() == (stands == at(2) ? 1 : 0));
  o.apply(p, b.number, {like(p, "did:a", "1", "x"), like(p, "did:a", "2", "x")}, stands, at(3));
  const auto backend = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'recordkv'");
  server.sql(fmt::format("SELECT pg_terminate_backend({})", backend));
  while (std::filesystem::exists(fmt::format("/proc/{}", backend))) std::this_thread::sleep_for(5ms);
  o.apply(p, b.number, {like(p, "did:a", "3", "x")}, at(3), at(4));  // an idle one that has ended is noticed at once
  CHECK(table(server.url(), "likes_by_subject") == lines{"x|3"});
}

TEST_CASE("postgres: a server that ends in the middle of a batch has written nothing of it") {
  recordkv::test::postgres_process server;
  server.sql("CREATE TABLE held (x text)");
  const plan p = plan_of(server.directory(), std::string(likes_text) + "on_put = \"INSERT INTO held VALUES (:uri)\"\n");
  opened o(server.url());
  const auto b = o.live(p, at(1));
  // Another program's lock holds the batch up in its middle, so that the kill finds it there.
  std::thread holder([&] { server.try_sql("BEGIN; LOCK TABLE held; SELECT pg_sleep(600)"); });
  std::thread killer([&] {
    std::string waiting;
    while (server.try_sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'", &waiting) != 0 ||
           waiting.empty())
      std::this_thread::sleep_for(10ms);
    server.try_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
    server.try_sql(
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' AND pid <> "
        "pg_backend_pid()");
  });
  while (server.sql("SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted") == "0")
    std::this_thread::sleep_for(10ms);
  const auto lost = o.run(o.views->apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2)));
  CHECK(lost.error().code == errc::unavailable);
  killer.join();
  holder.join();
  CHECK(o.must(o.views->look("likes")).live->at == at(1));
  CHECK(table(server.url(), "likes").empty());
  CHECK(o.apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2)).rows == 1);
}

TEST_CASE("postgres: a COMMIT whose answer is lost counts as done when it was, and is done when it was not") {
  cut_rig rig;
  auto& [server, p, o, between, cut] = rig;
  const auto b = o.live(p, at(1));
  const auto apply = [&](std::uint64_t from, std::uint64_t to) {
    return o.run(cut->apply(p, b.number, {like(p, "did:a", fmt::to_string(to), "x")}, at(from), at(to)));
  };
  REQUIRE(apply(1, 2).has_value());
  between.cut = cutter::when::before_commit;
  CHECK(apply(2, 3).error().code == errc::unavailable);
  CHECK(o.must(o.views->look("likes")).live->at == at(2));
  CHECK(apply(2, 3)->rows == 1);
  between.cut = cutter::when::after_commit;
  CHECK(apply(3, 4).error().code == errc::unavailable);
  CHECK(o.must(o.views->look("likes")).live->at == at(4));
  CHECK(apply(3, 4)->rows == 1);
  CHECK(apply(3, 4).error().code == errc::conflict);  // in doubt no longer
  CHECK(between.cuts == 2);
  // In doubt, but another one has gone on from there: that is no success.
  between.cut = cutter::when::after_commit;
  CHECK(apply(4, 5).error().code == errc::unavailable);
  o.apply(p, b.number, {del("did:a", "2")}, at(5), at(6));
  CHECK(apply(4, 5).error().code == errc::conflict);
  CHECK(table(server.url(), "likes_by_subject") == lines{"x|3"});
}

TEST_CASE("postgres: a COMMIT whose answer is lost stays in doubt while another build of the view goes on") {
  cut_rig rig;
  auto& [server, p, o, between, cut] = rig;
  const auto live = o.live(p, at(1));
  const auto next = o.must(o.views->begin(p, at(1), 0, 0));
  const auto apply = [&](const build& b) {
    return o.run(cut->apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2)));
  };
  between.cut = cutter::when::after_commit;
  CHECK(apply(live).error().code == errc::unavailable);
  CHECK(apply(next)->rows == 1);
  CHECK(apply(live)->rows == 1);
  CHECK(apply(live).error().code == errc::conflict);
}

TEST_CASE("postgres: another program's lock and a full disk are told in those words") {
  recordkv::test::postgres_process server;
  server.sql("CREATE TABLE held (x text)");
  const plan p = plan_of(server.directory(), std::string(likes_text) + "on_put = \"INSERT INTO held VALUES (:uri)\"\n");
  opened o(server.url(), 100ms);
  const auto b = o.live(p, at(1));
  std::thread holder([&] { server.try_sql("BEGIN; LOCK TABLE held; SELECT pg_sleep(600)"); });
  while (server.sql("SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted") == "0")
    std::this_thread::sleep_for(10ms);
  const auto locked = o.run(o.views->apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2))).error();
  CHECK(locked.code == errc::locked);
  CHECK(locked.text.contains("locked"));
  server.sql(
      "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' AND pid <> "
      "pg_backend_pid()");
  holder.join();
  server.sql(
      "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION USING ERRCODE = "
      "'53100', MESSAGE = 'konnte Datei nicht erweitern: Auf dem Gerät ist kein Speicherplatz mehr frei'; END$$; "
      "CREATE TRIGGER t BEFORE INSERT ON held EXECUTE FUNCTION "
      "no_room()");
  const auto full = o.run(o.views->apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2))).error();
  CHECK(full.code == errc::no_space);
  CHECK(full.text.contains("full"));
  server.sql("DROP TRIGGER t ON held");
  CHECK(o.apply(p, b.number, {like(p, "did:a", "1", "x")}, at(1), at(2)).rows == 1);
  CHECK(o.must(o.views->rejects("likes", 10)).empty());
}

TEST_CASE("postgres: a wrong user or database is left to a person, and a server without free slots is waited for") {
  recordkv::test::postgres_process server;
  const auto code = [](const std::string& url) {
    opened o(url, 100ms);
    return o.run(o.views->look("likes")).error().code;
  };
  CHECK(code(server.url("stranger")) == errc::storage);
  CHECK(code(fmt::format("postgresql:///connect?host={}&user=recordkv", server.directory().string())) == errc::storage);
  server.sql("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0");
  CHECK(code(server.url("crowded")) == errc::unavailable);
}

TEST_CASE("postgres: readers see no error and no half-built table through swaps, and keep their rights") {
  recordkv::test::postgres_process server;
  const plan p = plan_of(server.directory(), likes_text);
  opened o(server.url());
  server.sql("CREATE ROLE web LOGIN");
  std::vector<change> all;
  for (int i = 0; i < 300; ++i) all.push_back(like(p, "did:a", fmt::to_string(i), "x"));
  const auto fill = [&] {
    const auto b = o.must(o.views->begin(p, at(1), 50, 0));
    o.apply(p, b.number, {all.begin(), all.begin() + 200}, at(1), at(2));
    o.must(o.views->end_bulk(p, b.number));
    o.apply(p, b.number, {all.begin() + 100, all.end()}, at(2), at(3));
    for (int tries = 0; tries < 50; ++tries) {
      auto done = o.run(o.views->ready(p, b.number, {"0"}, {"0"}));
      if (done) return;
      if (done.error().code != errc::locked) FAIL(done.error().text);
    }
    FAIL("the swap never found its moment");
  };
  fill();
  server.sql("GRANT SELECT ON likes, likes_by_subject TO web");
  std::atomic<bool> stop = false;
  std::atomic<int> wrong = 0, reads = 0;
  std::string what;
  std::vector<std::thread> readers;
  for (const std::string user : {"recordkv", "web"})
    readers.emplace_back([&, user] {
      if (user == "recordkv") {
        while (!stop) {
          const auto rows = table(server.url(), "likes").size();
          const auto count = table(server.url(), "likes_by_subject");
          ++reads;
          if (rows != 300 || count != lines{"x|300"}) ++wrong;
        }
      } else {  // one session that keeps its statement, and takes both tables in one go
        const auto script = server.directory() / "read.sql";
        std::ofstream(script) << "SELECT 1 / (count(*) = 300)::int FROM likes, likes_by_subject WHERE count = 300\n";
        while (!stop) {
          const auto command = fmt::format(
              "for i in $(seq 200); do cat {}; echo ';'; done | psql -XAtq -v ON_ERROR_STOP=1 -d '{}' >/dev/null "
              "2>{}/err",
              script.string(), server.url("web"), server.directory().string());
          ++reads;
          if (std::system(command.c_str()) != 0) ++wrong;
        }
      }
    });
  for (int i = 0; i < 12; ++i) fill();
  stop = true;
  for (auto& r : readers) r.join();
  INFO(reads.load());
  CHECK(wrong == 0);
  CHECK(reads > 4);
}
