// The order of events while they wait for states, keys and verdicts; what waiting costs; how waiting ends.
#include "kv_verify_rig.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <random>

using namespace recordkv;
using namespace recordkv::test;

namespace {

std::string account_number(std::size_t i) {
  return fmt::format("did:plc:{}", std::string(24, static_cast<char>('a' + i)));
}

/// Messages of six accounts. Three are stored with key A, of which one has changed its key since; three are unknown.
struct history {
  explicit history(unsigned seed) : random(seed) {
    std::vector<unsigned> last(accounts, 2);
    for (int i = 0; i < 300; ++i) {
      const auto who = random() % accounts;
      messages.push_back(one(account_number(who), last[who]));
    }
  }

  std::string one(const std::string& did, unsigned& last) {
    signed_frame f{.did = did, .n = last + 1, .signer = "AAAAAABBC"[random() % 9]};
    switch (random() % 12) {
      case 0: return identity_frame(did);
      case 1: return account_frame(did, random() % 2 == 0, "deactivated");
      case 2: f.n = last; return f.bytes();  // a repetition
      case 3:
        f.n = ++last;
        f.flawed = true;
        return f.bytes();
      case 4: f.n = ++last; return f.sync();
      case 5:
        f.n = last += 2;
        f.before = last - 2;
        return f.bytes();
      default: ++last; return f.bytes();
    }
  }

  void prepare(verify_rig& rig) const {
    for (std::size_t i = 0; i < accounts / 2; ++i) rig.states.stand(verified_at(account_number(i), 2));
    rig.directory.says.insert_or_assign(account_number(0), identity_with('B'));
    rig.directory.says.insert_or_assign(account_number(3), identity_with('B'));
    rig.directory.says.insert_or_assign(account_number(4), fail(errc::not_found, "none"));
  }

  static constexpr std::size_t accounts = 6;
  std::mt19937 random;
  std::vector<std::string> messages;
};

/// What came of it: each account's puts in their order and its state, and how often what happened.
struct outcome {
  std::map<std::string, words> puts;
  std::map<std::string, std::string> states;
  std::map<std::string, std::uint64_t> counted;
  bool operator==(const outcome&) const = default;
};

outcome outcome_of(const verify_rig& rig) {
  outcome out;
  for (const auto& line : rig.out.lines()) out.puts[line.substr(0, line.find('='))].push_back(line);
  for (std::size_t i = 0; i < history::accounts; ++i)
    if (const auto* found = rig.states.find(account_number(i))) {
      auto s = *found;
      s.at = 0;
      s.key_checked = 0;
      out.states[s.did] = kv::to_json(s);
    }
  for (const auto& [key, n] : rig.counters.all())
    for (const auto* name : {"skipped", "ignored", "verdicts", "commits"})
      if (key.first == name) out.counted[key.first + " " + key.second] = n;
  return out;
}

/// In lines, so that a failure shows the difference.
std::vector<std::string> lines_of(const outcome& o) {
  std::vector<std::string> out;
  for (const auto& [did, puts] : o.puts) out.push_back(fmt::format("{} put {}", did, fmt::join(puts, " ")));
  for (const auto& [did, state] : o.states) out.push_back(fmt::format("{} {}", did, state));
  for (const auto& [what, n] : o.counted) out.push_back(fmt::format("{}: {}", what, n));
  return out;
}

/// One message after the other, each settled before the next comes.
outcome one_by_one(unsigned seed) {
  const history h(seed);
  verify_rig rig;
  h.prepare(rig);
  rig.start();
  std::size_t n = 0;
  for (const auto& m : h.messages) {
    rig.in.deliver(m);
    REQUIRE(rig.settles(++n));
  }
  CHECK(rig.finish());
  return outcome_of(rig);
}

/// Sleeps for a random number of turns of the loop.
task<> some_turns(std::mt19937& random) {
  const auto loop = co_await asio::this_coro::executor;
  for (auto turns = random() % 40; turns > 0; --turns) co_await asio::post(loop, asio::use_awaitable);
}

task<std::vector<result<stages::state_port::stored>>> late_states(std::mt19937& random,
                                                                  decltype(stages::state_port::load) load,
                                                                  std::vector<std::string> dids) {
  co_await some_turns(random);
  co_return co_await load(std::move(dids));
}

task<result<identity::account_identity>> late_answer(std::mt19937& random,
                                                     decltype(stages::identity_port::look_up) look_up,
                                                     std::string did) {
  co_await some_turns(random);
  auto found = co_await look_up(std::move(did));
  co_await some_turns(random);
  co_return found;
}

/// The same messages in batches of any size, with states, answers and verdicts that come late.
outcome all_at_once(unsigned seed, unsigned workers, std::size_t cached) {
  history h(seed);
  std::mt19937 random(seed + 1);
  verify_rig rig(workers, {.cached_accounts = cached});
  h.prepare(rig);
  rig.load = [&random, load = rig.states.port().load](std::vector<std::string> dids) {
    return late_states(random, load, std::move(dids));
  };
  rig.verify.identity.look_up = [&random, look_up = rig.verify.identity.look_up](std::string did) {
    return late_answer(random, look_up, std::move(did));
  };
  rig.start();
  for (std::size_t at = 0; at < h.messages.size();) {
    const auto n = std::min<std::size_t>(1 + random() % 60, h.messages.size() - at);
    const auto first = h.messages.begin() + static_cast<std::ptrdiff_t>(at);
    rig.in.deliver(std::vector<std::string>(first, first + static_cast<std::ptrdiff_t>(n)));
    at += n;
    for (auto turns = random() % 100; turns > 0; --turns) rig.io.poll_one();
  }
  REQUIRE(rig.settles(h.messages.size()));
  CHECK(rig.in.settled.size() == h.messages.size());
  CHECK(rig.finish());
  return outcome_of(rig);
}

}  // namespace

