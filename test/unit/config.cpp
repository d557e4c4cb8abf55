#include "recordkv/config.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

using namespace recordkv;
using namespace std::chrono_literals;

namespace {

/// A file that goes away with the test. Messages name it "FILE", so that expectations need no path.
class temporary {
 public:
  explicit temporary(std::string_view text, std::string_view name = "c.toml")
      : path_(std::filesystem::temp_directory_path() / fmt::format("recordkv-{}-{}-{}", getpid(), ++count_, name)) {
    std::ofstream(path_) << text;
  }
  ~temporary() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }
  std::string neutral(std::string text) const {
    for (auto at = text.find(path()); at != text.npos; at = text.find(path())) text.replace(at, path().size(), "FILE");
    return text;
  }

 private:
  static inline int count_ = 0;
  std::filesystem::path path_;
};

config must(const config_sources& from) {
  auto c = load_config(from);
  if (!c) FAIL(c.error().text);
  return std::move(*c);
}

config from_text(std::string_view text) {
  const temporary file(text);
  return must({.files = {file.path()}, .environment = {}, .sets = {}});
}

/// The message that a file's text gives, "" when it is fine.
std::string complaint(std::string_view text) {
  const temporary file(text);
  const auto c = load_config({.files = {file.path()}, .environment = {}, .sets = {}});
  if (c) return "";
  CHECK(c.error().code == errc::bad_config);
  return file.neutral(c.error().text);
}

std::string shown(const config_sources& from, std::string_view key) {
  auto all = show_config(from);
  if (!all) FAIL(all.error().text);
  for (const auto& s : *all)
    if (s.key == key) return fmt::format("{} ({})", s.value, s.origin);
  return "missing";
}

std::string repository(std::string_view path) { return fmt::format("{}/{}", RECORDKV_SOURCE_ROOT, path); }

}  // namespace

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

