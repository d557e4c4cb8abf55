// Subjects of a JetStream domain, and the public key of an NKey's seed.
#include "../../src/nats/nkey.hpp"
#include "../../src/nats/wire_subjects.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace recordkv;

TEST_CASE("subjects of the API and of buckets get the domain, others none; and back") {
  const nats::wire_subjects hub("$JS.hub.API"), here, explicitly_here("$JS.API"), imported("hub.API");
  CHECK(hub.out("$JS.API.INFO") == "$JS.hub.API.INFO");
  CHECK(hub.out("$KV.record.1.a") == "$JS.hub.API.$KV.record.1.a");
  CHECK(hub.out("$JS.API.DIRECT.GET.KV_repo.$KV.repo.1.a") == "$JS.hub.API.DIRECT.GET.KV_repo.$KV.repo.1.a");
  CHECK(imported.out("$KV.lock.kv") == "hub.API.$KV.lock.kv");
  for (const auto* other :
       {"ingest.0", "$JS.ACK.ingest.kv.1.2.3.4.5", "_INBOX.a.r1", "$JS.edge.API.INFO", "$KVX.a", ""})
    CHECK(hub.out(other) == other);
  for (const auto* subject : {"$JS.API.INFO", "$KV.record.1.a", "$KV.rec", "$JS.API.DIRECT.GET.KV_repo.$KV.repo.1.a"}) {
    for (const auto* way : {&hub, &here, &explicitly_here, &imported}) CHECK(way->back(way->out(subject)) == subject);
    CHECK(here.out(subject) == subject);
    CHECK(explicitly_here.out(subject) == subject);
  }
  CHECK(hub.back("ingest.0") == "ingest.0");
  CHECK_FALSE(explicitly_here.has_prefix());
}

TEST_CASE("a user's seed has one public key; what is no seed has none") {
  const std::string seed = "SUAJGTZCMIFMSK2GZLFLKOJRCEKAW7QMEZR3PVWSRGPWEROBW7ALHLGINE";
  const std::string key = "UBJW4HZDU5727ZGRJF6TE43NHO5GGRHZKP3P2IIOLPLGE2WGVWVQBFI5";
  CHECK(nats::public_nkey(seed) == key);
  auto damaged = seed;
  damaged[20] = damaged[20] == 'A' ? 'B' : 'A';
  auto account = seed;
  account[1] = 'A';  // another kind of key, and the checksum fails
  for (const auto& bad : {damaged, account, key, seed.substr(1), seed + "A", std::string(58, 'A'), std::string(58, '1'),
                          std::string(), seed + "\n"})
    CHECK(nats::public_nkey(bad).empty());
}
