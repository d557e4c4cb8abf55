#include "config_fixture.hpp"

using namespace recordkv;
using namespace recordkv::config_test;

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
      {"[[view]]\nname = \"x\"", "FILE:1: [[view]]: views have their own files; name them in index.views"},
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
       "FILE:2: http.admin_token: wants text in quotes, not the given value; the default is http.admin_token = \"\""},
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
       "FILE:2: kv.verify: wants one of \"full\", \"none\", not \"ful\"; the default is kv.verify = \"full\""},
      {"[kv]\nworkers = -2",
       "FILE:2: kv.workers: wants an integer from -1 to 256, not -2; the default is kv.workers = -1"},
      {"[ingest]\nstorage = \"file|memory\"",
       "FILE:2: ingest.storage: wants one of \"file\", \"memory\", not \"file|memory\"; the default is ingest.storage "
       "= "
       "\"file\""},
      {"stages = [\"kv,index\"]",
       "FILE:1: stages: \"kv,index\" cannot name a stage; those that ship are \"ingest\", \"kv\", \"index\""},
      {"stages = [\"kv\", \"kv\"]", "FILE:1: stages: \"kv\" is listed twice; name each stage once"},
      {"stages = []", "FILE:1: stages: no stage to run; those that ship are \"ingest\", \"kv\", \"index\""},
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
      {"[kv]\nbucket = \"lock\"",
       "FILE:2: kv.bucket: \"lock\" is the name of what the store \"record\" keeps beside its records; use another"},
      {"[kv]\nbucket = \"mine_repo\"",
       "FILE:2: kv.bucket: \"mine_repo\" ends in \"_repo\", as what another store keeps beside its records does; use "
       "another"},
      {"[http]\nlisten = \"2580\"",
       "FILE:2: http.listen: wants host:port, such as \"127.0.0.1:2580\", or \"\" for no HTTP; not \"2580\""},
      {"[http]\nlisten = \"localhost:99999\"",
       "FILE:2: http.listen: wants host:port, such as \"127.0.0.1:2580\", or \"\" for no HTTP; not "
       "\"localhost:99999\""},
      {"[index]\ndatabase = \"likes.db\"",
       "FILE:2: index.database: wants sqlite: and a path, or a postgresql:// URL; "
       "write \"sqlite:likes.db\", \"sqlite:/absolute/path.db\" or \"postgresql://user@host/database\""},
      {"[index]\ndatabase = \"sqlite://likes.db\"",
       "FILE:2: index.database: wants sqlite: and a path, or a postgresql:// URL; "
       "write \"sqlite:likes.db\", \"sqlite:/absolute/path.db\" or \"postgresql://user@host/database\""},
      {"[index]\ndatabase = \"sqlite::memory:\"",
       "FILE:2: index.database: rows must outlive the process; "
       "write \"sqlite:likes.db\", \"sqlite:/absolute/path.db\" or \"postgresql://user@host/database\""},
      // what would be unsafe to ignore
      {"[kv]\nstreams = 4", "FILE:2: kv.streams: a store is one stream so far; write kv.streams = 1"},
      {"[kv]\nassign = \"0-7,\"",
       "FILE:2: kv.assign: wants \"all\" or partitions such as \"0-7,a\", in lower-case hex; not \"0-7,\""},
      {"[index]\nassign = \"A\"",
       "FILE:2: index.assign: wants \"all\" or partitions such as \"0-7,a\", in lower-case hex; not \"A\""},
      {"[nats]\ntls_cert = \"me.pem\"",
       "FILE:2: nats.tls_cert: a client certificate has two files; write both nats.tls_cert and nats.tls_key"},
      {"[nats]\ncreds = \"a\"\nnkey_seed = \"b\"",
       "FILE:3: nats.nkey_seed: a credentials file brings a key of its own; write nats.creds or nats.nkey_seed, not "
       "both"},
      {"[nats]\ndomain = \"hub.API\"",
       "FILE:2: nats.domain: wants the name of a JetStream domain, such as \"hub\": letters, digits, \"-\" and \"_\"; "
       "not "
       "\"hub.API\""},
      {"[nats]\ndomain = \"hub\"\napi_prefix = \"hub.API\"",
       "FILE:2: nats.domain: already says that the API is at \"$JS.hub.API\"; write nats.domain or nats.api_prefix, "
       "not "
       "both"},
      {"[nats]\napi_prefix = \"hub.API.>\"",
       "FILE:2: nats.api_prefix: wants the beginning of a subject, such as \"hub.API\", without wildcards; not "
       "\"hub.API.>\""},
      {"[nats]\ninbox_prefix = \"_INBOX.\"",
       "FILE:2: nats.inbox_prefix: wants the beginning of a subject, such as \"_INBOX\" or \"_INBOX.recordkv\", "
       "without "
       "wildcards; not \"_INBOX.\""},
      {"[nats]\ninbox_prefix = \"\"",
       "FILE:2: nats.inbox_prefix: wants the beginning of a subject, such as \"_INBOX\" or \"_INBOX.recordkv\", "
       "without "
       "wildcards; not \"\""},
      {"[repos]\nmode = \"all\"\nrepair = false",
       "FILE:2: repos.mode: \"all\" fetches accounts, which repos.repair = false forbids; write repos.repair = true"},
      {"[repos]\ndids = [\"did:plc:a\"]",
       "FILE:2: repos.dids: names the accounts of repos.mode = \"list\"; the mode is \"live\""},
      {"[repos]\nmode = \"list\"\ndids = [\"alice\"]",
       "FILE:3: repos.dids: \"alice\" is neither a DID nor a handle; write did:plc:..., did:web:... or "
       "alice.example.com"},
      {"[source]\nkind = \"jetstream\"\nurl = \"ws://h\"\n[repos]\nmode = \"list\"\ndids = [\"alice.example.com\"]",
       "FILE:6: repos.dids: \"alice.example.com\": a Jetstream is asked for DIDs; write did:plc:... or did:web:..."},
      {"[repos]\nmode = \"signal\"",
       "default: repos.signal_collection: repos.mode = \"signal\" wants a collection, such as "
       "\"app.bsky.feed.post\"; not \"\""},
      {"[repos]\neach_host = true", "FILE:2: repos.each_host: belongs to repos.mode = \"all\"; the mode is \"live\""},
      {"[repos]\nsignal_collection = \"a.b.c\"",
       "FILE:2: repos.signal_collection: belongs to repos.mode = \"signal\"; the mode is \"live\""},
      {"[source]\nkind = \"file\"\nurl = \"f\"\n[repos]\nmode = \"all\"",
       "default: repos.list_host: repos.mode = \"all\" reads the lists of a relay or a PDS, and a recording has none; "
       "write repos.list_host = \"https://relay1.us-east.bsky.network\""},
      {"[repos]\nmode = \"all\"\nlist_host = \"relay.example\"",
       "FILE:3: repos.list_host: wants an address such as \"https://relay1.us-east.bsky.network\", not "
       "\"relay.example\""},
      {"[index]\ndatabase = \"postgresql:u:secret@h/d\"",
       "FILE:2: index.database: wants a whole postgresql:// URL; "
       "write \"sqlite:likes.db\", \"sqlite:/absolute/path.db\" or \"postgresql://user@host/database\""},
  };
  for (const auto& [text, expected] : table) {
    INFO(text);
    CHECK(complaint(text) == expected);
  }
}

