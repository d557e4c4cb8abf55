// The wishes of persons for accounts (recordkv/kv/wishes.hpp), as the stage kv of their partition reads them.
//
// Owns: the consumer of the keys `want.>`, which wishes are of this process's partitions, and removing those that were
// fulfilled.
// Does not know: what a wish changes.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/core/rate_limited.hpp"
#include "recordkv/kv/bucket.hpp"
#include "recordkv/kv/wishes.hpp"
#include "recordkv/nats/pull_consumer.hpp"
#include "recordkv/stage.hpp"

#include <cstdint>
#include <functional>
#include <set>
#include <string>

namespace recordkv::stages {

class wish_watch {
 public:
  /// Fulfils a wish, and returns once its first effect is durable in the account's state: a crash after that loses
  /// nothing. Called for several wishes at a time, of one account for one only. errc::closed: the stage stops; the wish
  /// stays.
  using fulfil_function = std::function<task<result<void>>(kv::wish)>;

  /// `mine`: whether the account is of this process's partitions.
  wish_watch(stage_context& ctx, std::function<bool(const std::string& did)> mine, fulfil_function fulfil);

  /// Reads all wishes that exist, and then each new one, until close(). Survives reconnects, and a bucket that is away.
  /// A key that can't be read is reported once, with what to do, and left alone.
  task<> run();
  void close() noexcept;

  /// Wishes that were fulfilled since the start.
  std::uint64_t fulfilled() const noexcept { return fulfilled_; }

 private:
  static constexpr std::size_t max_at_once = 64;  ///< one wish takes four round trips

  task<result<void>> take_all(nats::pull_consumer& wishes, nursery& acting);
  task<> act_on(const nats::message& m, std::uint64_t seq, nursery& acting);
  task<> carry_out(kv::wish wish, std::uint64_t seq);
  task<result<void>> fulfil(const kv::wish& wish, std::uint64_t seq, bool& fulfilled);
  task<> pause(std::string what, error e);
  void report(const std::string& key, std::uint64_t seq, const error& e);

  stage_context& ctx_;
  std::function<bool(const std::string& did)> mine_;
  fulfil_function fulfil_;
  kv::bucket repo_;
  nats::pull_consumer* wishes_ = nullptr;  // while run() reads
  rate_limited told_;
  std::set<std::uint64_t> reported_;  // sequences of keys that can't be read
  std::uint64_t fulfilled_ = 0;
  std::set<std::string> under_way_;  // accounts whose wish is being carried out
  bool closed_ = false;
  event woken_, one_less_;
};

}  // namespace recordkv::stages
