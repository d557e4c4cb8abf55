#include "config_fixture.hpp"
#include "recordkv/config/shipped.hpp"
#include "recordkv/firehose/source_kinds.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <cstdlib>

using namespace recordkv;
using namespace recordkv::config_test;
using namespace std::chrono_literals;

TEST_CASE("later sources win: defaults, files in order, environment, --set") {
  const temporary first("[kv]\nbucket = \"one\"\npartitions = 8\nmax_keys = 1\n[log]\nlevel = \"warn\"\n");
  const temporary second("[kv]\nbucket = \"two\"\npartitions = 4\nmax_keys = 2\n");
  const config_sources all{.files = {first.path(), second.path()},
                           .environment = {{"RECORDKV_KV_PARTITIONS", "2"}, {"RECORDKV_KV_MAX_KEYS", "3"}},
                           .sets = {"kv.max_keys=4"}};
  const config c = must(all);
  CHECK(c.ingest.max_msgs == 50'000);  // default
  CHECK(c.log.level == "warn");        // first file
  CHECK(c.kv.bucket == "two");         // second file
  CHECK(c.kv.partitions == 2);         // environment
  CHECK(c.kv.max_keys == 4);           // --set
  CHECK(c.warnings.empty());

  CHECK(shown(all, "ingest.max_msgs") == "50000 (default)");
  CHECK(first.neutral(shown(all, "log.level")) == "\"warn\" (FILE:6)");
  CHECK(second.neutral(shown(all, "kv.bucket")) == "\"two\" (FILE:2)");
  CHECK(shown(all, "kv.partitions") == "2 (RECORDKV_KV_PARTITIONS)");
  CHECK(shown(all, "kv.max_keys") == "4 (--set)");
}

TEST_CASE("the last --set of a key wins") {
  CHECK(must({.files = {}, .environment = {}, .sets = {"kv.bucket=a", "kv.bucket=b"}}).kv.bucket == "b");
}

TEST_CASE("without any source the defaults apply, and they pass their own checks") {
  const config c = must({});
  CHECK(c.warnings.empty());
  CHECK(c.kv.verify == "full");
  CHECK(c.kv.workers == -1);
  CHECK(c.nats.sync_interval == 2min);
}

TEST_CASE("durations and sizes") {
  CHECK(from_text("[nats]\nsync_interval = \"250ms\"").nats.sync_interval == 250ms);
  CHECK(from_text("[nats]\nsync_interval = \"10s\"").nats.sync_interval == 10s);
  CHECK(from_text("[nats]\nsync_interval = \"3m\"").nats.sync_interval == 3min);
  CHECK(from_text("[nats]\nsync_interval = \"1h\"").nats.sync_interval == 1h);
  CHECK(from_text("[ingest]\nmax_bytes = \"1GiB\"").ingest.max_bytes == 1'073'741'824);
  CHECK(from_text("[ingest]\nmax_bytes = \"20MB\"").ingest.max_bytes == 20'000'000);
  CHECK(from_text("[ingest]\nmax_bytes = \"32768KiB\"").ingest.max_bytes == 33'554'432);
  CHECK(from_text("[ingest]\nmax_bytes = 17000001").ingest.max_bytes == 17'000'001);
}

TEST_CASE("variables and --set take bare words, TOML and lists with commas") {
  const auto set = [](std::string s) { return must({.files = {}, .environment = {}, .sets = {std::move(s)}}); };
  const std::vector<std::string> two{"app.bsky.feed.like", "app.bsky.*"};
  CHECK(set("source.collections=app.bsky.feed.like, app.bsky.*").source.collections == two);
  CHECK(set(R"(source.collections=["app.bsky.feed.like", "app.bsky.*"])").source.collections == two);
  CHECK(set(R"(source.collections="app.bsky.*")").source.collections == std::vector<std::string>{"app.bsky.*"});
  CHECK(set("repos.dids=").repos.dids.empty());
  CHECK(set("stages=kv").stages == std::vector<std::string>{"kv"});
  CHECK(set("http.listen=0.0.0.0:80").http.listen == "0.0.0.0:80");
  CHECK(set("http.listen=").http.listen.empty());
  CHECK(set("nats.creds=\"/a b\"").nats.creds == "/a b");
  CHECK(set("nats.creds=12345").nats.creds == "12345");  // digits are text where text is wanted
  CHECK(set("nats.creds=true").nats.creds == "true");
  CHECK(set("nats.creds=a=b").nats.creds == "a=b");
  CHECK(set("nats.sync_interval=10s").nats.sync_interval == 10s);
  CHECK(set("ingest.max_bytes=1GB").ingest.max_bytes == 1'000'000'000);
  CHECK(set("identity.allow_private_hosts=true").identity.allow_private_hosts);
  // What looks like two settings is one odd text.
  CHECK(set("nats.creds=\"a\"\nnats.url = \"b\"").nats.creds == "\"a\"\nnats.url = \"b\"");

  const auto from = [](std::string k, std::string v) { return must({{}, {{std::move(k), std::move(v)}}, {}}); };
  CHECK(from("RECORDKV_NATS_SYNC_INTERVAL", "5s").nats.sync_interval == 5s);
  CHECK(from("RECORDKV_STAGES", "ingest,kv").stages == std::vector<std::string>{"ingest", "kv"});
  CHECK(from("RECORDKV_IDENTITY_ALLOW_PRIVATE_HOSTS", "true").identity.allow_private_hosts);
}

TEST_CASE("several NATS servers") {
  CHECK(from_text("[nats]\nurl = \"nats://a:4222,tls://b:4222\"").nats.url == "nats://a:4222,tls://b:4222");
}

TEST_CASE("a refused value may be overridden by a later source") {
  const temporary file("[repos]\nmode = \"all\"\n");
  CHECK(must({.files = {file.path()}, .environment = {}, .sets = {"repos.mode=live"}}).repos.mode == "live");
}

TEST_CASE("variables of scripts and tests are ignored") {
  const auto c = load_config({{},
                              {{"RECORDKV_FIXTURES", "/x"},
                               {"RECORDKV_NATS_SERVER", "/y"},
                               {"RECORDKV_SIM", "/z"},
                               {"RECORDKV_TEST_CRASH", "1"}},
                              {}});
  CHECK(c.has_value());
}

TEST_CASE("variables that describe a service called recordkv are ignored, and only those") {
  for (const char* name : {"RECORDKV_SERVICE_HOST", "RECORDKV_SERVICE_PORT", "RECORDKV_SERVICE_PORT_HTTP",
                           "RECORDKV_PORT", "RECORDKV_PORT_2580_TCP", "RECORDKV_PORT_2580_TCP_PROTO",
                           "RECORDKV_PORT_2580_TCP_PORT", "RECORDKV_PORT_2580_TCP_ADDR"}) {
    INFO(name);
    CHECK(load_config({{}, {{name, "tcp://10.0.0.11:2580"}}, {}}).has_value());
  }
  for (const char* name : {"RECORDKV_SERVICE", "RECORDKV_SERVICES_HOST", "RECORDKV_PORTS", "RECORDKV_HTTP_PORT"}) {
    INFO(name);
    CHECK_FALSE(load_config({{}, {{name, "2580"}}, {}}).has_value());
  }
  // A section of that name would be cut off from the environment.
  const auto keys = show_config({});
  REQUIRE(keys.has_value());
  for (const auto& k : *keys) CHECK_FALSE((k.key.starts_with("service") || k.key.starts_with("port")));
}

TEST_CASE("the process's own variables") {
  setenv("RECORDKV_KV_BUCKET", "a=b", 1);
  const auto all = config_environment();
  unsetenv("RECORDKV_KV_BUCKET");
  bool found = false;
  for (const auto& [name, value] : all) {
    CHECK(name.starts_with("RECORDKV_"));
    found = found || (name == "RECORDKV_KV_BUCKET" && value == "a=b");
  }
  CHECK(found);
}

TEST_CASE("a key without effect so far is accepted with one warning, unless it has its default") {
  const temporary file("[http]\nadmin_token = \"t\"\n");
  auto c = must({.files = {file.path()}, .environment = {}, .sets = {"http.admin_token=u"}});
  for (auto& w : c.warnings) w = file.neutral(w);
  const std::string rest = ": accepted, but has no effect yet: its feature is still to come";
  CHECK(c.warnings == std::vector<std::string>{"--set: http.admin_token" + rest});
  CHECK(must({{}, {}, {"http.listen=0.0.0.0:2580"}}).warnings.empty());
  CHECK(must({{}, {}, {"source.kind=jetstream", "source.url=ws://h", R"(repos.dids=["did:plc:a"])"}}).warnings.empty());
}

TEST_CASE("the events that are needed include those of the signal collection") {
  const auto needed = [](const char* collections) {
    return must({{}, {}, {"repos.mode=signal", "repos.signal_collection=a.b.c", collections}}).needed_collections();
  };
  using words = std::vector<std::string>;
  CHECK(needed(R"(source.collections=["x.y.z"])") == words{"x.y.z", "a.b.c"});
  CHECK(needed(R"(source.collections=["a.b.*"])") == words{"a.b.*"});
  CHECK(must({{}, {}, {R"(source.collections=["x.y.z"])"}}).needed_collections() == words{"x.y.z"});
}

TEST_CASE("every kind of the table may be configured, and the default is one of them") {
  for (const auto& kind : firehose::source_kinds) {
    INFO(kind.name);
    const auto url = kind.remote ? "source.url=wss://h.example" : "source.url=recording.bin";
    CHECK(must({{}, {}, {fmt::format("source.kind={}", kind.name), url}}).source.kind == kind.name);
    const auto by_time =
        load_config({{}, {}, {fmt::format("source.kind={}", kind.name), url, "source.start=2026-01-31T12:00:00Z"}});
    CHECK(by_time.has_value() == kind.timed);
  }
  CHECK(firehose::source_kind_named(config{}.source.kind).of_relay);
}

TEST_CASE("the database's path") {
  config c;
  CHECK(c.sqlite_path() == "./recordkv-data/likes.db");
  CHECK(c.database() == "sqlite:./recordkv-data/likes.db");
  c.state.dir = "/var/lib/recordkv";
  CHECK(c.sqlite_path() == "/var/lib/recordkv/likes.db");
  c.index.database = "sqlite:/elsewhere/l.db";
  CHECK(c.sqlite_path() == "/elsewhere/l.db");
  CHECK(c.database() == "sqlite:/elsewhere/l.db");
  c.index.database = "postgresql://u@h/d";
  CHECK(c.sqlite_path().empty());
  CHECK(c.database() == "postgresql://u@h/d");
}

TEST_CASE("collections by name, prefix and star") {
  CHECK(wants_collection({"*"}, "app.bsky.feed.like"));
  CHECK(wants_collection({"a.b.c", "app.bsky.*"}, "app.bsky.feed.like"));
  CHECK(wants_collection({"app.bsky.feed.like"}, "app.bsky.feed.like"));
  CHECK_FALSE(wants_collection({"app.bsky.feed.like"}, "app.bsky.feed.likes"));
  CHECK_FALSE(wants_collection({"app.bsky.*"}, "app.bskyx.feed.like"));
  CHECK_FALSE(wants_collection({"app.bsky.*"}, "app.bsky"));
  CHECK_FALSE(wants_collection({"app.bsky.*"}, "app.bsky."));
  CHECK_FALSE(wants_collection({}, "app.bsky.feed.like"));
}

TEST_CASE("config/recordkv.toml names every key with its default") {
  const config_sources file{.files = {repository("config/recordkv.toml")}, .environment = {}, .sets = {}};
  const auto written = show_config(file);
  const auto defaults = show_config({});
  REQUIRE(written.has_value());
  REQUIRE(defaults.has_value());
  REQUIRE(written->size() == defaults->size());
  for (std::size_t i = 0; i < defaults->size(); ++i) {
    INFO((*defaults)[i].key);
    CHECK((*written)[i].value == (*defaults)[i].value);
    CHECK((*written)[i].origin != "default");  // it stands in the file
  }
  CHECK(must(file).warnings.empty());
}

TEST_CASE("config/quickstart.toml follows likes and posts up to a limit") {
  const auto c = must({.files = {repository("config/quickstart.toml")}, .environment = {}, .sets = {}});
  CHECK(c.source.collections == std::vector<std::string>{"app.bsky.feed.like", "app.bsky.feed.post"});
  CHECK(c.kv.max_keys == 5'000'000);
  CHECK(c.nats.sync_interval == 10s);
  CHECK(c.warnings.empty());
}

TEST_CASE("the files of config/ are compiled in, all of them") {
  const auto text_in = [](const std::string& file) {
    std::ifstream in(repository(file), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  std::set<std::string> files;
  for (const auto& f : std::filesystem::directory_iterator(repository("config/views"))) {
    const auto name = "builtin:" + f.path().stem().string();
    INFO(name);
    CHECK(files.insert(name).second);
    CHECK(shipped::text_of(name) == text_in("config/views/" + f.path().filename().string()));
  }
  const auto all = shipped::views_matching("builtin:*");
  CHECK(std::set(all.begin(), all.end()) == files);
  CHECK(shipped::views_matching("builtin:l*") == std::vector<std::string>{"builtin:likes", "builtin:links"});
  CHECK(shipped::views_matching("builtin:quickstart").empty());
  CHECK(shipped::views_matching("likes").empty());
  CHECK_FALSE(shipped::text_of("builtin:recordkv"));
  CHECK(shipped::text_of(shipped::quickstart) == text_in("config/quickstart.toml"));
  CHECK(shipped::reference_configuration() == text_in("config/recordkv.toml"));
}

TEST_CASE("by default there are the views of records that ship; a table of accounts is asked for") {
  auto all = shipped::views_matching("builtin:*");
  std::erase(all, "builtin:accounts");
  CHECK(must({}).index.views == all);
  CHECK(shipped::views_matching("builtin:accounts").size() == 1);
}

TEST_CASE("the quickstart is a file like any other, and later sources win") {
  const config_sources quick{.files = {"builtin:quickstart"}, .environment = {}, .sets = {"kv.max_keys=7"}};
  CHECK(must(quick).kv.max_keys == 7);
  CHECK(shown(quick, "nats.sync_interval").starts_with("\"10s\" (builtin:quickstart:"));
  CHECK_FALSE(load_config({.files = {"builtin:none"}, .environment = {}, .sets = {}}).has_value());
}

TEST_CASE("whether a key was written anywhere") {
  const auto without = must({});
  CHECK_FALSE(without.index.database_asked_for);
  CHECK_FALSE(without.index.views_asked_for);
  CHECK(must({{}, {}, {"index.database=sqlite:likes.db"}}).index.database_asked_for);
  CHECK(must({{}, {{"RECORDKV_INDEX_VIEWS", "builtin:likes"}}, {}}).index.views_asked_for);
}

TEST_CASE("--stages overrides every other source, and is shown as the origin") {
  const config_sources from{.files = {}, .environment = {}, .sets = {"stages=kv"}, .stages = "ingest,index"};
  CHECK(must(from).stages == std::vector<std::string>{"ingest", "index"});
  CHECK(shown(from, "stages") == "[\"ingest\", \"index\"] (--stages)");
}