TEST_CASE("of several mistakes the first in the file is reported, though tables are sorted by name") {
  CHECK(complaint("[nats]\nzzz_unheard_of = 1\n[http]\naaa_unheard_of = 1\n") ==
        "FILE:2: nats.zzz_unheard_of: unknown key; config/recordkv.toml lists them all");
  CHECK(complaint("[http]\naaa_unheard_of = 1\n[nats]\nzzz_unheard_of = 1\n") ==
        "FILE:2: http.aaa_unheard_of: unknown key; config/recordkv.toml lists them all");
}

TEST_CASE("a file that is not TOML, or is missing") {
  CHECK(complaint("[kv]\nbucket = \n").starts_with("FILE:2: "));
  CHECK(complaint("[kv]\nbucket = \"a\"\nbucket = \"b\"\n").starts_with("FILE:3: "));
  const auto read = [](std::string path) {
    return load_config({.files = {std::move(path)}, .environment = {}, .sets = {}});
  };
  CHECK(read("/nowhere/c.toml").error().text ==
        "cannot read configuration file /nowhere/c.toml: No such file or directory");
  CHECK(read("/").error().text == "cannot read configuration file /: Is a directory");
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
  CHECK(show("index.database", "postgresql://u:p,@/x@h:1,i/d") == "\"postgresql://u:***@h:1,i/d\" (--set)");
  CHECK(show("index.database", "postgres://h/d?password=hush&sslpassword=hush&user=u") ==
        "\"postgres://h/d?password=***&sslpassword=***&user=u\" (--set)");
  CHECK(must({{}, {}, {"index.database=postgresql://u:p@h/d"}}).database() == "postgresql://u:p@h/d");
  CHECK(must({{}, {}, {"nats.url=nats://u:p@h:4222"}}).nats.url == "nats://u:p@h:4222");

  for (const std::string bad :
       {"nats.url=http://u:hush@h", "nats.url=u:hush@h", "nats.url=nats://a,b:hush@h,x://u:hush@i",
        "index.database=postgresql:u:hush@h/d", "index.database=x://u:hush@h/d?password=hush",
        "http.admin_token={hush=1", "source.url=https://u:hush@h", "source.kind=x://u:hush@h"}) {
    const auto c = load_config({{}, {}, {bad}});
    INFO(bad);
    if (bad.starts_with("http.admin_token"))
      CHECK(c.has_value());  // any text is a token
    else
      CHECK(!c.error().text.contains("hush"));
  }
}
