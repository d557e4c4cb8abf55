// The network: accounts that write, change and take back records, one step after another.
//
// Owns: accounts, the records that later steps refer to, and the rule that makes step follow step.
// Does not know: any wire, any clock, which clients there are. The same parameters give the same steps, on every
// machine.
#pragma once

#include "content.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace recordkv::sim {

struct parameters {
  std::uint64_t seed = 1;
  std::uint32_t accounts = 10'000;
  std::uint32_t churn = 4'000;                    ///< of a million steps, how many touch one of the few churned keys
  std::uint64_t base_us = 1'767'225'600'000'000;  ///< 2026-01-01; the time of event 0
  std::uint64_t step_us = 1'000;                  ///< between two events
};

enum class action : std::uint8_t { create, update, remove };
std::string_view name(action a) noexcept;  ///< "create", "update", "delete"

struct op {
  action what = action::create;
  collection where = collection::like;
  std::string rkey;
  std::string record;  ///< JSON; empty for remove
  std::string cbor;    ///< the same record
  sim::cid cid;        ///< of the record; meaningless for remove
  std::uint64_t time_us = 0;
};

enum class step_kind : std::uint8_t { commit, identity, account };

/// What one account did at once. An event of a wire that knows only records is one op.
struct step {
  step_kind kind = step_kind::commit;
  std::uint32_t account = 0;
  std::uint64_t first = 0;    ///< number of its first event
  std::uint64_t time_us = 0;  ///< of its first event
  std::uint64_t rev = 0;      ///< commit: a TID, above every earlier one of the account
  std::span<const op> ops;    ///< commit: at least one, no path twice
  std::uint64_t events() const noexcept { return kind == step_kind::commit ? ops.size() : 1; }
};

/// One account in 512 is bridged from elsewhere: its revs count up from 1970.
bool bridged(std::uint32_t account) noexcept;

class world {
 public:
  explicit world(const parameters& p);

  /// The next step. It stands until the next call.
  const step& next();

  std::string_view did(std::uint32_t account) const noexcept { return {dids_.data() + 32 * std::size_t{account}, 32}; }
  const parameters& rules() const noexcept { return rules_; }
  /// The time of event `index`: strictly increasing, and no state needed to know it.
  std::uint64_t time_of(std::uint64_t index) const noexcept;

 private:
  struct kept {  // a record that its account may delete
    std::uint32_t account;
    collection where;
    std::uint64_t tid;
  };
  struct churned {  // one of the few keys that are created, updated, deleted and created again all the time
    std::uint32_t account;
    collection where;
    std::string rkey;
    bool live;
  };
  struct bulk {  // a large commit that may be taken back at once
    std::uint32_t account;
    collection where;
    std::vector<std::uint64_t> tids;
  };

  void settle_early_posts();
  void pick_churned_keys();
  void begin(std::uint32_t account, draw& d);
  std::uint64_t next_rev(std::uint32_t account, draw& d);
  op& add(action what, collection where);
  void create(collection where, std::uint64_t tid, draw& d);
  void fill(op& o, draw& d);

  void plan(draw& d);
  void churn(draw& d);
  void update_profile(draw& d);
  void forget_something(draw& d);
  void forget_the_unknown(draw& d);
  void bring_back(draw& d);
  void many(std::uint32_t count, draw& d);
  void undo_many(draw& d);

  void keep(kept k, draw& d);
  void like_from_now_on(const op& o, std::uint64_t tid, draw& d);
  collection some_collection(draw& d) const noexcept;
  std::uint32_t clock_of(std::uint32_t account) const noexcept { return account % 1021; }

  parameters rules_;
  std::string dids_;                 // 32 characters each
  std::vector<std::uint64_t> revs_;  // the last one of each account
  zipf who_;
  std::vector<kept> kept_;
  std::vector<kept> gone_;  // deleted not long ago
  std::vector<churned> churned_;
  std::vector<bulk> bulks_;
  std::vector<post_ref> posts_;  // by popularity

  record_writer writer_;
  step step_;
  std::vector<op> ops_;  // strings are used again; the first `used_` are of this step
  std::size_t used_ = 0;
  std::uint64_t index_ = 0;  // events so far
};

}  // namespace recordkv::sim