TEST_CASE("whatever waits for what, the outcome is that of one event after the other") {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    INFO("seed " << seed);
    const auto expected = one_by_one(seed);
    REQUIRE(expected.counted.at("skipped bad_signature") > 0);
    REQUIRE(expected.counted.at("verdicts proven") > 0);
    for (const unsigned workers : {0U, 1U, 4U})
      for (const std::size_t cached : {1U, 100U}) {
        INFO(workers << " workers, " << cached << " accounts in memory");
        const auto found = all_at_once(seed, workers, cached);
        CHECK(lines_of(found) == lines_of(expected));
      }
  }
}

TEST_CASE("no more is taken than the limits while accounts wait for keys, and the others go on until then") {
  const auto one = signed_frame{}.bytes().size();
  verify_rig rig(0, {.unsettled_events = 10, .unsettled_bytes = 1000 * one});
  rig.directory.keep_waiting(alice);
  rig.start();
  for (unsigned n = 1; n <= 20; ++n) rig.in.deliver(signed_frame{.n = n}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.in.taken == 10; }));
  settle_down(rig.io);
  CHECK(rig.in.taken == 10);
  CHECK(rig.apply->unsettled() == 10);
  rig.directory.answer(alice);
  REQUIRE(rig.settles(20));
  CHECK(rig.stored(alice, 20));
}

TEST_CASE("only so many look-ups are under way; the others wait for their turn") {
  verify_rig rig;
  rig.verify.look_ups.at_once = 2;
  const words dids{alice, bob, carol, account_number(0), account_number(1)};
  for (const auto& did : dids) rig.directory.keep_waiting(did);
  rig.start();
  for (const auto& did : dids) rig.in.deliver(signed_frame{.did = did}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.in.taken == 5; }));
  settle_down(rig.io);
  CHECK(rig.directory.asked == words{alice, bob});
  for (const auto& did : dids) rig.directory.answer(did);
  REQUIRE(rig.settles(5));
  CHECK(rig.directory.most_under_way == 2);
}

TEST_CASE("an account is not forgotten while its key is looked up") {
  verify_rig rig(0, {.cached_accounts = 1});
  rig.directory.keep_waiting(alice);
  rig.start();
  rig.in.deliver(signed_frame{}.bytes());
  REQUIRE(rig.waits_for([&] { return rig.directory.under_way() == 1; }));
  for (unsigned n = 1; n <= 3; ++n)
    rig.in.deliver({signed_frame{.did = bob, .n = n}.bytes(), signed_frame{.did = carol, .n = n}.bytes()});
  REQUIRE(rig.settles(6));
  rig.directory.answer(alice);
  REQUIRE(rig.settles(7));
  CHECK(rig.directory.times_asked(alice) == 1);
  CHECK(std::ranges::count(rig.states.loaded, alice) == 1);
}

