// Direct get's many answers, from a scripted server: what is taken, and what is not trusted.
#include "../../src/kv/direct_keys.hpp"

#include "../support/nats_process.hpp"

#include <boost/json.hpp>

#include <fstream>

using namespace recordkv;
using namespace recordkv::test;

namespace {

constexpr std::string_view usual_info = R"({"config":{"allow_direct":true,"num_replicas":1},"state":{"last_seq":9}})";

struct reply {
  nats::header_list headers;
  std::string data = {};
};
using round_of = std::vector<reply>;

reply value(std::string seq, std::string before, std::string pending, std::string stream = "KV_x",
            std::string subject = "a") {
  return {{{"Nats-Stream", std::move(stream)},
           {"Nats-Subject", std::move(subject)},
           {"Nats-Sequence", std::move(seq)},
           {"Nats-Last-Sequence", std::move(before)},
           {"Nats-Num-Pending", std::move(pending)}},
          "{}"};
}

reply end(std::string last, std::string up_to = "9") {
  return {{{"Status", "204"},
           {"Description", "EOB"},
           {"Nats-Num-Pending", "0"},
           {"Nats-Last-Sequence", std::move(last)},
           {"Nats-UpTo-Sequence", std::move(up_to)}}};
}

reply status(std::string code) { return {{{"Status", std::move(code)}, {"Description", "No Results"}}}; }

/// The reader's JetStream is at another prefix, where the rig's own connection answers.
struct scripted_rig : nats_rig {
  scripted_rig() : reader(std::make_unique<nats::connection>(io)) {
    REQUIRE(reader->start({.url = server.url(), .api_prefix = "fake.API"}).has_value());
    infos = *nc.subscribe("fake.API.STREAM.INFO.KV_x");
    gets = *nc.subscribe("fake.API.DIRECT.GET.KV_x");
    REQUIRE(run(nc.flush()));
  }

  void answer(const std::string& info, const std::vector<round_of>& rounds) {
    for (const auto& m : infos.take()) REQUIRE(nc.publish(std::string(m.reply()), "", {}, info));
    for (const auto& m : gets.take()) {
      queries.push_back(boost::json::parse(m.data()).as_object());
      REQUIRE(queries.size() <= rounds.size());
      for (const auto& r : rounds[queries.size() - 1])
        REQUIRE(nc.publish(std::string(m.reply()), "", r.headers, r.data));
    }
  }

  result<bool> read(const std::vector<round_of>& rounds, std::string info = std::string(usual_info),
                    std::chrono::milliseconds max_silence = 10s) {
    queries.clear();
    taken.clear();
    std::optional<result<bool>> out;
    auto take = [this](std::string_view subject, std::uint64_t seq, const nats::message&) {
      taken.push_back(seq);
      return subject == "a";
    };
    asio::co_spawn(io, kv::take_directly(*reader, "KV_x", {"a", "b.*"}, go_on, take, max_silence),
                   [&](std::exception_ptr, result<bool> r) { out = std::move(r); });
    REQUIRE(waits_for([&] {
      answer(info, rounds);
      return out.has_value();
    }));
    return *out;
  }

  std::unique_ptr<nats::connection> reader;
  nats::subscription infos, gets;
  std::vector<boost::json::object> queries;
  std::function<bool()> go_on = [] { return true; };
  numbers taken;
};

bool taken(const result<bool>& r) { return r.has_value() && *r; }
bool distrusted(const result<bool>& r) { return r.has_value() && !*r; }

}  // namespace

TEST_CASE("answers are taken over several requests, each from the next sequence and without an upper end") {
  scripted_rig rig;
  CHECK(taken(rig.read({{value("1", "0", "2"), value("3", "1", "1"), end("3")}, {value("7", "0", "0"), end("7")}})));
  CHECK(rig.taken == numbers{1, 3, 7});
  REQUIRE(rig.queries.size() == 2);
  CHECK(rig.queries[1].at("seq").as_int64() == 4);
  CHECK(rig.queries[1].at("multi_last").as_array().size() == 2);
  CHECK_FALSE(rig.queries[1].contains("up_to_seq"));
  // what was left is gone meanwhile
  CHECK(taken(rig.read({{value("1", "0", "1"), end("1")}, {end("0")}})));
  CHECK(rig.taken == numbers{1});
}

