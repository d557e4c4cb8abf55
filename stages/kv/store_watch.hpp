// What becomes of the streams that the store is made of, while stage `kv` writes it.
//
// Owns: the regular look at their settings, which another program may change, the samples that identify the store, and
// the store's growth.
// Does not know: records.
#pragma once

#include "recordkv/core/event.hpp"
#include "recordkv/core/nursery.hpp"
#include "recordkv/stage.hpp"
#include "store_growth.hpp"

#include <string>

namespace recordkv::stages {

class store_watch {
 public:
  explicit store_watch(stage_context& ctx) : ctx_(ctx) {}

  /// Looks until close().
  void start(nursery& children);
  void close() noexcept;

  /// A setting that breaks the contract, with both values; empty: none.
  const std::string& changed_setting() const noexcept { return changed_; }
  const store_growth& growth() const noexcept { return growth_; }

 private:
  task<> watch_settings();
  task<> watch_growth();
  task<std::string> compare_streams();

  stage_context& ctx_;
  store_growth growth_;
  std::string changed_;
  bool sampled_ = false;
  bool closed_ = false;
  event closing_;
};

}  // namespace recordkv::stages