TEST_CASE("no source at all gives the defaults, and they pass their own checks") {
  const config c = must({});
  CHECK(c.warnings.empty());
  CHECK(c.kv.verify == "none");
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

TEST_CASE("a mistake in a file names file, line and key, and what to write") {
  const std::vector<std::pair<std::string_view, std::string_view>> table{
      // names
      {"[kv]\n\npartition = 4", "FILE:3: kv.partition: unknown key; did you mean kv.partitions?"},
      {"[kv]\nurl = \"x\"", "FILE:2: kv.url: unknown key; did you mean nats.url?"},
      {"[kv]\nfrobnicate_it = 1", "FILE:2: kv.frobnicate_it: unknown key; config/recordkv.toml lists them all"},
      {"\n[natz]\nurl = \"x\"", "FILE:2: [natz]: unknown section; did you mean [nats]?"},
      {"[whatever]\n", "FILE:1: [whatever]: unknown section; config/recordkv.toml lists them all"},
      {"stage = [\"kv\"]", "FILE:1: stage: unknown key; did you mean stages?"},
      {"nats = \"x\"", "FILE:1: nats: is a section; write [nats] and its keys below it"},
      {"[[kv]]\nbucket = \"x\"", "FILE:1: kv: is a section; write [kv] and its keys below it"},
      {"[[view]]\nname = \"x\"", "FILE:1: [[view]]: views stand in files of their own; name those in index.views"},
      {"[kv.bucket]\nname = \"x\"",
       "FILE:1: kv.bucket: wants text in quotes, not a table; the default is kv.bucket = \"record\""},
      // types
      {"[kv]\nbucket = 3", "FILE:2: kv.bucket: wants text in quotes, not 3; the default is kv.bucket = \"record\""},
      {"[kv]\npartitions = \"16\"",
       "FILE:2: kv.partitions: wants an integer from 1 to 4096, not \"16\"; the default is kv.partitions = 16"},
      {"[kv]\npartitions = 1.5",
       "FILE:2: kv.partitions: wants an integer from 1 to 4096, not 1.5; the default is kv.partitions = 16"},
      {"[identity]\nallow_private_hosts = \"yes\"",
       "FILE:2: identity.allow_private_hosts: wants true or false, not \"yes\"; the default is "
       "identity.allow_private_hosts = false"},
      {"stages = \"kv\"",
       "FILE:1: stages: wants a list of texts such as [\"a\", \"b\"], not \"kv\"; the default is stages = [\"ingest\", "
       "\"kv\", \"index\"]"},
      {"stages = [\"kv\", 1]",
       "FILE:1: stages: wants a list of texts such as [\"a\", \"b\"], not a list; the default is stages = [\"ingest\", "
       "\"kv\", \"index\"]"},
      {"[nats]\nsync_interval = 10",
       "FILE:2: nats.sync_interval: wants a duration such as \"10s\" or \"2m\", from 100ms to 24h, not 10; the default "
       "is nats.sync_interval = \"2m\""},
      {"[nats]\nsync_interval = \"10 s\"",
       "FILE:2: nats.sync_interval: wants a duration such as \"10s\" or \"2m\", from 100ms to 24h, not \"10 s\"; the "
       "default is nats.sync_interval = \"2m\""},
      {"[ingest]\nmax_bytes = \"256M\"",
       "FILE:2: ingest.max_bytes: wants a size such as \"256MB\" or \"1GiB\", at least 16MB, not \"256M\"; the default "
       "is ingest.max_bytes = \"256MB\""},
      {"[http]\nadmin_token = 12345",
       "FILE:2: http.admin_token: wants text in quotes, not what stands there; the default is http.admin_token = \"\""},
      // ranges
      {"[kv]\npartitions = 0",
       "FILE:2: kv.partitions: wants an integer from 1 to 4096, not 0; the default is kv.partitions = 16"},
      {"[kv]\nmax_keys = -1",
       "FILE:2: kv.max_keys: wants an integer of at least 0, not -1; the default is kv.max_keys = 0"},
      {"[nats]\nsync_interval = \"9223372036854775807h\"",
       "FILE:2: nats.sync_interval: wants a duration such as \"10s\" or \"2m\", from 100ms to 24h, not "
       "\"9223372036854775807h\"; the default is nats.sync_interval = \"2m\""},
      {"[nats]\nreplicas = 2", "FILE:2: nats.replicas: wants 1, 3 or 5, since a stream needs a majority; not 2"},
      // choices and shapes
      {"[kv]\nverify = \"ful\"",
       "FILE:2: kv.verify: wants one of \"none\", \"full\", not \"ful\"; the default is kv.verify = \"none\""},
      {"[ingest]\nstorage = \"file|memory\"",
       "FILE:2: ingest.storage: wants one of \"file\", \"memory\", not \"file|memory\"; the default is ingest.storage "
       "= "
       "\"file\""},
      {"stages = [\"kv\", \"indx\"]",
       "FILE:1: stages: there is no stage \"indx\"; choose from \"ingest\", \"kv\", \"index\""},
      {"stages = [\"kv\", \"kv\"]", "FILE:1: stages: \"kv\" stands there twice; name each stage once"},
      {"stages = []", "FILE:1: stages: no stage to run; choose from \"ingest\", \"kv\", \"index\""},
      {"[source]\ncollections = [\"app.bsky\"]",
       "FILE:2: source.collections: \"app.bsky\" is no collection; write one such as \"app.bsky.feed.like\", "
       "\"app.bsky.*\" or \"*\""},
      {"[source]\ncollections = []",
       "FILE:2: source.collections: no collection would be stored; write [\"*\"] for all"},
      {"[source]\nurl = \"relay.example\"", "FILE:2: source.url: wants wss://host, not \"relay.example\""},
      {"[source]\nkind = \"file\"\nurl = \"wss://relay.example\"",
       "FILE:3: source.url: source.kind = \"file\" wants the path of a recording here"},
      {"[source]\nkind = \"jetstream\"",
       "default: source.url: source.kind = \"jetstream\" wants a Jetstream's address here, not a relay's"},
      {"[nats]\nurl = \"127.0.0.1:4222\"",
       "FILE:2: nats.url: wants nats://host:port or tls://host:port, several with commas between, not "
       "\"127.0.0.1:4222\""},
      {"[kv]\nbucket = \"a.b\"",
       "FILE:2: kv.bucket: wants letters, digits, \"-\" and \"_\" only, as NATS does for buckets; not \"a.b\""},
      {"[http]\nlisten = \"2580\"",
       "FILE:2: http.listen: wants host:port, such as \"127.0.0.1:2580\", or \"\" for no HTTP; not \"2580\""},
      {"[http]\nlisten = \"localhost:99999\"",
       "FILE:2: http.listen: wants host:port, such as \"127.0.0.1:2580\", or \"\" for no HTTP; not "
       "\"localhost:99999\""},
      {"[repos]\ndids = [\"alice.example\"]",
       "FILE:2: repos.dids: \"alice.example\" is no DID; write did:plc:... or did:web:..."},
      {"[index]\ndatabase = \"likes.db\"",
       "FILE:2: index.database: wants sqlite: and a path; write \"sqlite:likes.db\" or \"sqlite:/absolute/path.db\""},
      {"[index]\ndatabase = \"sqlite://likes.db\"",
       "FILE:2: index.database: wants sqlite: and a path; write \"sqlite:likes.db\" or \"sqlite:/absolute/path.db\""},
      {"[index]\ndatabase = \"sqlite::memory:\"",
       "FILE:2: index.database: rows must outlive the process; write \"sqlite:likes.db\" or "
       "\"sqlite:/absolute/path.db\""},
      // what would be unsafe to ignore
      {"[kv]\nverify = \"full\"",
       "FILE:2: kv.verify: signatures are not verified yet; write kv.verify = \"none\" and see README"},
      {"[kv]\nstreams = 4", "FILE:2: kv.streams: a store is one stream so far; write kv.streams = 1"},
      {"[kv]\nassign = \"0-7\"",
       "FILE:2: kv.assign: partitions cannot be shared out yet, and two processes would overlap; write kv.assign = "
       "\"all\""},
      {"[index]\nassign = \"0-7\"",
       "FILE:2: index.assign: partitions cannot be shared out yet, and two processes would overlap; write index.assign "
       "= \"all\""},
      {"[repos]\nmode = \"list\"", "FILE:2: repos.mode: backfill is still to come; write repos.mode = \"live\""},
      {"[index]\ndatabase = \"postgresql://u:secret@h/d\"",
       "FILE:2: index.database: PostgreSQL is still to come; write \"sqlite:likes.db\" or "
       "\"sqlite:/absolute/path.db\""},
  };
  for (const auto& [text, expected] : table) {
    INFO(text);
    CHECK(complaint(text) == expected);
  }
}

TEST_CASE("of several mistakes the first in the file is told, though tables are sorted by name") {
  CHECK(complaint("[nats]\nzzz_unheard_of = 1\n[http]\naaa_unheard_of = 1\n") ==
        "FILE:2: nats.zzz_unheard_of: unknown key; config/recordkv.toml lists them all");
}

TEST_CASE("a file that is no TOML, or is not there") {
  CHECK(complaint("[kv]\nbucket = \n").starts_with("FILE:2: "));
  CHECK(complaint("[kv]\nbucket = \"a\"\nbucket = \"b\"\n").starts_with("FILE:3: "));
  const auto read = [](std::string path) {
    return load_config({.files = {std::move(path)}, .environment = {}, .sets = {}});
  };
  CHECK(read("/nowhere/c.toml").error().text ==
        "cannot read configuration file /nowhere/c.toml: No such file or directory");
  CHECK(read("/").error().text == "cannot read configuration file /: Is a directory");
}

TEST_CASE("a refused value may be overridden by a later source") {
  const temporary file("[kv]\nverify = \"full\"\n");
  CHECK(must({.files = {file.path()}, .environment = {}, .sets = {"kv.verify=none"}}).kv.verify == "none");
}

TEST_CASE("mistakes in variables and --set name them") {
  const auto environment = [](std::string name, std::string value) {
    return load_config({{}, {{std::move(name), std::move(value)}}, {}}).error().text;
  };
  CHECK(environment("RECORDKV_NATS_URI", "x") ==
        "RECORDKV_NATS_URI: unknown variable; did you mean RECORDKV_NATS_URL?");
  CHECK(environment("RECORDKV_STAGE", "kv") == "RECORDKV_STAGE: unknown variable; did you mean RECORDKV_STAGES?");
  CHECK(environment("RECORDKV_QQQQQQ_QQQQQQQQ", "x") ==
        "RECORDKV_QQQQQQ_QQQQQQQQ: unknown variable; config/recordkv.toml lists them all");
  CHECK(environment("RECORDKV_", "x").starts_with("RECORDKV_: unknown variable"));
  CHECK(
      environment("RECORDKV_KV_PARTITIONS", "") ==
      "RECORDKV_KV_PARTITIONS: kv.partitions: wants an integer from 1 to 4096, not \"\"; the default is kv.partitions "
      "= 16");
  const auto set = [](std::string s) { return load_config({{}, {}, {std::move(s)}}).error().text; };
  CHECK(set("kv.bucket") == "--set kv.bucket: write --set section.key=value");
  CHECK(set("=x") == "--set =x: write --set section.key=value");
  CHECK(set("kv.buckt=x") == "--set: kv.buckt: unknown key; did you mean kv.bucket?");
  CHECK(set("kv.partitions=many") ==
        "--set: kv.partitions: wants an integer from 1 to 4096, not \"many\"; the default is kv.partitions = 16");
}

TEST_CASE("variables that scripts and tests use are let pass") {
  const auto c = load_config(
      {{}, {{"RECORDKV_FIXTURES", "/x"}, {"RECORDKV_NATS_SERVER", "/y"}, {"RECORDKV_TEST_CRASH", "1"}}, {}});
  CHECK(c.has_value());
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

TEST_CASE("a key whose feature is still to come is accepted with one line, unless it has its default") {
  const temporary file(
      "[kv]\non_inactive = \"keep\"\n[identity]\nplc_url = \"https://plc.example\"\nallow_private_hosts = false\n"
      "[repos]\nsignal_collection = \"com.example.app\"\ndids = [\"did:plc:a\"]\n[http]\nadmin_token = \"t\"\n");
  auto c = must({.files = {file.path()}, .environment = {}, .sets = {"http.admin_token=u"}});
  for (auto& w : c.warnings) w = file.neutral(w);
  const std::string rest = ": accepted, but has no effect yet: its feature is still to come";
  CHECK(c.warnings == std::vector<std::string>{"FILE:2: kv.on_inactive" + rest, "FILE:4: identity.plc_url" + rest,
                                               "FILE:8: repos.dids" + rest, "FILE:7: repos.signal_collection" + rest,
                                               "--set: http.admin_token" + rest});
  CHECK(c.kv.on_inactive == "keep");
  CHECK(must({{}, {}, {"http.listen=0.0.0.0:2580"}}).warnings.empty());
}

TEST_CASE("secrets are neither shown nor repeated in messages") {
  const auto show = [](std::string key, std::string value) {
    return shown({{}, {}, {fmt::format("{}={}", key, value)}}, key);
  };
  CHECK(show("http.admin_token", "hush") == "\"***\" (--set)");
  CHECK(shown({}, "http.admin_token") == "\"\" (default)");
  CHECK(show("nats.url", "nats://u:p@h:4222") == "\"nats://u:***@h:4222\" (--set)");
  CHECK(show("nats.url", "nats://token@h") == "\"nats://***@h\" (--set)");
  CHECK(show("nats.url", "nats://u:p,@/x@h:1,tls://v:q@i:2") == "\"nats://u:***@h:1,tls://v:***@i:2\" (--set)");
  CHECK(show("nats.url", "nats://h:4222") == "\"nats://h:4222\" (--set)");
  CHECK(show("source.url", "wss://u:p@relay.example") == "\"wss://u:***@relay.example\" (--set)");
  CHECK(must({{}, {}, {"nats.url=nats://u:p@h:4222"}}).nats.url == "nats://u:p@h:4222");

  for (const std::string bad :
       {"nats.url=http://u:hush@h", "nats.url=u:hush@h", "nats.url=nats://a,b:hush@h,x://u:hush@i",
        "index.database=postgresql://u:hush@h/d", "http.admin_token={hush=1", "source.url=https://u:hush@h",
        "source.kind=x://u:hush@h"}) {
    const auto c = load_config({{}, {}, {bad}});
    INFO(bad);
    if (bad.starts_with("http.admin_token"))
      CHECK(c.has_value());  // any text is a token
    else
      CHECK(!c.error().text.contains("hush"));
  }
}

TEST_CASE("the database's path") {
  config c;
  CHECK(c.sqlite_path() == "./recordkv-data/likes.db");
  c.state.dir = "/var/lib/recordkv";
  CHECK(c.sqlite_path() == "/var/lib/recordkv/likes.db");
  c.index.database = "sqlite:/elsewhere/l.db";
  CHECK(c.sqlite_path() == "/elsewhere/l.db");
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