TEST_CASE("an account is not forgotten between its look-up and the event that waited for it") {
  // Accounts are forgotten once in 256 events. So one of these numbers of events lies just before that.
  for (unsigned others = 240; others <= 260; ++others) {
    INFO(others << " events of another account in between");
    verify_rig rig(0, {.cached_accounts = 1});
    rig.states.stand(verified_at(alice, 1));
    rig.states.stand(verified_at(bob, 1));
    rig.directory.keep_waiting(alice);
    rig.start();
    rig.in.deliver(identity_frame(alice));
    REQUIRE(rig.waits_for([&] { return rig.directory.under_way() == 1; }));
    for (unsigned n = 2; n < 2 + others; ++n) rig.in.deliver(signed_frame{.did = bob, .n = n}.bytes());
    REQUIRE(rig.settles(others));
    rig.directory.says.insert_or_assign(alice, identity_with('B'));
    rig.directory.answer(alice);
    REQUIRE(rig.settles(others + 1));
    CHECK(rig.states.find(alice)->key == multikey('B'));
    CHECK(std::ranges::count(rig.states.loaded, alice) == 1);
  }
}

TEST_CASE("while the directory fails, unknown accounts take at most half of the room") {
  verify_rig rig(0, {.unsettled_events = 40});
  rig.states.stand(verified_at(bob, 1));
  rig.directory.error_text = "the directory is down";
  for (std::size_t i = 0; i < 26; ++i) rig.directory.keep_waiting(account_number(i));
  rig.start();
  for (std::size_t i = 0; i < 26; ++i) rig.in.deliver(signed_frame{.did = account_number(i)}.bytes());
  REQUIRE(rig.settles(5));
  settle_down(rig.io);
  CHECK(rig.skipped("identity") == 5);
  CHECK(rig.apply->unsettled() == 21);
  CHECK(rig.apply->look_up_error() == "the directory is down");
  rig.in.deliver(signed_frame{.did = bob, .n = 2}.bytes());
  REQUIRE(rig.settles(6));
  CHECK(rig.stored(bob, 2));
}

TEST_CASE("closing the inbox ends the work without what waits for a key; it stays unacknowledged") {
  verify_rig rig;
  rig.directory.keep_waiting(alice);
  rig.start();
  rig.in.deliver({signed_frame{.n = 1}.bytes(), signed_frame{.did = bob}.bytes(), signed_frame{.n = 2}.bytes()});
  REQUIRE(rig.settles(1));
  CHECK(rig.finish());
  CHECK(rig.in.settled == numbers{2});
  CHECK(rig.states.find(alice) == nullptr);
  CHECK_FALSE(rig.settled->has_error());
}

TEST_CASE("abandoned while it waits for a key or for verdicts, the work ends and acknowledges nothing of it") {
  verify_rig rig(1);
  SECTION("for a key") { rig.directory.keep_waiting(alice); }
  SECTION("for verdicts") {
    rig.verify.verify = [&rig](const atproto::repo_event& e, const atproto::public_key& key) {
      asio::post(rig.io, [&rig] { rig.apply->abandon(); });
      return verify_by_letters(e, key);
    };
  }
  rig.start();
  rig.in.deliver({signed_frame{.n = 1}.bytes(), signed_frame{.n = 2}.bytes()});
  REQUIRE(rig.waits_for([&] { return rig.in.taken == 2; }));
  settle_down(rig.io);
  rig.apply->abandon();
  CHECK(rig.waits_for([&] { return rig.took && rig.settled; }));
  CHECK(rig.in.settled.empty());
}

TEST_CASE("the pool does every job once, on as many threads as it has, and none is 0 threads' own") {
  for (const unsigned workers : {0U, 1U, 3U}) {
    stages::worker_pool pool(workers);
    std::vector<int> done(100, 0);
    std::vector<stages::worker_pool::job> jobs;
    for (auto& d : done) jobs.emplace_back([&d] { ++d; });
    asio::io_context io;
    bool ended = false;
    asio::co_spawn(io, pool.run(std::move(jobs)), [&ended](const std::exception_ptr&) { ended = true; });
    CHECK(becomes(io, [&ended] { return ended; }));
    CHECK(std::ranges::all_of(done, [](int n) { return n == 1; }));
    CHECK(pool.workers() == workers);
    pool.join();
  }
  CHECK(stages::worker_count(0) == 0);
  CHECK(stages::worker_count(7) == 7);
  CHECK(stages::worker_count(-1) >= 1);
}