TEST_CASE("an answer that proves nothing is not trusted") {
  scripted_rig rig;
  const auto one = value("1", "0", "1");
  const std::vector<std::pair<std::string, std::vector<round_of>>> cases{
      {"no key", {{status("404")}}},
      {"too many keys", {{status("413")}}},
      {"an old server", {{status("408")}}},
      {"no status", {{reply{}}}},
      {"an end without answers", {{end("0")}}},
      {"the first answer is missing", {{value("3", "1", "0"), end("3")}}},
      {"an answer between is missing", {{one, value("5", "3", "0"), end("5")}}},
      {"the last answer is missing", {{one, end("3")}}},
      {"the number of pending answers has a hole", {{value("1", "0", "2"), value("3", "1", "0"), end("3")}}},
      {"the sequences go back", {{value("3", "0", "1"), value("2", "3", "0"), end("2")}}},
      {"more than a request may have", {{value("1", "0", "1024"), end("1")}}},
      {"no sequence", {{value("", "0", "0"), end("0")}}},
      {"no number", {{value("1", "0", "x"), end("1")}}},
      {"a store that lags", {{value("1", "0", "0"), end("1", "8")}}},
      {"a store of unknown age", {{value("1", "0", "0"), end("1", "")}}},
      {"a mirror", {{value("1", "0", "0", "KV_mirror"), end("1")}}},
      {"another subject", {{value("1", "0", "0", "KV_x", "b"), end("1")}}},
      {"the second request begins anew", {{one, end("1")}, {one, end("1")}}},
      {"all keys are gone at the second request", {{one, end("1")}, {status("404")}}},
  };
  for (const auto& [what, rounds] : cases) {
    INFO(what);
    CHECK(distrusted(rig.read(rounds)));
    CHECK(rig.queries.size() == rounds.size());
  }
}

TEST_CASE("a stream with several replicas or without direct get is not asked") {
  scripted_rig rig;
  for (const auto* config : {R"({"allow_direct":true,"num_replicas":3})", R"({"num_replicas":1})", "{}"}) {
    CHECK(distrusted(rig.read({}, fmt::format(R"({{"config":{},"state":{{"last_seq":9}}}})", config))));
    CHECK(rig.queries.empty());
  }
  CHECK(rig.read({}, R"({"error":{"code":404,"err_code":10059}})").error().code == errc::not_found);
}

TEST_CASE("an end that does not come is an error") {
  scripted_rig rig;
  const auto found = rig.read({{value("1", "0", "0")}}, std::string(usual_info), 300ms);
  REQUIRE_FALSE(found.has_value());
  CHECK(found.error().code == errc::timed_out);
  CHECK(rig.read({{}}, std::string(usual_info), 300ms).error().code == errc::timed_out);
}

TEST_CASE("a reading that is stopped between answers ends") {
  scripted_rig rig;
  rig.go_on = [&] { return rig.taken.empty(); };
  CHECK(rig.read({{value("1", "0", "1")}}).error().code == errc::closed);
}

TEST_CASE("without the permission for direct get, keys are read with consumers") {
  const auto file = std::filesystem::temp_directory_path() / fmt::format("recordkv-denied-{}.conf", ::getpid());
  std::ofstream(file) << R"(authorization { users: [ { user: u, password: p, permissions: {
    publish: { allow: ["$JS.API.STREAM.>"] }, subscribe: { allow: ["_INBOX.>"] } } } ] })";
  captured_log log;
  nats_process server({"-c", file.string()});
  asio::io_context io(1);
  nats::connection nc(io);
  REQUIRE(nc.start({.url = server.url("u:p@")}).has_value());
  const auto create = R"({"name":"KV_x","subjects":["x.>"],"allow_direct":true})";
  REQUIRE(run_coroutine(io, nats::api(nc, "STREAM.CREATE.KV_x", create))->has_value());
  const std::function<bool()> go_on = [] { return true; };
  auto take = [](std::string_view, std::uint64_t, const nats::message&) { return true; };
  auto found = run_coroutine(io, kv::take_directly(nc, "KV_x", {"x.a"}, go_on, take));
  REQUIRE(found);
  CHECK(distrusted(*found));
  CHECK(nc.denied().find("DIRECT.GET.KV_x") != std::string::npos);
  server.kill_9();
  CHECK(becomes(io, [&] { return !nc.up(); }));
  std::filesystem::remove(file);
}
